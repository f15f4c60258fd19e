//! What a service's callers hold: submit a request, get its answer.
//!
//! There is no permanent task. Whoever makes a batch possible (a caller that pushes, a batch
//! that ends, the timer, the end of others' work) starts it. A caller polls the batch that it
//! made possible once in place, so that an engine that answers without waiting costs neither a
//! task nor a wake-up. An engine that waits is handed to a task, which then goes on with what
//! has gathered meanwhile; its future is never left inside a caller's, for a caller that nobody
//! polls for a while would then hold the engine's slot against everybody else.
//!
//! Callers are futures and leave by being dropped. One that still waits is taken out of the queue
//! on the spot; when all callers of a running batch have left, the engine's future is dropped.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use routir_core::{BoxFuture, CallStats, Load, QueueMetrics, Result};

use crate::running::{Batch, drain};
use crate::shared::{Admitted, Shared};
use crate::{Flow, Policy, Ticket};

/// How the queue before one engine behaves.
#[derive(Clone, Debug)]
pub struct BatchSettings {
    /// The service's name, for messages.
    pub name: Arc<str>,
    /// When a batch leaves.
    pub policy: Policy,
    /// How many requests may wait; one more is refused. 0 counts as 1. Several flows share it, as
    /// the module of [`crate::Queue`] says.
    pub capacity: usize,
    /// How many batches the engine works on at once. 0 counts as 1.
    pub concurrency: usize,
}

/// The queue before one engine, and what runs its batches.
///
/// Dropping it fails the requests that still wait with [`routir_core::ErrorCode::Unavailable`];
/// batches that run are still answered.
pub struct Batcher<Req: Send + 'static, Resp: Send + 'static> {
    shared: Arc<Shared<Req, Resp>>,
}

impl<Req: Send + 'static, Resp: Send + 'static> Batcher<Req, Resp> {
    /// A queue before `run`, which answers each request of a batch, in order. Its future must not
    /// block; it may be polled by several tasks in turn, and is dropped when nobody waits for it.
    pub fn new(
        settings: BatchSettings,
        metrics: QueueMetrics,
        run: impl Fn(Vec<Req>) -> BoxFuture<'static, Vec<Result<Resp>>> + Send + Sync + 'static,
    ) -> Self {
        Self::sharing(Vec::new(), settings, metrics, run)
    }

    /// As [`Batcher::new`], for an engine that computes on what it shares with others: `loads` says
    /// while they keep it busy. Of several, the engine needs all at once.
    pub fn sharing(
        loads: Vec<Arc<dyn Load>>,
        settings: BatchSettings,
        metrics: QueueMetrics,
        run: impl Fn(Vec<Req>) -> BoxFuture<'static, Vec<Result<Resp>>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            shared: Arc::new(Shared::new(settings, metrics, Box::new(run), loads)),
        }
    }

    /// Asks the engine on behalf of `flow`, counting `tokens` against the batch's token budget and
    /// against the flow. Nothing happens before
    /// the future is first polled, in a tokio runtime with its timer enabled; dropping the future
    /// withdraws the request. The future does not borrow the batcher.
    ///
    /// # Errors
    /// The engine's own, and with the service's name in the message:
    /// - [`routir_core::ErrorCode::Overloaded`] when the flow has no place left, with when to
    ///   come back;
    /// - [`routir_core::ErrorCode::EngineFailure`] when the engine panics or answers with another
    ///   number of results than requests;
    /// - [`routir_core::ErrorCode::Unavailable`] when the batcher or the runtime goes away.
    pub fn submit(
        &self,
        flow: Flow,
        request: Req,
        tokens: usize,
    ) -> impl Future<Output = Result<(Resp, CallStats)>> + Send + use<Req, Resp> {
        let shared = Arc::clone(&self.shared);
        async move {
            let Admitted {
                ticket,
                answer,
                batch,
            } = shared.admit(&flow, request, tokens)?;
            let mut place = Place {
                shared,
                ticket,
                waits: true,
            };
            if let Some(batch) = batch {
                start(batch).await;
            }
            let answer = answer.await;
            place.waits = false;
            answer.unwrap_or_else(|_| Err(place.shared.unavailable()))
        }
    }

    /// How many requests wait now; those in a running batch do not count.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.shared.depth()
    }
}

impl<Req: Send + 'static, Resp: Send + 'static> Drop for Batcher<Req, Resp> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Polls `batch` once in place and leaves the rest, if any, to a task. Never suspends.
async fn start<Req: Send + 'static, Resp: Send + 'static>(batch: Batch<Req, Resp>) {
    let mut running = Box::pin(batch.run());
    match poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await {
        // What has become due meanwhile is not this caller's work: its own answer is there.
        Poll::Ready(slot) => {
            if let Some(next) = slot.next() {
                tokio::spawn(drain(next));
            }
        }
        Poll::Pending => {
            tokio::spawn(async move {
                if let Some(next) = running.await.next() {
                    drain(next).await;
                }
            });
        }
    }
}

/// A caller's place in the queue, given up when the caller leaves.
struct Place<Req: Send + 'static, Resp: Send + 'static> {
    shared: Arc<Shared<Req, Resp>>,
    ticket: Ticket,
    waits: bool,
}

impl<Req: Send + 'static, Resp: Send + 'static> Drop for Place<Req, Resp> {
    fn drop(&mut self) {
        if self.waits {
            self.shared.leave(self.ticket);
        }
    }
}
