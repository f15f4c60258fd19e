//! The `rt` blocks: what this server can be told that RoutIR cannot, kept apart so that a file of
//! RoutIR loads unchanged.

use std::num::NonZeroUsize;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ExtensionsRt, WorkerRt};

/// Limits and resources of the whole server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RtConfig {
    /// The longest that a request may take, in seconds; then it is cancelled and answered with a
    /// deadline error.
    #[schemars(range(min = 0.001, max = 86400))]
    pub request_timeout: f64,
    /// The largest request body, in bytes.
    #[schemars(range(min = 1))]
    pub max_body_bytes: usize,
    /// The largest request header section, in bytes.
    #[schemars(range(min = 8192))]
    pub max_header_bytes: usize,
    /// The largest `%N` of a pipeline and the largest `limit` of a request, in documents.
    #[schemars(range(min = 1))]
    pub max_limit: usize,
    /// The longest query, in characters.
    #[schemars(range(min = 1))]
    pub max_query_chars: usize,
    /// The most passages of one score request.
    #[schemars(range(min = 1))]
    pub max_passages: usize,
    /// How many requests are answered at once; more are turned away with status 429.
    #[schemars(range(min = 1))]
    pub max_in_flight: usize,
    /// How many connections are open at once; more wait to be accepted.
    #[schemars(range(min = 1))]
    pub max_connections: usize,
    /// How long a client may take to send a request's head or body or to take an answer, and how
    /// long a connection may be idle, in seconds.
    #[schemars(range(min = 0.1, max = 86400))]
    pub io_timeout: f64,
    /// How many stage calls one request may cause, those for sub-queries included.
    #[schemars(range(min = 1))]
    pub max_calls: usize,
    /// How many sub-queries one expander may make of one query.
    #[schemars(range(min = 1))]
    pub max_sub_queries: usize,
    /// How long a server that is told to stop waits for requests in flight, in seconds.
    #[schemars(range(min = 0, max = 86400))]
    pub shutdown_grace: f64,
    /// How long a server that is told to stop goes on as before while routers see that it is not
    /// ready, in seconds; only then its port closes. While a router watches, it is at least 0.4.
    #[schemars(range(min = 0, max = 86400))]
    pub drain: f64,
    /// How many threads the engines share; `null` is the number of cores.
    #[schemars(range(min = 1, max = 4096))]
    pub engine_threads: Option<usize>,
    /// What all extensions share.
    pub extensions: ExtensionsRt,
    /// What all models share.
    pub models: ModelsRt,
    /// What routers and SDKs are told of this server, and the encoders that it hosts for them.
    pub worker: WorkerRt,
    /// The folder with FAISS, one library per instruction set; `null` looks where the engines'
    /// documentation says.
    pub faiss: Option<String>,
}

/// What all models share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsRt {
    /// The ONNX Runtime library; `null` looks where the engines' documentation says.
    pub onnxruntime: Option<String>,
    /// How many threads all models share; `null` is the number of cores.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<usize>,
    /// The most tokens of one call of a model, padding included. A longer text goes alone.
    #[schemars(range(min = 1))]
    pub max_batch_tokens: usize,
    /// How many parts of requests, each of some texts, may wait for one model; more are turned away
    /// with status 429.
    #[schemars(range(min = 1))]
    pub queue_capacity: usize,
    /// How long what waits for a GPU (texts for a model, queries for an index) may be held back for
    /// company while the GPU works for others, in seconds. An idle GPU is never waited for; 0 waits
    /// for none.
    #[schemars(range(min = 0, max = 3600))]
    pub max_wait_time: f64,
}

impl Default for ModelsRt {
    fn default() -> Self {
        Self {
            onnxruntime: None,
            threads: None,
            max_batch_tokens: 4096,
            queue_capacity: 65_536,
            max_wait_time: 0.002,
        }
    }
}

impl Default for RtConfig {
    fn default() -> Self {
        Self {
            request_timeout: 600.0,
            max_body_bytes: 64 << 20,
            max_header_bytes: 64 << 10,
            max_limit: 100_000,
            max_query_chars: 65_536,
            max_passages: 10_000,
            max_in_flight: 1024,
            max_connections: 8192,
            io_timeout: 30.0,
            max_calls: 4096,
            max_sub_queries: 256,
            shutdown_grace: 30.0,
            drain: 0.0,
            engine_threads: None,
            extensions: ExtensionsRt::default(),
            models: ModelsRt::default(),
            worker: WorkerRt::default(),
            faiss: None,
        }
    }
}

impl RtConfig {
    /// [`RtConfig::request_timeout`] as a duration.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        seconds(self.request_timeout)
    }

    /// [`RtConfig::io_timeout`] as a duration.
    #[must_use]
    pub fn io_timeout(&self) -> Duration {
        seconds(self.io_timeout)
    }

    /// [`RtConfig::shutdown_grace`] as a duration.
    #[must_use]
    pub fn shutdown_grace(&self) -> Duration {
        seconds(self.shutdown_grace)
    }

    /// [`RtConfig::drain`] as a duration.
    #[must_use]
    pub fn drain(&self) -> Duration {
        seconds(self.drain)
    }

    /// How many threads the engines share: as configured, else the number of cores.
    #[must_use]
    pub fn engine_threads(&self) -> usize {
        self.engine_threads.unwrap_or_else(cores).max(1)
    }
}

impl ModelsRt {
    /// How many threads all models share: as configured, else the number of cores.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(cores).max(1)
    }

    /// [`ModelsRt::max_wait_time`] as a duration.
    #[must_use]
    pub fn max_wait(&self) -> Duration {
        seconds(self.max_wait_time)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// How one service queues and caches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceRt {
    /// How many requests may wait for the engine; more are turned away with status 429.
    #[schemars(range(min = 1))]
    pub queue_capacity: usize,
    /// The most tokens of one batch, so that long texts make smaller batches; `null` is no limit.
    #[schemars(range(min = 1))]
    pub max_batch_tokens: Option<usize>,
    /// How many calls the engine gets at once. `null` is one batch at a time for an engine that
    /// gains from batches, as models do; and for one that does not, as `BM25`, as many requests as
    /// the engines have threads.
    #[schemars(range(min = 1, max = 4096))]
    pub concurrency: Option<usize>,
    /// Whether the service's cache also keeps scores; RoutIR's keeps searches only.
    pub cache_scores: bool,
}

impl Default for ServiceRt {
    fn default() -> Self {
        Self {
            queue_capacity: 1024,
            max_batch_tokens: None,
            concurrency: None,
            cache_scores: false,
        }
    }
}

/// Seconds as a duration; what a duration cannot hold is no duration at all.
pub(crate) fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}
