//! What the router counts of requests, in SIE's names where those exist.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::worker::Outcome;

/// SIE's, in seconds.
const SECONDS: [f64; 11] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    status: u16,
    machine_profile: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TimeLabels {
    endpoint: &'static str,
    machine_profile: Arc<str>,
}

/// What a kind of answer is counted by, looked up at once.
#[derive(Clone, Debug)]
struct Answered {
    requests: Counter,
    latency: Histogram,
    duration: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// Kinds of machines that are told apart: workers call theirs what they like.
const MAX_PROFILES: usize = 1024;
/// What further ones are counted under.
const OTHER: &str = "other";

type Times = Family<TimeLabels, Histogram, fn() -> Histogram>;

/// What the router counts of requests.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    latency: Times,
    duration: Times,
    answered: RwLock<HashMap<RequestLabels, Answered, RandomState>>,
    profiles: Mutex<BTreeSet<Arc<str>>>,
    attempts: Family<OutcomeLabels, Counter>,
    refused: Family<ReasonLabels, Counter>,
    /// Requests that were sent to another worker.
    pub(crate) failovers: Counter,
    /// Requests at workers that were given up because their clients left.
    pub(crate) cancelled: Counter,
    /// Answers that ended before their end.
    pub(crate) cut: Counter,
    /// Requests being answered.
    pub(crate) in_flight: Gauge,
    waiting: Gauge,
    /// Web sockets being fed.
    pub(crate) sockets: Gauge,
}

impl Metrics {
    /// The router's counters, in `registry` beside whatever else is there.
    pub(crate) fn new(mut registry: Registry) -> Self {
        let times = || Times::new_with_constructor(|| Histogram::new(SECONDS));
        let metrics = Self {
            registry: Mutex::default(),
            requests: Family::default(),
            latency: times(),
            duration: times(),
            answered: RwLock::default(),
            profiles: Mutex::default(),
            attempts: Family::default(),
            refused: Family::default(),
            failovers: Counter::default(),
            cancelled: Counter::default(),
            cut: Counter::default(),
            in_flight: Gauge::default(),
            waiting: Gauge::default(),
            sockets: Gauge::default(),
        };
        metrics.register(&mut registry);
        *metrics.registry.lock() = registry;
        metrics
    }

    fn register(&self, to: &mut Registry) {
        to.register(
            "sie_router_requests",
            "Requests answered",
            self.requests.clone(),
        );
        to.register(
            "sie_router_request_latency_seconds",
            "Time until the head of the answer",
            self.latency.clone(),
        );
        to.register(
            "sie_router_request_duration_seconds",
            "Time until the last byte of the answer",
            self.duration.clone(),
        );
        to.register(
            "sie_router_upstream_attempts",
            "Requests sent to workers, by how they ended",
            self.attempts.clone(),
        );
        to.register(
            "sie_router_failovers",
            "Requests sent to another worker after one failed",
            self.failovers.clone(),
        );
        to.register(
            "sie_router_upstream_cancelled",
            "Requests at workers given up because their clients left",
            self.cancelled.clone(),
        );
        to.register(
            "sie_router_cut_responses",
            "Answers that ended before their end",
            self.cut.clone(),
        );
        to.register(
            "sie_router_refused_requests",
            "Requests refused by the router itself",
            self.refused.clone(),
        );
        to.register(
            "sie_router_in_flight",
            "Requests being answered",
            self.in_flight.clone(),
        );
        to.register(
            "sie_router_waiting",
            "Requests that wait for a place at a worker",
            self.waiting.clone(),
        );
        to.register(
            "sie_router_sockets",
            "Web sockets being fed with the cluster's state",
            self.sockets.clone(),
        );
    }

    /// A request is answered: with that status, by a worker of that profile, so long after it came
    /// to the head and to the end of the answer.
    pub(crate) fn answered(
        &self,
        endpoint: &'static str,
        status: u16,
        machine_profile: &Arc<str>,
        head: Duration,
        end: Duration,
    ) {
        let mut labels = RequestLabels {
            endpoint,
            status,
            machine_profile: Arc::clone(machine_profile),
        };
        let count = |answered: &Answered| {
            answered.requests.inc();
            answered.latency.observe(head.as_secs_f64());
            answered.duration.observe(end.as_secs_f64());
        };
        if let Some(answered) = self.answered.read().get(&labels) {
            return count(answered);
        }
        labels.machine_profile = self.profile(machine_profile);
        let times = TimeLabels {
            endpoint,
            machine_profile: Arc::clone(&labels.machine_profile),
        };
        let answered = Answered {
            requests: self.requests.get_or_create(&labels).clone(),
            latency: self.latency.get_or_create(&times).clone(),
            duration: self.duration.get_or_create(&times).clone(),
        };
        count(&answered);
        self.answered.write().insert(labels, answered);
    }

    /// The label of a kind of machine.
    fn profile(&self, name: &Arc<str>) -> Arc<str> {
        let mut profiles = self.profiles.lock();
        if profiles.len() >= MAX_PROFILES && !profiles.contains(name) {
            return Arc::from(OTHER);
        }
        profiles.insert(Arc::clone(name));
        Arc::clone(name)
    }

    /// A worker was asked.
    pub(crate) fn attempt(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Answered => "answered",
            Outcome::ConnectFailed => "connect_failed",
            Outcome::Reset => "reset",
            Outcome::TimedOut => "timed_out",
            Outcome::Draining => "draining",
            Outcome::ServerError => "server_error",
        };
        self.attempts
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
    }

    /// The router itself refused a request.
    pub(crate) fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Everything, as Prometheus reads it.
    pub(crate) fn encode(&self, waiting: usize) -> String {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut text, &self.registry.lock());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_changes_its_profile_makes_no_series_without_end() {
        let metrics = Metrics::new(Registry::default());
        let answered = |profile: String| {
            let none = Duration::ZERO;
            metrics.answered("encode", 200, &profile.into(), none, none);
        };
        (0..2000).for_each(|at| answered(format!("p{at}")));
        answered("p7".to_owned());
        assert_eq!(metrics.answered.read().len(), MAX_PROFILES + 1);
        let told = metrics.encode(0);
        let requests = |profile: &str, count: u32| {
            let labels = format!(r#"endpoint="encode",status="200",machine_profile="{profile}""#);
            told.contains(&format!("sie_router_requests_total{{{labels}}} {count}\n"))
        };
        assert!(requests("p7", 2) && requests("other", 976) && !requests("p1999", 1));
    }
}
