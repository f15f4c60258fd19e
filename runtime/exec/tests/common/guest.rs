//! Extensions without a sandbox: Rust closures that ask the host.

use std::sync::Arc;

use routir_core::{
    Batching, BoxFuture, DecomposeEngine, DecomposeRequest, Error, Host, HostSearch, Params,
    ParamsSpec, Ranking, RequestContext, Result, Roles, SearchEngine, SearchRequest, Tenant,
};
use routir_exec::{Runtime, ServiceSpec};

/// The host as one call of a guest sees it.
#[derive(Clone)]
pub struct Caller {
    pub host: Arc<dyn Host>,
    pub context: Arc<RequestContext>,
    pub query: Arc<str>,
    pub limit: usize,
}

impl Caller {
    /// The host's answer to one search.
    pub async fn search(&self, pipeline: &str) -> Result<Arc<Ranking>> {
        self.ask(wanted(pipeline, &self.query, self.limit)).await
    }

    pub async fn ask(&self, request: HostSearch) -> Result<Arc<Ranking>> {
        let context = Arc::clone(&self.context);
        let mut answers = self.host.search(context, vec![request]).await;
        answers.pop().unwrap()
    }
}

pub fn wanted(pipeline: &str, query: &str, limit: usize) -> HostSearch {
    HostSearch {
        pipeline: pipeline.to_owned(),
        query: Arc::from(query),
        collection: None,
        limit,
        params: Params::default(),
    }
}

type Work = dyn Fn(Caller) -> BoxFuture<'static, Result<Ranking>> + Send + Sync;

pub struct Guest {
    identity: Arc<str>,
    owner: Option<Arc<str>>,
    host: Arc<dyn Host>,
    work: Box<Work>,
}

impl SearchEngine for Guest {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(async move {
            let calls = batch.into_iter().map(|request| {
                let context = request
                    .context
                    .called_by(&self.identity, self.owner.as_ref());
                (self.work)(Caller {
                    host: Arc::clone(&self.host),
                    context: Arc::new(context),
                    query: request.query,
                    limit: request.limit,
                })
            });
            futures_util::future::join_all(calls).await
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }

    fn batching(&self) -> Batching {
        Batching::Alone
    }
}

/// An extension that searches, as `work` says.
pub fn guest<Fut>(
    host: &Arc<dyn Host>,
    owner: Option<&str>,
    name: &str,
    work: impl Fn(Caller) -> Fut + Send + Sync + 'static,
) -> ServiceSpec
where
    Fut: Future<Output = Result<Ranking>> + Send + 'static,
{
    let engine = Guest {
        identity: Tenant::identity(owner, name),
        owner: owner.map(Arc::from),
        host: Arc::clone(host),
        work: Box::new(move |caller| Box::pin(work(caller))),
    };
    let roles = Roles {
        search: Some(Arc::new(engine)),
        ..Roles::default()
    };
    ServiceSpec::extension(owner, name, roles)
}

/// An extension that answers what the host answers for `pipeline`.
pub fn relay(
    host: &Arc<dyn Host>,
    owner: Option<&str>,
    name: &str,
    pipeline: &'static str,
) -> ServiceSpec {
    guest(host, owner, name, move |caller| async move {
        caller.search(pipeline).await.map(Arc::unwrap_or_clone)
    })
}

/// An extension that asks nobody and finds one document.
pub fn finds(owner: Option<&str>, name: &str, doc: &'static str) -> ServiceSpec {
    struct Nobody;
    impl Host for Nobody {
        fn search(
            &self,
            _: Arc<RequestContext>,
            _: Vec<HostSearch>,
        ) -> BoxFuture<'static, Vec<Result<Arc<Ranking>>>> {
            Box::pin(async { vec![Err(Error::internal("nobody was to be asked"))] })
        }

        fn score(
            &self,
            _: Arc<RequestContext>,
            _: Vec<routir_core::HostScore>,
        ) -> BoxFuture<'static, Vec<Result<Arc<[f64]>>>> {
            Box::pin(async { vec![Err(Error::internal("nobody was to be asked"))] })
        }

        fn content(
            &self,
            _: Arc<RequestContext>,
            _: routir_core::HostDocuments,
        ) -> BoxFuture<'static, Result<Vec<Option<Arc<str>>>>> {
            Box::pin(async { Err(Error::internal("nobody was to be asked")) })
        }
    }
    let host: Arc<dyn Host> = Arc::new(Nobody);
    guest(&host, owner, name, move |_| async move {
        Ranking::from_hits(vec![routir_core::Hit::new(doc, 1.0)])
    })
}

/// Makes sub-queries, each request of a batch counted.
#[derive(Default)]
pub struct Splitter(pub std::sync::Mutex<Vec<usize>>);

impl DecomposeEngine for Splitter {
    fn decompose(&self, batch: Vec<DecomposeRequest>) -> BoxFuture<'_, Vec<Result<Vec<Arc<str>>>>> {
        self.0.lock().unwrap().push(batch.len());
        Box::pin(async move {
            tokio::task::yield_now().await;
            let one = |request: &DecomposeRequest| Ok(vec![Arc::clone(&request.query)]);
            batch.iter().map(one).collect()
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }
}

pub fn tenant(name: &str, services: &[&str], collections: &[&str]) -> Arc<Tenant> {
    let patterns = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    Arc::new(Tenant {
        name: Arc::from(name),
        weight: std::num::NonZeroU32::MIN,
        quotas: routir_core::Quotas {
            concurrent_calls: 64,
            memory_bytes: 1 << 20,
            cpu_ms_per_s: 1000,
            host_calls_per_s: 1000,
            extensions: 20,
        },
        services: patterns(services),
        collections: patterns(collections),
    })
}

/// The context of a request of `tenant`'s.
pub fn of(tenant: &Arc<Tenant>) -> RequestContext {
    RequestContext {
        tenant: Some(Arc::clone(tenant)),
        scope: Some(Arc::clone(&tenant.name)),
        ..RequestContext::new("test")
    }
}

/// A call of `tenant`'s.
pub fn call_of(tenant: &Arc<Tenant>, pipeline: &str) -> routir_exec::PipelineCall {
    routir_exec::PipelineCall {
        context: Arc::new(of(tenant)),
        ..super::call(pipeline)
    }
}

/// The message of the failure of `tenant`'s call.
pub async fn refusal(runtime: &Runtime, tenant: &Arc<Tenant>, pipeline: &str) -> Error {
    runtime
        .pipeline(call_of(tenant, pipeline))
        .await
        .unwrap_err()
}
