//! One batch: from the moment it takes a slot until its members are answered.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use routir_core::{CallStats, Error, Result};
use tokio::sync::oneshot;

use crate::Waiting;
use crate::shared::{Shared, now};

/// A request that was pushed, and where its answer goes.
pub(crate) struct Entry<Req, Resp> {
    pub(crate) request: Req,
    pub(crate) reply: Reply<Resp>,
}

/// Where one request's answer goes.
pub(crate) type Reply<Resp> = oneshot::Sender<Result<(Resp, CallStats)>>;

/// A batch that has taken a slot.
pub(crate) struct Batch<Req: Send + 'static, Resp: Send + 'static> {
    pub(crate) slot: Slot<Req, Resp>,
    pub(crate) members: Vec<Waiting<Entry<Req, Resp>>>,
    pub(crate) formed: Instant,
}

struct Member<Resp> {
    reply: Reply<Resp>,
    queued: Duration,
}

impl<Req: Send + 'static, Resp: Send + 'static> Batch<Req, Resp> {
    /// Asks the engine and answers every member once; stops when all of them have left. Gives back
    /// the slot for what comes next.
    pub(crate) async fn run(self) -> Slot<Req, Resp> {
        let Self {
            mut slot,
            members,
            formed,
        } = self;
        let shared = Arc::clone(&slot.shared);
        let size = members.len();
        shared.metrics.batch_size.observe(size as f64);
        let (requests, mut members): (Vec<_>, Vec<_>) = members
            .into_iter()
            .map(|Waiting { entry, since, .. }| {
                let queued = formed.saturating_duration_since(since);
                shared.metrics.queued.observe(queued.as_secs_f64());
                (
                    entry.request,
                    Member {
                        reply: entry.reply,
                        queued,
                    },
                )
            })
            .unzip();

        let work = async { shared.ask(requests).await };
        let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
        let mut left = 0;
        let outcome = poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => poll_all_left(&mut members, &mut left, cx).map(|()| None),
        })
        .await;
        // Nobody waits for it any more; leaving this scope cancels the engine's future.
        let Some(outcome) = outcome else { return slot };

        let service = now().saturating_duration_since(formed);
        shared.metrics.service.observe(service.as_secs_f64());
        slot.took = Some((service, size));
        match check(&shared.name, size, outcome) {
            Ok(results) => {
                for (Member { reply, queued }, result) in members.into_iter().zip(results) {
                    let stats = CallStats {
                        queued,
                        service,
                        batch_size: size,
                        ..CallStats::default()
                    };
                    let _ = reply.send(result.map(|value| (value, stats)));
                }
            }
            Err(error) => {
                tracing::error!(service = %shared.name, requests = size, "{error}");
                for member in members {
                    let _ = member.reply.send(Err(error.clone()));
                }
            }
        }
        slot
    }
}

/// Runs `batch`, and then whatever has become due, until nothing is.
pub(crate) async fn drain<Req: Send + 'static, Resp: Send + 'static>(batch: Batch<Req, Resp>) {
    let mut next = Some(batch);
    while let Some(batch) = next {
        // An engine that never waits must not keep a worker thread to itself.
        tokio::task::coop::consume_budget().await;
        next = batch.run().await.next();
    }
}

/// Ready when the callers of all members have left; `left` is how many are known to have. Watches
/// one that is still there at a time, so that waking up costs the same for a batch of any size.
fn poll_all_left<Resp>(
    members: &mut [Member<Resp>],
    left: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<()> {
    while let Some(member) = members.get_mut(*left) {
        ready!(member.reply.poll_closed(cx));
        *left += 1;
    }
    Poll::Ready(())
}

/// One result per request, or why not.
fn check<Resp>(
    name: &str,
    size: usize,
    outcome: std::thread::Result<Vec<Result<Resp>>>,
) -> Result<Vec<Result<Resp>>> {
    match outcome {
        Ok(results) if results.len() == size => Ok(results),
        Ok(results) => Err(Error::engine(format!(
            "service `{name}` answered {} results to a batch of {size}, so none can be trusted",
            results.len()
        ))),
        Err(panic) => Err(Error::engine(format!(
            "service `{name}` crashed on a batch of {size}: {}",
            panic_text(&*panic)
        ))),
    }
}

/// The start of a panic's message.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    text.chars().take(200).collect()
}

/// One of the engine's slots, taken. Given back by [`Slot::next`], or by being dropped when the
/// runtime drops the task that runs the batch.
pub(crate) struct Slot<Req: Send + 'static, Resp: Send + 'static> {
    shared: Arc<Shared<Req, Resp>>,
    /// How long the batch took and how many requests it had, when it ended.
    took: Option<(Duration, usize)>,
    taken: bool,
}

impl<Req: Send + 'static, Resp: Send + 'static> Slot<Req, Resp> {
    /// The slot that a batch of `shared` has just taken.
    pub(crate) fn new(shared: Arc<Shared<Req, Resp>>) -> Self {
        Self {
            shared,
            took: None,
            taken: true,
        }
    }

    /// Gives the slot back and takes the next batch, if one is due.
    pub(crate) fn next(mut self) -> Option<Batch<Req, Resp>> {
        self.taken = false;
        self.shared.finished(self.took)
    }
}

impl<Req: Send + 'static, Resp: Send + 'static> Drop for Slot<Req, Resp> {
    fn drop(&mut self) {
        if self.taken {
            self.shared.interrupted();
        }
    }
}
