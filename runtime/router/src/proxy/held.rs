//! A request that a worker has: counted, in its place, and reported when it ends.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::lane::Lane;
use super::upload::Source;
use super::{Proxy, Refusal};
use crate::metrics::Metrics;
use crate::want::Need;
use crate::worker::{InFlight, Outcome, Worker};

/// A request that a worker has. When it is dropped the worker has it no more, and hears how it
/// went; what nobody settled was cancelled.
pub(crate) struct Held {
    in_flight: InFlight,
    _place: OwnedSemaphorePermit,
    metrics: Arc<Metrics>,
    outcome: Option<Outcome>,
    settled: bool,
}

impl Held {
    pub(super) fn new(
        in_flight: InFlight,
        place: OwnedSemaphorePermit,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            in_flight,
            _place: place,
            metrics,
            outcome: None,
            settled: false,
        }
    }

    /// The worker began to answer; unless something else comes, this is how it went.
    pub(crate) fn began(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
        if outcome == Outcome::Answered {
            self.in_flight.answered();
        }
    }

    /// It is over.
    pub(crate) fn settle(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
        self.settled = true;
    }

    /// It is over as it began.
    pub(crate) fn done(mut self) {
        self.settled = true;
    }

    /// It is over, and nothing is to be learnt about the worker.
    pub(crate) fn excused(mut self) {
        self.outcome = None;
        self.settled = true;
    }
}

/// A request that asks for a place at a worker.
pub(super) struct Asking<'a> {
    pub(super) need: &'a Need,
    pub(super) deadline: Instant,
    /// The body, if the client is still sending it.
    pub(super) body: Option<&'a Source>,
    /// Whether it waits for this worker though that fails.
    pub(super) stays: bool,
}

impl Proxy {
    /// A place for a request at `worker`, which is counted there from now on; waits for one until
    /// `deadline`. `None` when the worker began to fail meanwhile, unless the request `stays`.
    ///
    /// # Errors
    /// When too many wait already, or time is over.
    pub(crate) async fn hold(
        &self,
        worker: &Arc<Worker>,
        need: &Need,
        deadline: Instant,
        stays: bool,
    ) -> Result<Option<Held>, Refusal> {
        let lane = self.lane(worker);
        let lane = lane.map_err(|why| Refusal::unreachable(worker, why.message()))?;
        let asking = Asking {
            need,
            deadline,
            body: None,
            stays,
        };
        self.hold_at(&lane, worker, &asking).await
    }

    pub(super) async fn hold_at(
        &self,
        lane: &Lane,
        worker: &Arc<Worker>,
        asking: &Asking<'_>,
    ) -> Result<Option<Held>, Refusal> {
        // Counted before it waits, so that others see that this worker is busy.
        let in_flight = worker.begin(asking.need);
        let place = match lane.free_place() {
            Some(place) => place,
            None => match timeout_at(asking.deadline, asking.wait(lane, worker)).await {
                Ok(Ok(Some(place))) => place,
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(why)) => return Err(why),
                Err(_) => return Err(Refusal::Deadline),
            },
        };
        let metrics = Arc::clone(&self.metrics);
        Ok(Some(Held::new(in_flight, place, metrics)))
    }

    /// Counts a request that goes to another worker.
    pub(crate) fn passed_on(&self) {
        self.metrics.failovers.inc();
    }
}

impl Asking<'_> {
    /// Waits for a place; `None` when another worker is a better one to wait for.
    async fn wait(
        &self,
        lane: &Lane,
        worker: &Worker,
    ) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        let mut place = pin!(lane.place());
        let mut turned = pin!(worker.turned());
        // Who came though it fails found nobody better.
        let leaves = !self.stays && worker.is_sound();
        poll_fn(|cx| {
            while turned.as_mut().poll(cx).is_ready() {
                turned.set(worker.turned());
            }
            if leaves && !worker.is_sound() {
                return Poll::Ready(Ok(None));
            }
            if let Poll::Ready(place) = place.as_mut().poll(cx) {
                return Poll::Ready(place.map(Some).ok_or(Refusal::Busy));
            }
            match self.body.and_then(|body| body.read_ahead(cx)) {
                Some(broken) => Poll::Ready(Err(Refusal::Body(broken))),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled {
            self.metrics.cancelled.inc();
        }
        if let Some(outcome) = self.outcome {
            self.metrics.attempt(outcome);
            self.in_flight.worker().report(outcome);
        }
    }
}
