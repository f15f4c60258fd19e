//! A runtime that answers from its head and remembers what it was asked.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use routir_core::{
    BoxFuture, Error, ErrorCode, Hit, Host, HostDocuments, HostPassages, HostScore, HostSearch,
    Ranking, RequestContext, Result,
};

/// What a runtime was asked, and how it answers.
#[derive(Default)]
pub(crate) struct Runtime {
    /// How long every answer takes.
    pub(crate) delay: Mutex<Duration>,
    /// How long a document's text is.
    pub(crate) text_bytes: Mutex<usize>,
    /// Every search that was asked for.
    pub(crate) searches: Mutex<Vec<HostSearch>>,
    /// The context of the last call.
    pub(crate) context: Mutex<Option<Arc<RequestContext>>>,
}

impl Runtime {
    fn note(&self, context: Arc<RequestContext>) -> Duration {
        *self.context.lock() = Some(context);
        *self.delay.lock()
    }
}

/// Finds `limit` documents, named after the query; the names of pipelines are errors to answer.
fn find(request: &HostSearch) -> Result<Arc<Ranking>> {
    let code = match request.pipeline.as_str() {
        "invalid" => ErrorCode::InvalidArgument,
        "unknown" => ErrorCode::UnknownName,
        "exhausted" => ErrorCode::Overloaded,
        "failed" => ErrorCode::EngineFailure,
        _ => {
            let hits = (0..request.limit)
                .map(|n| Hit::new(format!("{}-{n}", request.query), 1.0 / (n as f64 + 1.0)));
            return Ranking::from_hits(hits.collect()).map(Arc::new);
        }
    };
    Err(Error::new(code, format!("`{}` it is", request.pipeline)))
}

impl Host for Runtime {
    fn search(
        &self,
        context: Arc<RequestContext>,
        requests: Vec<HostSearch>,
    ) -> BoxFuture<'static, Vec<Result<Arc<Ranking>>>> {
        let delay = self.note(context);
        self.searches.lock().extend(requests.iter().cloned());
        Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            requests.iter().map(find).collect()
        })
    }

    fn score(
        &self,
        context: Arc<RequestContext>,
        requests: Vec<HostScore>,
    ) -> BoxFuture<'static, Vec<Result<Arc<[f64]>>>> {
        self.note(context);
        let lengths = |request: &HostScore| match &request.passages {
            HostPassages::Texts(texts) => Ok(texts.iter().map(|t| t.len() as f64).collect()),
            HostPassages::Documents(docs) => Ok(docs.ids.iter().map(|d| d.len() as f64).collect()),
        };
        Box::pin(async move { requests.iter().map(lengths).collect() })
    }

    fn content(
        &self,
        context: Arc<RequestContext>,
        documents: HostDocuments,
    ) -> BoxFuture<'static, Result<Vec<Option<Arc<str>>>>> {
        self.note(context);
        let bytes = *self.text_bytes.lock();
        let text = move |id: &str| {
            let text = format!("é{id}{}", "x".repeat(bytes.saturating_sub(id.len() + 2)));
            (id != "gone").then(|| Arc::from(text))
        };
        Box::pin(async move { Ok(documents.ids.iter().map(|id| text(id)).collect()) })
    }
}
