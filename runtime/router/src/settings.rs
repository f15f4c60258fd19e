//! What the operator decides about the router.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::{RoutirSide, Secret};

/// How the router listens, whom it lets in, how it chooses workers and what it puts up with.
#[derive(Clone, Debug)]
pub struct RouterOptions {
    /// Base URLs of workers that are always looked for.
    pub workers: Vec<String>,
    /// The key that workers ask for, if they do; sent as `Authorization: Bearer`.
    pub worker_api_key: Option<Secret>,
    /// What answers RoutIR's endpoints; `None` leaves them out.
    pub routir: Option<RoutirSide>,
    /// Kinds of machines that can be had, in the spelling in which they are told; empty says that
    /// any may be asked for.
    pub configured_gpus: Vec<Arc<str>>,
    /// Prefer a worker that is nearly full to an idle one, so that idle machines can be given back.
    pub fill_first: bool,
    /// Let a model spread to a worker that has not loaded it when all that have are this full, as a
    /// share of their capacity; `None` never does.
    pub spill: Option<f64>,
    /// How long opening a connection to a worker may take.
    pub connect_timeout: Duration,
    /// How long a worker may take until it begins to answer, unless the client gives less.
    pub header_timeout: Duration,
    /// How long a body may stand still in either direction.
    pub idle_timeout: Duration,
    /// How much of a request's body is kept to send it to another worker.
    pub replay_bytes: usize,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// How many requests one worker is sent at once; more wait, as many again, and the rest are
    /// refused.
    pub worker_requests: usize,
    /// How long a worker may be silent until it is passed over.
    pub silence: Duration,
    /// How long a pool lives that nobody renews.
    pub lease: Duration,
    /// The most pools.
    pub max_pools: usize,
    /// Names of machine profiles that pools may ask for; empty allows any.
    pub machine_profiles: BTreeMap<Arc<str>, serde_json::Value>,
    /// `Retry-After` while a machine is being started, and while one of the kind is known but not
    /// ready.
    pub retry_after_cold: Duration,
    /// See `retry_after_cold`.
    pub retry_after_warming: Duration,
}
