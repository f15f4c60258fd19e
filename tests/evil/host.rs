//! The runtime as the guests here see it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use routir_core::{
    BoxFuture, Error, Hit, Host, HostDocuments, HostScore, HostSearch, Params, Ranking,
    RequestContext, Result, Roles, SearchRequest,
};

/// A runtime with the services `good`, which answers, and `slow`, which does so after a minute, and
/// with the extension under test, which any pipeline with `evil` in it calls.
#[derive(Default)]
pub(crate) struct Runtime {
    /// Requests that came, each of a list.
    pub(crate) requests: AtomicUsize,
    /// Requests for `slow` that wait now.
    pub(crate) waiting: Arc<AtomicUsize>,
    /// The extension under test.
    pub(crate) evil: Mutex<Option<Roles>>,
    /// Whether it refuses what the real runtime refuses: an extension that waits for itself.
    pub(crate) breaks_circles: bool,
}

/// Counts itself while it is there.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Host for Runtime {
    fn search(
        &self,
        context: Arc<RequestContext>,
        requests: Vec<HostSearch>,
    ) -> BoxFuture<'static, Vec<Result<Arc<Ranking>>>> {
        self.requests.fetch_add(requests.len(), Ordering::SeqCst);
        let evil = self.evil.lock().unwrap().clone();
        let breaks_circles = self.breaks_circles;
        let waiting = Arc::clone(&self.waiting);
        Box::pin(async move {
            let mut answers = Vec::new();
            for request in requests {
                let answer = match request.pipeline.as_str() {
                    "good" => Ranking::from_hits(vec![Hit::new("d1", 1.0)]).map(Arc::new),
                    "slow" => {
                        waiting.fetch_add(1, Ordering::SeqCst);
                        let _waiting = Waiting(Arc::clone(&waiting));
                        tokio::time::sleep(Duration::from_secs(60)).await;
                        Ranking::from_hits(Vec::new()).map(Arc::new)
                    }
                    name if name.contains("evil") => {
                        let chain = context.chain.join(" -> ");
                        match &evil {
                            Some(evil) if !breaks_circles => recurse(evil, &context).await,
                            _ => Err(Error::invalid(format!("a circle: {chain} -> itself"))),
                        }
                    }
                    _ => Err(Error::invalid("no such service")),
                };
                answers.push(answer);
            }
            answers
        })
    }

    fn score(
        &self,
        _: Arc<RequestContext>,
        requests: Vec<HostScore>,
    ) -> BoxFuture<'static, Vec<Result<Arc<[f64]>>>> {
        let refuse = |_| Err(Error::invalid("no such service"));
        Box::pin(async move { requests.into_iter().map(refuse).collect() })
    }

    fn content(
        &self,
        _: Arc<RequestContext>,
        _: HostDocuments,
    ) -> BoxFuture<'static, Result<Vec<Option<Arc<str>>>>> {
        Box::pin(async { Err(Error::invalid("no such collection")) })
    }
}

async fn recurse(evil: &Roles, context: &Arc<RequestContext>) -> Result<Arc<Ranking>> {
    let request = SearchRequest {
        query: Arc::from("a query"),
        limit: 10,
        params: Params::default(),
        context: Arc::clone(context),
    };
    let engine = evil.search.clone().unwrap();
    let mut answers = engine.search(vec![request]).await;
    answers.remove(0).map(Arc::new)
}
