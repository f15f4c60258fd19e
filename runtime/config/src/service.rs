//! One entry of `services`: an engine under a name, with its batching and its cache.

use std::time::Duration;

use routir_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::rt::seconds;
use crate::schema::{EXTENSION, config_of_extension};
use crate::{ExtensionConfig, ServiceRt};

/// A service: an engine under a name, with its batching and its cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = config_of_extension)]
pub struct ServiceConfig {
    /// The name in requests. Only a letter, then letters, digits, `_` or `-`, can also stand in a
    /// pipeline; any other name serves `/search` and `/score` alone.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Which engine answers.
    #[schemars(length(min = 1))]
    pub engine: String,
    /// What the engine is told; which keys it takes is the engine's own business. An `Extension`
    /// takes those of its own table below.
    pub config: Map<String, Value>,
    /// RoutIR's class for the search role. Both values mean this server's own scheduler.
    #[serde(default)]
    pub processor: ServiceProcessor,
    /// How many search results are kept in memory; 0 or less is none. Means nothing beside
    /// `cache_redis_url`.
    #[serde(default = "off")]
    pub cache: i64,
    /// The most requests that the engine gets in one batch.
    #[serde(default = "batch_size")]
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// How long a cached result stays, in seconds; 0 keeps nothing.
    #[serde(default = "ttl")]
    pub cache_ttl: u64,
    /// How long a request may wait for company in its batch, in seconds. An idle engine is never
    /// waited for.
    #[serde(default = "max_wait_time")]
    #[schemars(range(min = 0, max = 3600))]
    pub max_wait_time: f64,
    /// Which fields of a request tell cached results apart; a field that a request lacks counts
    /// as empty.
    #[serde(default = "cache_key_fields")]
    #[schemars(length(min = 1))]
    pub cache_key_fields: Vec<String>,
    /// Where a Redis keeps the cache instead of this server's memory, whatever `cache` says:
    /// `redis://host:port/db`, `rediss://` for TLS, `unix://path`.
    #[serde(default)]
    pub cache_redis_url: Option<String>,
    /// More arguments for the Redis client, such as `password` and `db`, as redis-py has them.
    #[serde(default = "kwargs")]
    pub cache_redis_kwargs: Option<Map<String, Value>>,
    /// Whether the service has no score role though its engine could play it.
    #[serde(default)]
    pub scoring_disabled: bool,
    /// What this server can be told that RoutIR cannot.
    #[serde(default)]
    pub rt: ServiceRt,
}

/// RoutIR's class for the search role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ServiceProcessor {
    /// Batches requests.
    #[default]
    BatchQueryProcessor,
    /// Does not batch in RoutIR; the same scheduler here.
    AsyncQueryProcessor,
}

impl ServiceConfig {
    /// A service with every default.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        engine: impl Into<String>,
        config: Map<String, Value>,
    ) -> Self {
        Self {
            name: name.into(),
            engine: engine.into(),
            config,
            processor: ServiceProcessor::default(),
            cache: off(),
            batch_size: batch_size(),
            cache_ttl: ttl(),
            max_wait_time: max_wait_time(),
            cache_key_fields: cache_key_fields(),
            cache_redis_url: None,
            cache_redis_kwargs: kwargs(),
            scoring_disabled: false,
            rt: ServiceRt::default(),
        }
    }

    /// What the extension is told; `None` when the engine is another one.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when its `config` is not that of an extension;
    /// in a loaded configuration it always is.
    pub fn extension(&self) -> Result<Option<ExtensionConfig>> {
        if self.engine != EXTENSION {
            return Ok(None);
        }
        let config = Value::Object(self.config.clone());
        let read = serde_json::from_value(config);
        read.map(Some)
            .map_err(|why| Error::invalid(format!("service `{}`: config: {why}", self.name)))
    }

    /// Writes an extension's defaults out.
    pub(crate) fn fill_in(&mut self) {
        if let Ok(Some(extension)) = self.extension()
            && let Ok(Value::Object(config)) = serde_json::to_value(&extension)
        {
            self.config = config;
        }
    }

    /// How many results are kept; `None` when the cache is off.
    #[must_use]
    pub fn cache_capacity(&self) -> Option<u64> {
        capacity(self.cache, self.cache_ttl)
    }

    /// The Redis that keeps the cache, when one does.
    #[must_use]
    pub fn redis(&self) -> Option<RedisConfig<'_>> {
        let kwargs = self.cache_redis_kwargs.as_ref();
        RedisConfig::of(self.cache_redis_url.as_deref(), kwargs, self.cache_ttl)
    }

    /// How long a cached result stays.
    #[must_use]
    pub fn cache_ttl(&self) -> Duration {
        lifetime(self.cache_ttl)
    }

    /// How long a request may wait for company.
    #[must_use]
    pub fn max_wait(&self) -> Duration {
        seconds(self.max_wait_time)
    }
}

/// A Redis that keeps a cache.
#[derive(Clone, Copy, Debug)]
pub struct RedisConfig<'a> {
    /// Where it is.
    pub url: &'a str,
    /// What RoutIR hands to redis-py besides.
    pub kwargs: Option<&'a Map<String, Value>>,
}

impl<'a> RedisConfig<'a> {
    pub(crate) fn of(
        url: Option<&'a str>,
        kwargs: Option<&'a Map<String, Value>>,
        ttl: u64,
    ) -> Option<Self> {
        let url = url.filter(|_| ttl > 0)?;
        Some(Self { url, kwargs })
    }
}

/// A cache's size, when it is on.
pub(crate) fn capacity(entries: i64, ttl: u64) -> Option<u64> {
    u64::try_from(entries)
        .ok()
        .filter(|&entries| entries > 0 && ttl > 0)
}

/// A time to live, at most a century, so that a deadline in the far future never overflows.
pub(crate) fn lifetime(ttl: u64) -> Duration {
    const CENTURY: u64 = 100 * 365 * 24 * 3600;
    Duration::from_secs(ttl.min(CENTURY))
}

pub(crate) fn off() -> i64 {
    -1
}

pub(crate) fn ttl() -> u64 {
    600
}

fn batch_size() -> usize {
    32
}

fn max_wait_time() -> f64 {
    0.05
}

fn cache_key_fields() -> Vec<String> {
    vec!["query".to_owned(), "limit".to_owned()]
}

fn kwargs() -> Option<Map<String, Value>> {
    Some(Map::new())
}
