//! The runtime as extensions see it: what they ask is a request like any other.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

use futures_util::future::join_all;
use routir_core::{
    BoxFuture, DocId, Document, Error, ErrorCode, Host, HostDocuments, HostPassages, HostScore,
    HostSearch, Ranking, RequestContext, Result, ScoreRequest, shorten,
};
use tokio::task::JoinHandle;

use crate::api::{PipelineCall, RunOptions};
use crate::runtime::{Inner, Runtime, within};

/// Does not keep the runtime alive: the runtime holds its extensions, and they hold this.
#[derive(Default)]
pub(crate) struct RuntimeHost {
    inner: OnceLock<Weak<Inner>>,
}

impl RuntimeHost {
    /// Lets the host answer for `runtime`.
    pub(crate) fn bind(&self, runtime: &Runtime) {
        // It is bound once, by the one builder that has it.
        let _ = self.inner.set(runtime.downgrade());
    }

    fn runtime(&self, context: &RequestContext) -> Result<Runtime> {
        let inner = self.inner.get().and_then(Weak::upgrade).ok_or_else(gone)?;
        let (depth, most) = (context.chain.len(), inner.settings.max_depth);
        if depth > most {
            let chain: Vec<_> = context.chain.iter().map(AsRef::as_ref).collect();
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!(
                    "{depth} extensions would wait inside one another for host calls; {most} may \
                     (`max_depth`): {}",
                    chain.join(" > ")
                ),
            ));
        }
        Ok(Runtime { inner })
    }
}

/// A host that is there before its runtime: for engines that are built before the runtime is put
/// together ([`crate::RuntimeBuilder::bind`]). Until then, and once the runtime is gone, it answers
/// [`routir_core::ErrorCode::Unavailable`]; it does not keep the runtime alive. Clones are one.
#[derive(Clone, Default)]
pub struct LateHost(pub(crate) Arc<RuntimeHost>);

impl LateHost {
    /// The host.
    #[must_use]
    pub fn host(&self) -> Arc<dyn Host> {
        Arc::clone(&self.0) as Arc<dyn Host>
    }
}

impl Runtime {
    /// The runtime as extensions see it. Does not keep the runtime alive.
    #[must_use]
    pub fn host(&self) -> Arc<dyn Host> {
        let host = RuntimeHost::default();
        host.bind(self);
        Arc::new(host)
    }
}

impl Host for RuntimeHost {
    fn search(
        &self,
        context: Arc<RequestContext>,
        requests: Vec<HostSearch>,
    ) -> BoxFuture<'static, Vec<Result<Arc<Ranking>>>> {
        each(self.runtime(&context), context, requests, search)
    }

    fn score(
        &self,
        context: Arc<RequestContext>,
        requests: Vec<HostScore>,
    ) -> BoxFuture<'static, Vec<Result<Arc<[f64]>>>> {
        each(self.runtime(&context), context, requests, score)
    }

    fn content(
        &self,
        context: Arc<RequestContext>,
        documents: HostDocuments,
    ) -> BoxFuture<'static, Result<Vec<Option<Arc<str>>>>> {
        let runtime = self.runtime(&context);
        Box::pin(async move {
            let runtime = runtime?;
            let tokio = runtime.inner.tokio.clone();
            let work = async move {
                let found = fetch(&runtime, &context, &documents).await?;
                found.into_iter().map(text_if_there).collect()
            };
            Task(tokio.spawn(work)).await
        })
    }
}

/// One answer per request, each from a task of its own, so that a list runs side by side.
fn each<Req, Resp, Fut>(
    runtime: Result<Runtime>,
    context: Arc<RequestContext>,
    requests: Vec<Req>,
    answer: fn(Runtime, Arc<RequestContext>, Req) -> Fut,
) -> BoxFuture<'static, Vec<Result<Resp>>>
where
    Req: Send + 'static,
    Resp: Send + 'static,
    Fut: Future<Output = Result<Resp>> + Send + 'static,
{
    Box::pin(async move {
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return requests.iter().map(|_| Err(error.clone())).collect(),
        };
        let tokio = runtime.inner.tokio.clone();
        let tasks = requests.into_iter().map(|request| {
            Task(tokio.spawn(answer(runtime.clone(), Arc::clone(&context), request)))
        });
        let tasks: Vec<_> = tasks.collect();
        drop(runtime);
        join_all(tasks).await
    })
}

async fn search(
    runtime: Runtime,
    context: Arc<RequestContext>,
    request: HostSearch,
) -> Result<Arc<Ranking>> {
    let HostSearch {
        pipeline,
        query,
        collection,
        limit,
        params,
    } = request;
    let mut runtime_kwargs = BTreeMap::new();
    if !params.is_empty() {
        let name = pipeline.trim();
        let alias = runtime.scope(&context)?.aliases.get(name).is_some();
        if alias || !routir_dsl::is_name(name) {
            return Err(Error::invalid(format!(
                "arguments go to one service, and `{}` is a pipeline; leave them out or search \
                 with one service",
                shorten(name)
            )));
        }
        runtime_kwargs.insert(name.to_owned(), params);
    }
    let call = PipelineCall {
        pipeline,
        query,
        collection,
        runtime_kwargs,
        options: RunOptions::default(),
        context,
    };
    Ok(runtime.answer(call, Some(limit)).await?.ranking)
}

async fn score(
    runtime: Runtime,
    context: Arc<RequestContext>,
    request: HostScore,
) -> Result<Arc<[f64]>> {
    let HostScore {
        service,
        query,
        passages,
        params,
    } = request;
    let passages = match passages {
        HostPassages::Texts(texts) => texts,
        HostPassages::Documents(documents) => {
            let found = fetch(&runtime, &context, &documents).await?;
            let texts = found
                .into_iter()
                .map(|found| found.and_then(|document| document.text().cloned()));
            let place = |error: Error| error.at(format!("collection `{}`", documents.collection));
            texts.collect::<Result<Vec<_>>>().map_err(place)?
        }
    };
    let request = ScoreRequest {
        query,
        passages: passages.into(),
        params,
        context,
    };
    Ok(runtime.score(&service, request).await?.value)
}

/// The documents in the order of their ids, as many as those.
async fn fetch(
    runtime: &Runtime,
    context: &RequestContext,
    documents: &HostDocuments,
) -> Result<Vec<Result<Arc<Document>>>> {
    let HostDocuments {
        collection,
        view,
        ids,
    } = documents;
    let source = runtime.collection(context, collection)?;
    let ids: &[DocId] = ids;
    let found = within(context, source.fetch_for(context, view.as_deref(), ids)).await?;
    if found.len() == ids.len() {
        return Ok(found);
    }
    Err(Error::internal(format!(
        "collection `{collection}` answered for {} documents of {}",
        found.len(),
        ids.len()
    )))
}

fn text_if_there(found: Result<Arc<Document>>) -> Result<Option<Arc<str>>> {
    match found {
        Ok(document) => document.text().cloned().map(Some),
        Err(error) if error.code() == ErrorCode::UnknownDocument => Ok(None),
        Err(error) => Err(error),
    }
}

fn gone() -> Error {
    Error::new(
        ErrorCode::Unavailable,
        "the server is starting or shutting down; try again later",
    )
}

/// A task that ends with whoever waits for it.
struct Task<T>(JoinHandle<Result<T>>);

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        Pin::new(&mut self.0).poll(cx).map(|joined| match joined {
            Ok(result) => result,
            Err(error) if error.is_cancelled() => Err(gone()),
            Err(_) => Err(Error::internal("the answer to a host call crashed")),
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
