//! What is counted of a Redis that keeps cached values.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RedisLabels {
    redis: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    redis: String,
    operation: &'static str,
    outcome: &'static str,
}

/// What a Redis that keeps cached values counts. A `get` or a `put` ends in one of these ways:
/// `unreachable`, there is no connection; `timeout`, no answer in time; `error`, Redis refused or the
/// connection broke.
#[derive(Clone, Debug)]
pub struct RedisMetrics {
    /// Whether there is a connection: 1 or 0.
    pub connected: Gauge,
    /// Values found.
    pub get_hit: Counter,
    /// Values not there.
    pub get_miss: Counter,
    /// Values that are not what this server keeps there.
    pub get_corrupt: Counter,
    /// Look-ups without a connection.
    pub get_unreachable: Counter,
    /// Look-ups that were not answered in time.
    pub get_timeout: Counter,
    /// Look-ups that failed.
    pub get_error: Counter,
    /// Values kept.
    pub put_stored: Counter,
    /// Values too large to be kept.
    pub put_oversize: Counter,
    /// Values not kept because too many were on their way.
    pub put_dropped: Counter,
    /// Values not kept for want of a connection.
    pub put_unreachable: Counter,
    /// Values whose keeping was not confirmed in time.
    pub put_timeout: Counter,
    /// Values whose keeping failed.
    pub put_error: Counter,
}

/// The series of every Redis.
#[derive(Clone, Debug, Default)]
pub(crate) struct RedisFamilies {
    connected: Family<RedisLabels, Gauge>,
    operations: Family<OperationLabels, Counter>,
}

impl RedisFamilies {
    pub(crate) fn handles(&self, redis: &str) -> RedisMetrics {
        let counter = |operation, outcome| {
            self.operations.get_or_create_owned(&OperationLabels {
                redis: redis.to_owned(),
                operation,
                outcome,
            })
        };
        let labels = RedisLabels {
            redis: redis.to_owned(),
        };
        RedisMetrics {
            connected: self.connected.get_or_create_owned(&labels),
            get_hit: counter("get", "hit"),
            get_miss: counter("get", "miss"),
            get_corrupt: counter("get", "corrupt"),
            get_unreachable: counter("get", "unreachable"),
            get_timeout: counter("get", "timeout"),
            get_error: counter("get", "error"),
            put_stored: counter("put", "stored"),
            put_oversize: counter("put", "oversize"),
            put_dropped: counter("put", "dropped"),
            put_unreachable: counter("put", "unreachable"),
            put_timeout: counter("put", "timeout"),
            put_error: counter("put", "error"),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "redis_connected",
            "Whether there is a connection to a Redis that keeps cached values",
            self.connected.clone(),
        );
        registry.register(
            "redis_operations",
            "Operations on a Redis that keeps cached values, by operation (get, put) and outcome",
            self.operations.clone(),
        );
    }
}
