//! A pipeline that tells what its stages found as soon as it is known.
//!
//! Nothing computes differently for it: the run is the same future, polled by whoever polls the
//! stream, and what it tells waits here until that poll takes it. So the stream is the run:
//! dropping it drops everything that the run waits for. What waits to be told is bounded by what
//! the run holds anyway, since results are shared and not copied.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::Stream;
use parking_lot::Mutex;
use routir_core::{BoxFuture, Ranking, Result, Role};

use crate::api::{PipelineAnswer, PipelineCall};
use crate::runtime::{Runtime, within};

/// One of the things that happen while a pipeline runs.
#[derive(Clone, Debug)]
pub enum PipelineEvent {
    /// A stage has its result.
    Stage(StageResult),
    /// The pipeline has its answer. Nothing follows.
    Answer(Box<PipelineAnswer>),
}

/// The result of one stage under one query.
#[derive(Clone, Debug)]
pub struct StageResult {
    /// The stage's place in the plan.
    pub node: usize,
    /// The stage: its alias, or its service's name.
    pub stage: Arc<str>,
    /// The service; an extension by its identity.
    pub service: Arc<str>,
    /// The role that the service played.
    pub role: Role,
    /// The query that the stage was asked; a sub-query under an expander.
    pub query: Arc<str>,
    /// The documents, best first; `None` for an expander.
    pub ranking: Option<Arc<Ranking>>,
    /// The sub-queries; `None` for all but an expander.
    pub sub_queries: Option<Arc<[Arc<str>]>>,
    /// Whether the result came from a cache.
    pub cached: bool,
    /// From when the stage's inputs were there to its result.
    pub took: Duration,
}

impl StageResult {
    /// [`StageResult::took`] in milliseconds, to the microsecond.
    #[must_use]
    pub fn took_ms(&self) -> f64 {
        crate::report::milliseconds(self.took)
    }
}

/// What a run has told and nobody has taken yet.
pub(crate) type Told = Arc<Mutex<VecDeque<StageResult>>>;

/// A pipeline on its way: the results of its stages as they come, then its answer or the error that
/// ended it.
pub struct PipelineStream {
    told: Told,
    run: Option<BoxFuture<'static, Result<PipelineAnswer>>>,
    ended: Option<Result<PipelineAnswer>>,
}

impl fmt::Debug for PipelineStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineStream")
            .field("runs", &self.run.is_some())
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Begins to run a pipeline, which goes on while the stream is polled. Whole answers that are
    /// kept are not looked at, since there is nothing to tell of their stages; the stages' own
    /// caches are.
    ///
    /// # Errors
    /// Everything wrong with the pipeline or its arguments at once. What fails later is the
    /// stream's last item.
    pub fn pipeline_stream(&self, call: PipelineCall) -> Result<PipelineStream> {
        let (scope, plan, call) = self.compiled(call, None)?;
        let told = Told::default();
        let run = {
            let (runtime, told) = (self.clone(), Arc::clone(&told));
            async move {
                let context = Arc::clone(&call.context);
                let run = runtime.run(scope, plan, call.query, &context, call.options, Some(told));
                within(&context, run).await
            }
        };
        Ok(PipelineStream {
            told,
            run: Some(run.boxed()),
            ended: None,
        })
    }
}

impl Stream for PipelineStream {
    type Item = Result<PipelineEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let told = this.told.lock().pop_front();
        if let Some(stage) = told {
            return Poll::Ready(Some(Ok(PipelineEvent::Stage(stage))));
        }
        if let Some(run) = &mut this.run {
            let polled = run.poll_unpin(cx);
            // What was told comes before how it ended.
            let told = this.told.lock().pop_front();
            let runs = polled.is_pending();
            if let Poll::Ready(ended) = polled {
                this.run = None;
                this.ended = Some(ended);
            }
            match told {
                Some(stage) => return Poll::Ready(Some(Ok(PipelineEvent::Stage(stage)))),
                None if runs => return Poll::Pending,
                None => {}
            }
        }
        let ended = this.ended.take();
        Poll::Ready(ended.map(|ended| ended.map(|answer| PipelineEvent::Answer(Box::new(answer)))))
    }
}
