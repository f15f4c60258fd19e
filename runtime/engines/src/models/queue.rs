//! The queue before one model, shared by all services that use it.
//!
//! A request's texts go to the model in parts, and a request has only so many parts in the queue at
//! once. So the texts of all requests of all services fill the model's calls together, a long request
//! lets short ones in between its parts, and tenants share the model as they share a service.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_batch::{BatchSettings, Batcher, Flow, Policy};
use routir_compute::{Model, Tokens, batches};
use routir_core::{Error, ErrorCode, QueueMetrics, RequestContext, Result};

use super::parts::{Part, answers, too_few};
use crate::pool::EnginePool;

/// In how many parts a request may fill a batch: the more, the sooner others get in between.
const PARTS_OF_A_BATCH: usize = 4;

/// How many parts of one request may wait or run at once: those of the batch that runs and of the
/// next, so that the model never waits for the request to hand in more.
const PARTS_AT_ONCE: usize = 2 * PARTS_OF_A_BATCH;

/// The most texts of one part.
const TEXTS_OF_A_PART: usize = 256;

/// How the queue before a model behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSettings {
    /// How many parts of requests may wait; one more is refused.
    pub capacity: usize,
    /// How many threads a model computes on: a batch holds a call for each.
    pub threads: usize,
    /// How long what waits for a GPU, before a model, an index or a comparison there, may be held
    /// back for company while the GPU works for others.
    pub max_wait: Duration,
}

/// A model behind its queue.
pub struct ModelQueue<M: Model> {
    model: Arc<M>,
    part_tokens: usize,
    batcher: Arc<Batcher<Arc<Part<Tokens>>, Answers<M>>>,
}

/// The answers to the texts of a part.
type Answers<M> = Vec<Result<<M as Model>::Output>>;

impl<M: Model> ModelQueue<M> {
    /// A queue before `model`, counted in `metrics`.
    pub fn new(model: Arc<M>, settings: ModelSettings, metrics: QueueMetrics) -> Self {
        let tokens = model.max_batch_tokens().max(1);
        // On a GPU calls run one after another, and the next batch gathers during each.
        let load = model.load();
        let (calls, max_wait) = match load {
            Some(_) => (1, settings.max_wait),
            None => (settings.threads.max(1), Duration::ZERO),
        };
        let batched = BatchSettings {
            name: Arc::from(format!("model:{}", model.name())),
            policy: Policy {
                max_requests: usize::MAX,
                max_tokens: Some(tokens.saturating_mul(calls)),
                max_wait,
            },
            capacity: settings.capacity,
            concurrency: 1,
        };
        let loads = load.into_iter().collect();
        // A pool of its own: what waits for a model takes nothing from engines that need none.
        let pool = EnginePool::new(1);
        let engine = Arc::clone(&model);
        let run = move |parts: Vec<Arc<Part<Tokens>>>| {
            let (model, pool) = (Arc::clone(&engine), pool.clone());
            Box::pin(async move { run_parts(model, &pool, parts).await }) as _
        };
        Self {
            model,
            part_tokens: (tokens / PARTS_OF_A_BATCH).max(1),
            batcher: Arc::new(Batcher::sharing(loads, batched, metrics, run)),
        }
    }

    /// The model: for its size, its prompts, and the tokens of a text.
    #[must_use]
    pub fn model(&self) -> &Arc<M> {
        &self.model
    }

    /// Answers each text, in order. Dropping the future withdraws what still waits, and ends the
    /// model's work once nobody waits for any of it. Must be polled within a tokio runtime.
    ///
    /// # Errors
    /// The model's own for the first text that it cannot answer; a full queue; a deadline that has
    /// passed.
    pub fn run(
        &self,
        context: &RequestContext,
        texts: Vec<Tokens>,
    ) -> impl Future<Output = Result<Vec<M::Output>>> + Send + use<M> {
        let answers = self.timed(context, texts);
        async move { Ok(answers.await?.0) }
    }

    /// As [`ModelQueue::run`], and how long it was until the model began.
    ///
    /// # Errors
    /// As [`ModelQueue::run`].
    pub(crate) fn timed(
        &self,
        context: &RequestContext,
        texts: Vec<Tokens>,
    ) -> impl Future<Output = Result<(Vec<M::Output>, Duration)>> + Send + use<M> {
        let flow = Flow::of(context.tenant.as_ref());
        let deadline = context.deadline;
        let batcher = Arc::clone(&self.batcher);
        let parts = parts(texts, self.part_tokens);
        async move {
            let submit = |(tokens, part): &(usize, Arc<Part<Tokens>>)| {
                batcher.submit(flow.clone(), Arc::clone(part), *tokens)
            };
            within(deadline, answers(parts, PARTS_AT_ONCE, submit)).await
        }
    }

    /// Answers one text; as [`ModelQueue::run`].
    ///
    /// # Errors
    /// As [`ModelQueue::run`].
    pub fn one(
        &self,
        context: &RequestContext,
        text: Tokens,
    ) -> impl Future<Output = Result<M::Output>> + Send + use<M> {
        let answers = self.run(context, vec![text]);
        async move { answers.await?.pop().ok_or_else(too_few) }
    }
}

/// The texts in parts of at most so many tokens, with how many each has.
fn parts(texts: Vec<Tokens>, tokens: usize) -> Vec<(usize, Arc<Part<Tokens>>)> {
    let lengths: Vec<usize> = texts.iter().map(Tokens::len).collect();
    let mut texts: Vec<Option<Tokens>> = texts.into_iter().map(Some).collect();
    let mut take = |&at: &usize| texts.get_mut(at).and_then(Option::take).unwrap_or_default();
    let parts = batches(&lengths, tokens, TEXTS_OF_A_PART).into_iter();
    let parts = parts.map(|positions| {
        let texts: Vec<Tokens> = positions.iter().map(&mut take).collect();
        let tokens = texts.iter().map(|text| text.len().max(1)).sum();
        (tokens, Arc::new(Part { positions, texts }))
    });
    parts.collect()
}

/// One call of the model for all parts of a batch; each part gets the answers to its texts.
async fn run_parts<M: Model>(
    model: Arc<M>,
    pool: &EnginePool,
    parts: Vec<Arc<Part<Tokens>>>,
) -> Vec<Result<Answers<M>>> {
    let sizes: Vec<usize> = parts.iter().map(|part| part.texts.len()).collect();
    let texts = parts.iter().flat_map(|part| part.texts.iter().cloned());
    let texts: Vec<Tokens> = texts.collect();
    let expected = texts.len();
    let work = move |cancelled: &_| model.run(&texts, cancelled);
    let answers = match pool.run(work).await {
        Ok(answers) if answers.len() == expected => answers,
        Ok(_) => return sizes.iter().map(|_| Err(too_few())).collect(),
        Err(error) => return sizes.iter().map(|_| Err(error.clone())).collect(),
    };
    let mut answers = answers.into_iter();
    let part = |size: &usize| Ok(answers.by_ref().take(*size).collect());
    sizes.iter().map(part).collect()
}

/// What `work` answers before the deadline. Nothing is begun for one that has passed, which a timer
/// may notice later than a small model answers.
pub(crate) async fn within<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match deadline {
        None => work.await,
        Some(deadline) if deadline <= Instant::now() => Err(too_late()),
        Some(deadline) => tokio::time::timeout_at(deadline.into(), work)
            .await
            .unwrap_or_else(|_| Err(too_late())),
    }
}

fn too_late() -> Error {
    Error::new(
        ErrorCode::DeadlineExceeded,
        "the deadline passed before the model answered",
    )
}
