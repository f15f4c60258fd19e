//! Every metric of the server, in one place: names, labels, units. `docs/operations.md` lists them
//! and a golden test holds the list.

use std::fmt::Write as _;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge;
use prometheus_client::metrics::histogram;
use prometheus_client::registry::Registry;

use crate::redis_metrics::{RedisFamilies, RedisMetrics};

/// A number of things that are there now.
pub type Gauge = gauge::Gauge;

/// A histogram of seconds, or of sizes.
pub type Histogram = histogram::Histogram;

/// Seconds: 50 microseconds to 30 seconds.
const SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 5.0, 30.0,
];
/// Requests in a batch.
const SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    service: String,
    role: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeviceLabels {
    device: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    service: String,
    role: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    cache: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExtensionLabels {
    extension: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExtensionCallLabels {
    extension: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AdmissionLabels {
    owner: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuditLabels {
    outcome: &'static str,
}

/// What a queue counts; handles, so that counting is an atomic addition.
#[derive(Clone, Debug)]
pub struct QueueMetrics {
    /// Requests waiting now.
    pub depth: Gauge,
    /// Requests refused because the queue was full.
    pub refused: Counter,
    /// Entries dropped before a batch because their caller had left.
    pub abandoned: Counter,
    /// Requests per batch.
    pub batch_size: Histogram,
    /// Seconds between admission and the start of the batch.
    pub queued: Histogram,
    /// Seconds that the engine worked on a batch.
    pub service: Histogram,
}

/// What a cache counts.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    /// Look-ups answered from the cache.
    pub hits: Counter,
    /// Look-ups that were not.
    pub misses: Counter,
    /// Calls that joined an identical one in flight.
    pub joined: Counter,
}

/// The server's metrics: cheap to clone, all clones are one.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<EndpointLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    stages: Family<OutcomeLabels, Counter>,
    stage_seconds: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    queue_depth: Family<ServiceLabels, Gauge>,
    queue_refused: Family<ServiceLabels, Counter>,
    queue_abandoned: Family<ServiceLabels, Counter>,
    queue_seconds: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    batch_size: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    batch_seconds: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    device_queue: Family<DeviceLabels, Gauge>,
    /// The same together.
    devices_queue: Gauge,
    cache: Family<CacheLabels, Counter>,
    redis: RedisFamilies,
    extension_calls: Family<ExtensionCallLabels, Counter>,
    extension_trips: Family<ExtensionLabels, Counter>,
    extension_admissions: Family<AdmissionLabels, Counter>,
    audit_lines: Family<AuditLabels, Counter>,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn sizes() -> Histogram {
    Histogram::new(SIZES)
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            in_flight: Gauge::default(),
            stages: Family::default(),
            stage_seconds: Family::new_with_constructor(seconds),
            queue_depth: Family::default(),
            queue_refused: Family::default(),
            queue_abandoned: Family::default(),
            queue_seconds: Family::new_with_constructor(seconds),
            batch_size: Family::new_with_constructor(sizes),
            batch_seconds: Family::new_with_constructor(seconds),
            device_queue: Family::default(),
            devices_queue: Gauge::default(),
            cache: Family::default(),
            redis: RedisFamilies::default(),
            extension_calls: Family::default(),
            extension_trips: Family::default(),
            extension_admissions: Family::default(),
            audit_lines: Family::default(),
        }
    }
}

impl Metrics {
    /// One request answered on `endpoint` with `code` (`ok` or an error code's name).
    pub fn request(&self, endpoint: &'static str, code: &'static str, took: Duration) {
        self.requests
            .get_or_create(&RequestLabels { endpoint, code })
            .inc();
        self.request_seconds
            .get_or_create(&EndpointLabels { endpoint })
            .observe(took.as_secs_f64());
    }

    /// How many requests are being answered now.
    #[must_use]
    pub fn in_flight(&self) -> &Gauge {
        &self.in_flight
    }

    /// One stage of a run ended with `outcome` (`ok` or an error code's name).
    pub fn stage(&self, service: &str, role: &'static str, outcome: &'static str, took: Duration) {
        let service = service.to_owned();
        self.stages
            .get_or_create(&OutcomeLabels {
                service: service.clone(),
                role,
                outcome,
            })
            .inc();
        self.stage_seconds
            .get_or_create(&ServiceLabels { service, role })
            .observe(took.as_secs_f64());
    }

    /// The handles for the queue of `service` in `role`.
    #[must_use]
    pub fn queue(&self, service: &str, role: &'static str) -> QueueMetrics {
        let labels = ServiceLabels {
            service: service.to_owned(),
            role,
        };
        QueueMetrics {
            depth: self.queue_depth.get_or_create_owned(&labels),
            refused: self.queue_refused.get_or_create_owned(&labels),
            abandoned: self.queue_abandoned.get_or_create_owned(&labels),
            batch_size: self.batch_size.get_or_create_owned(&labels),
            queued: self.queue_seconds.get_or_create_owned(&labels),
            service: self.batch_seconds.get_or_create_owned(&labels),
        }
    }

    /// How many calls of models, searches and comparisons wait for the device called `device` or use
    /// it; and for all devices together.
    #[must_use]
    pub fn device_queue(&self, device: &str) -> [Gauge; 2] {
        let device = device.to_owned();
        let one = self
            .device_queue
            .get_or_create_owned(&DeviceLabels { device });
        [one, self.devices_queue.clone()]
    }

    /// How many calls of models, searches and comparisons wait for devices or use them.
    #[must_use]
    pub fn devices_queue(&self) -> usize {
        usize::try_from(self.devices_queue.get()).unwrap_or_default()
    }

    /// The handles for the cache called `cache` (a service's name, or `pipeline`).
    #[must_use]
    pub fn cache(&self, cache: &str) -> CacheMetrics {
        let counter = |outcome| {
            self.cache.get_or_create_owned(&CacheLabels {
                cache: cache.to_owned(),
                outcome,
            })
        };
        CacheMetrics {
            hits: counter("hit"),
            misses: counter("miss"),
            joined: counter("joined"),
        }
    }

    /// The handles for the Redis called `redis` (`host:port/db`).
    #[must_use]
    pub fn redis(&self, redis: &str) -> RedisMetrics {
        self.redis.handles(redis)
    }

    /// One call of an extension ended with `outcome`: `ok`; `failed`, by its own fault; `error`,
    /// by anybody else's; `left`, by a caller that went away; `kept_out`, by its breaker;
    /// `fallback`, answered by another service in its place. The extensions of one tenant count as
    /// one (`tenant/*`), so that no tenant makes labels without end; as in
    /// [`Metrics::extension_trip`].
    pub fn extension_call(&self, extension: &str, outcome: &'static str) {
        let extension = extension.to_owned();
        self.extension_calls
            .get_or_create(&ExtensionCallLabels { extension, outcome })
            .inc();
    }

    /// An extension's breaker took it out of service.
    pub fn extension_trip(&self, extension: &str) {
        let extension = extension.to_owned();
        self.extension_trips
            .get_or_create(&ExtensionLabels { extension })
            .inc();
    }

    /// A component of `owner` (a tenant; empty for the operator) was `admitted` or `refused`.
    pub fn extension_admission(&self, owner: &str, outcome: &'static str) {
        let owner = owner.to_owned();
        self.extension_admissions
            .get_or_create(&AdmissionLabels { owner, outcome })
            .inc();
    }

    /// A line of the audit file was `written`, `lost` (it could not be), or `skipped` as one of very
    /// many refusals.
    pub fn audit_line(&self, outcome: &'static str) {
        self.audit_lines
            .get_or_create(&AuditLabels { outcome })
            .inc();
    }

    /// All metrics in the Prometheus / OpenMetrics text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut registry = Registry::with_prefix("routir");
        registry.register(
            "requests",
            "Requests answered, by endpoint and code",
            self.requests.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "Time to answer a request",
            self.request_seconds.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests being answered now",
            self.in_flight.clone(),
        );
        registry.register(
            "stages",
            "Stages run, by service, role and outcome",
            self.stages.clone(),
        );
        registry.register(
            "stage_duration_seconds",
            "Time of a stage, waiting included",
            self.stage_seconds.clone(),
        );
        registry.register(
            "queue_depth",
            "Requests waiting for a batch",
            self.queue_depth.clone(),
        );
        registry.register(
            "queue_refused",
            "Requests refused because a queue was full",
            self.queue_refused.clone(),
        );
        registry.register(
            "queue_abandoned",
            "Entries dropped before their batch because the caller had left",
            self.queue_abandoned.clone(),
        );
        registry.register(
            "queue_duration_seconds",
            "Time between admission and the start of the batch",
            self.queue_seconds.clone(),
        );
        registry.register("batch_size", "Requests in a batch", self.batch_size.clone());
        registry.register(
            "batch_duration_seconds",
            "Time that the engine worked on a batch",
            self.batch_seconds.clone(),
        );
        registry.register(
            "device_queue_depth",
            "Calls of models, searches and comparisons that wait for a device or use it",
            self.device_queue.clone(),
        );
        registry.register(
            "cache_lookups",
            "Cache look-ups, by cache and outcome (hit, miss, joined)",
            self.cache.clone(),
        );
        self.redis.register(&mut registry);
        self.register_extensions(&mut registry);
        let mut out = String::new();
        if text::encode(&mut out, &registry).is_err() {
            let _ = writeln!(out, "# the metrics could not be written");
        }
        out
    }

    fn register_extensions(&self, registry: &mut Registry) {
        registry.register(
            "extension_calls",
            "Calls of extensions, by outcome (ok, failed, error, left, kept_out, fallback)",
            self.extension_calls.clone(),
        );
        registry.register(
            "extension_trips",
            "Times that a breaker took an extension out of service",
            self.extension_trips.clone(),
        );
        registry.register(
            "extension_admissions",
            "Components looked at, by owner and outcome (admitted, refused)",
            self.extension_admissions.clone(),
        );
        registry.register(
            "audit_lines",
            "Lines of the audit file, by outcome (written, lost, skipped)",
            self.audit_lines.clone(),
        );
    }
}
