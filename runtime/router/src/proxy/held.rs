//! A request that a worker has: counted, in its place, and reported when it ends.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::metrics::Metrics;
use crate::worker::{InFlight, Outcome};

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
