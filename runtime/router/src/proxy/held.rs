//! A request that a worker has: counted, in its place, and reported when it ends.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::lane::Lane;
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

impl Proxy {
    /// A place for a request at `worker`, which is counted there from now on; waits for one until
    /// `deadline`.
    ///
    /// # Errors
    /// When too many wait already, or time is over.
    pub(crate) async fn hold(
        &self,
        worker: &Arc<Worker>,
        need: &Need,
        deadline: Instant,
    ) -> Result<Held, Refusal> {
        let lane = self.lane(worker);
        let lane = lane.map_err(|why| Refusal::unreachable(worker, why.message()))?;
        self.hold_at(&lane, worker, need, deadline).await
    }

    pub(super) async fn hold_at(
        &self,
        lane: &Lane,
        worker: &Arc<Worker>,
        need: &Need,
        deadline: Instant,
    ) -> Result<Held, Refusal> {
        // Counted before it waits, so that others see that this worker is busy.
        let in_flight = worker.begin(need);
        let place = match lane.free_place() {
            Some(place) => place,
            None => match timeout_at(deadline, lane.place()).await {
                Ok(Some(place)) => place,
                Ok(None) => return Err(Refusal::Busy),
                Err(_) => return Err(Refusal::Deadline),
            },
        };
        Ok(Held::new(in_flight, place, Arc::clone(&self.metrics)))
    }

    /// Counts a request that goes to another worker.
    pub(crate) fn passed_on(&self) {
        self.metrics.failovers.inc();
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
