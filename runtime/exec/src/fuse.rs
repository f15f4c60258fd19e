//! A service in the role `fuse`: no queue, no cache; a fusion takes microseconds.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use routir_core::{Answer, CallStats, Error, FuseEngine, FuseRequest, Ranking, Result};

use crate::offload;
use crate::service::at_service;

/// A fusion of more hits than this leaves the reactor, if it would compute there.
const INLINE_HITS: usize = 20_000;

pub(crate) struct FuseService {
    pub(crate) name: Arc<str>,
    pub(crate) engine: Arc<dyn FuseEngine>,
}

impl FuseService {
    /// Asks the merger; at most `limit` documents come back, whatever the engine answers.
    pub(crate) async fn call(&self, request: FuseRequest) -> Result<Answer<Arc<Ranking>>> {
        let started = Instant::now();
        let limit = request.limit;
        let hits: usize = request.rankings.iter().map(|ranking| ranking.len()).sum();
        let panicked = |_| Err(Error::engine("the merger panicked"));
        let fused = if hits > INLINE_HITS && self.engine.computes_in_place() {
            let engine = Arc::clone(&self.engine);
            let runtime = tokio::runtime::Handle::current();
            let work = move || runtime.block_on(engine.fuse(request));
            let work = offload::compute(work).await;
            work.map_err(drop).unwrap_or_else(panicked)
        } else {
            let work = AssertUnwindSafe(async { self.engine.fuse(request).await });
            work.catch_unwind()
                .await
                .map_err(drop)
                .unwrap_or_else(panicked)
        };
        let mut ranking = fused.map_err(|error| at_service(error, &self.name))?;
        ranking.truncate(limit.unwrap_or(usize::MAX));
        let stats = CallStats {
            service: started.elapsed(),
            batch_size: 1,
            ..CallStats::default()
        };
        Ok(Answer::now(Arc::new(ranking), stats))
    }
}
