//! A service: an engine behind its cache, its single flight and its queue, one request at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use routir_batch::{BatchSettings, Batcher, Policy};
use routir_core::{
    Answer, CallStats, DecomposeRequest, Error, FuseEngine, FuseRequest, Metrics, Ranking, Result,
    Role, ScoreRequest, SearchRequest,
};

use crate::answers::{Answers, Identity};
use crate::builder::ServiceSpec;

/// A fusion of more hits than this leaves the reactor.
const INLINE_HITS: usize = 20_000;

/// One service with the roles that it plays.
pub(crate) struct Service {
    pub(crate) search: Option<SearchService>,
    pub(crate) score: Option<ScoreService>,
    pub(crate) fuse: Option<FuseService>,
    pub(crate) decompose: Option<DecomposeService>,
}

impl Service {
    pub(crate) fn new(spec: ServiceSpec, metrics: &Metrics) -> Self {
        let ServiceSpec {
            name,
            roles,
            batch,
            at_once,
            cache,
            ..
        } = spec;
        let batched = BatchSettings {
            name: Arc::clone(&name),
            ..batch
        };
        let one_by_one = BatchSettings {
            policy: Policy {
                max_requests: 1,
                max_tokens: None,
                max_wait: Duration::ZERO,
            },
            concurrency: at_once,
            ..batched.clone()
        };
        let settings = |gains: bool| if gains { &batched } else { &one_by_one }.clone();
        let queue = |role: Role| metrics.queue(&name, role.name());
        let counters = || metrics.cache(&name);
        let search = roles.search.map(|engine| SearchService {
            name: Arc::clone(&name),
            queue: Arc::new(Batcher::new(
                settings(engine.gains_from_batches()),
                queue(Role::Search),
                move |requests| {
                    let engine = Arc::clone(&engine);
                    async move { engine.search(requests).await }.boxed()
                },
            )),
            answers: Answers::new(cache.as_ref(), counters()),
        });
        let score = roles.score.map(|engine| ScoreService {
            name: Arc::clone(&name),
            queue: Arc::new(Batcher::new(
                settings(engine.gains_from_batches()),
                queue(Role::Score),
                move |requests| {
                    let engine = Arc::clone(&engine);
                    async move { engine.score(requests).await }.boxed()
                },
            )),
            answers: Answers::new(cache.as_ref().filter(|cache| cache.scores), counters()),
        });
        let decompose = roles.decompose.map(|engine| DecomposeService {
            name: Arc::clone(&name),
            queue: Arc::new(Batcher::new(
                settings(true),
                queue(Role::DecomposeQuery),
                move |requests| {
                    let engine = Arc::clone(&engine);
                    async move { engine.decompose(requests).await }.boxed()
                },
            )),
            answers: Answers::new(cache.as_ref(), counters()),
        });
        let fuse = roles.fuse.map(|engine| FuseService {
            name: Arc::clone(&name),
            engine,
        });
        Self {
            search,
            score,
            fuse,
            decompose,
        }
    }
}

/// A rough count of tokens, for batches: four bytes each, as subword vocabularies have it.
fn tokens(text: &str) -> usize {
    text.len() / 4 + 1
}

/// A service in the role `search`.
pub(crate) struct SearchService {
    name: Arc<str>,
    queue: Arc<Batcher<SearchRequest, Ranking>>,
    answers: Answers<Arc<Ranking>>,
}

impl SearchService {
    /// Asks the searcher; at most `limit` documents come back, whatever the engine answers.
    pub(crate) async fn call(&self, request: SearchRequest) -> Result<Answer<Arc<Ranking>>> {
        let SearchRequest {
            query,
            limit,
            params,
            ..
        } = request.clone();
        let identity = Identity {
            role: Role::Search,
            query: &query,
            limit: Some(limit),
            passages: &[],
            params: &params,
        };
        let queue = Arc::clone(&self.queue);
        let answer = self.answers.get(identity, move || async move {
            let tokens = tokens(&request.query);
            let (mut ranking, stats) = queue.submit(request, tokens).await?;
            ranking.truncate(limit);
            Ok(Answer::now(Arc::new(ranking), stats))
        });
        answer.await.map_err(|error| at_service(error, &self.name))
    }
}

/// A service in the role `score`.
pub(crate) struct ScoreService {
    name: Arc<str>,
    queue: Arc<Batcher<ScoreRequest, Vec<f64>>>,
    answers: Answers<Arc<[f64]>>,
}

impl ScoreService {
    /// Asks the scorer: one finite score per passage comes back, in the passages' order.
    pub(crate) async fn call(&self, request: ScoreRequest) -> Result<Answer<Arc<[f64]>>> {
        let ScoreRequest {
            query,
            passages,
            params,
            ..
        } = request.clone();
        let identity = Identity {
            role: Role::Score,
            query: &query,
            limit: None,
            passages: &passages,
            params: &params,
        };
        let queue = Arc::clone(&self.queue);
        let answer = self.answers.get(identity, move || async move {
            let count = request.passages.len();
            let query = tokens(&request.query);
            let tokens = request
                .passages
                .iter()
                .map(|text| query + tokens(text))
                .sum();
            let (scores, stats) = queue.submit(request, tokens).await?;
            check_scores(&scores, count)?;
            Ok(Answer::now(Arc::from(scores), stats))
        });
        answer.await.map_err(|error| at_service(error, &self.name))
    }
}

/// A score belongs to its passage only if there is one for each, and ranks it only if it is a
/// number.
fn check_scores(scores: &[f64], passages: usize) -> Result<()> {
    if scores.len() != passages {
        let count = scores.len();
        return Err(Error::engine(format!(
            "answered {count} scores for {passages} passages"
        )));
    }
    match scores.iter().position(|score| !score.is_finite()) {
        Some(at) => Err(Error::engine(format!(
            "the score of passage {at} is not a finite number"
        ))),
        None => Ok(()),
    }
}

/// A service in the role `fuse`.
pub(crate) struct FuseService {
    name: Arc<str>,
    engine: Arc<dyn FuseEngine>,
}

impl FuseService {
    /// Asks the merger; at most `limit` documents come back, whatever the engine answers.
    pub(crate) async fn call(&self, request: FuseRequest) -> Result<Answer<Arc<Ranking>>> {
        let started = Instant::now();
        let limit = request.limit;
        let hits: usize = request.rankings.iter().map(|ranking| ranking.len()).sum();
        let fused = if hits > INLINE_HITS {
            let engine = Arc::clone(&self.engine);
            let runtime = tokio::runtime::Handle::current();
            let work = move || runtime.block_on(engine.fuse(request));
            tokio::task::spawn_blocking(work)
                .await
                .unwrap_or_else(|_| Err(Error::engine("the merger panicked")))
        } else {
            std::panic::AssertUnwindSafe(self.engine.fuse(request))
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(Error::engine("the merger panicked")))
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

/// A service in the role `decompose_query`.
pub(crate) struct DecomposeService {
    name: Arc<str>,
    queue: Arc<Batcher<DecomposeRequest, Vec<Arc<str>>>>,
    answers: Answers<Arc<[Arc<str>]>>,
}

impl DecomposeService {
    /// Asks the expander; at most `limit` sub-queries come back, whatever the engine answers.
    pub(crate) async fn call(&self, request: DecomposeRequest) -> Result<Answer<Arc<[Arc<str>]>>> {
        let DecomposeRequest {
            query,
            limit,
            params,
            ..
        } = request.clone();
        let identity = Identity {
            role: Role::DecomposeQuery,
            query: &query,
            limit,
            passages: &[],
            params: &params,
        };
        let queue = Arc::clone(&self.queue);
        let answer = self.answers.get(identity, move || async move {
            let tokens = tokens(&request.query);
            let (mut sub_queries, stats) = queue.submit(request, tokens).await?;
            sub_queries.truncate(limit.unwrap_or(usize::MAX));
            Ok(Answer::now(Arc::from(sub_queries), stats))
        });
        answer.await.map_err(|error| at_service(error, &self.name))
    }
}

/// Says where an error happened, unless it says so already.
fn at_service(error: Error, name: &str) -> Error {
    let place = format!("service `{name}`");
    if error.message().starts_with(&place) {
        error
    } else {
        error.at(place)
    }
}
