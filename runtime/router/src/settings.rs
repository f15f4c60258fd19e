//! What the operator decides about the router.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{KubernetesOptions, RoutirSide, Secret};

/// How the router listens, whom it lets in, how it chooses workers and what it puts up with.
#[derive(Clone, Debug)]
pub struct RouterOptions {
    /// Base URLs of workers that are always looked for.
    pub workers: Vec<String>,
    /// The key that workers ask for, if they do; sent as `Authorization: Bearer`.
    pub worker_api_key: Option<Secret>,
    /// How connections to workers at `https://` are encrypted.
    pub worker_tls: WorkerTls,
    /// What answers RoutIR's endpoints; `None` leaves them out.
    pub routir: Option<RoutirSide>,
    /// Where in a cluster workers are looked for, and pools are kept.
    pub kubernetes: Option<KubernetesOptions>,
    /// What tells this router from its replicas in a cluster, as the name of a pod does.
    pub replica: String,
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
    /// How long a request may take from its head to the end of its answer; clients may give less.
    pub request_timeout: Duration,
    /// How much of a request's body is kept to send it to another worker.
    pub replay_bytes: usize,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// How many requests one worker is sent at once; more wait, as many again, and the rest are
    /// refused.
    pub worker_requests: usize,
    /// How many requests may be with workers at once, all workers together; more are refused.
    pub max_in_flight: usize,
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
    /// What is told as the time that starting a machine takes.
    pub estimated_wait: Duration,
    /// The status that answers a kind of machine that cannot be had: 503 as SIE has it, which its
    /// clients retry for a quarter of an hour, or a 4xx, which they do not.
    pub unknown_gpu_status: u16,
    /// Where bundles are described, a YAML file each.
    pub bundles_dir: Option<PathBuf>,
    /// Where models are described, a YAML file each; without, models are what workers say.
    pub models_dir: Option<PathBuf>,
    /// Who is let in: everybody (`none`), or who bears a token (`static`, `token`). Empty is `none`
    /// where there are no tokens, and refused where there are.
    pub auth_mode: String,
    /// The tokens that open the router.
    pub auth_tokens: Vec<Secret>,
    /// A token that opens all that the others do, and pools where those do not.
    pub admin_token: Option<Secret>,
    /// Whether pools are made, renewed and taken down with the admin token alone.
    pub pools_need_admin: bool,
    /// Whether status, metrics and the cluster's feed are open to those without a token too.
    pub auth_exempt_operational: bool,
    /// Whether workers see the token that the client sent.
    pub forward_authorization: bool,
    /// When `/readyz` says that the router is ready.
    pub ready_rule: ReadyRule,
    /// What `/health` says that this is; by the version of the client that asks when `None`.
    pub health_type: Option<HealthType>,
    /// Whether errors have SIE's short names as texts under `error` too, where SIE's router has
    /// them. SIE's clients then show that name alone and neither code nor message.
    pub legacy_errors: bool,
    /// Whether metrics that start machines have the names of SIE's gateway too.
    pub gateway_metrics: bool,
    /// The version that answers bear. SIE's clients compare it with their own, so it is counted
    /// like theirs.
    pub version: String,
    /// The longest that a client may take to send a request's head and to take in any of the
    /// answer. A connection that is idle for as long is closed.
    pub io_timeout: Duration,
    /// The largest request head, in bytes; at least 8192.
    pub max_header_bytes: usize,
    /// How many connections may be open at once; more wait to be accepted.
    pub max_connections: usize,
    /// How many threads of their own connections are dealt to, each with connections of its own to
    /// workers, so that a request never goes from thread to thread; none leaves them on the caller's
    /// runtime. Pipelines that the router runs itself are worked on there anyway. At most 1024.
    pub threads: usize,
    /// For how long such a thread looks for bytes before it sleeps, while they mostly come by then. At
    /// most 10 ms; 50 µs by default, and not at all where the process may not use its cores in full
    /// (the `cpu` limit of a container), as looking counts against that.
    pub busy_poll: Duration,
    /// How many web sockets may be fed with the cluster's state at once; more are refused.
    pub max_sockets: usize,
    /// How long requests in flight may go on after shutdown begins.
    pub shutdown_grace: Duration,
}

/// How connections to workers at `https://` are encrypted. Files are PEM, and are read at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerTls {
    /// Whose certificates are believed; those that the system believes when `None`.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to workers who ask for one, with those between it and its
    /// authority.
    pub certificate: Option<PathBuf>,
    /// Its key; in the file of the certificate when `None`.
    pub key: Option<PathBuf>,
    /// The name on the workers' certificates, where it is not that of their URLs, as with workers
    /// that are found by their addresses.
    pub server_name: Option<String>,
}

/// When `/readyz` says that the router is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadyRule {
    /// When a worker is, or when it is known which machines can be had, so that asking for one is
    /// answered usefully.
    #[default]
    Useful,
    /// When a worker is.
    Workers,
    /// Always.
    Always,
}

/// What `/health` says that this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthType {
    /// What SIE's clients up to 0.2 ask for.
    Router,
    /// What SIE's clients from 0.3 on ask for.
    Gateway,
}

/// The longest that a thread looks for bytes before it sleeps.
pub(crate) const MAX_BUSY_POLL: Duration = Duration::from_millis(10);
/// The most threads that connections are dealt to.
pub(crate) const MAX_THREADS: usize = 1024;

/// How many cores the process may use.
fn cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores.min(MAX_THREADS)
}

fn busy_poll() -> Duration {
    let usable = std::thread::available_parallelism().map_or(1, NonZero::get);
    let given = rustix::thread::sched_getaffinity(None).map_or(0, |cpus| cpus.count());
    if usable < usize::try_from(given).unwrap_or(usize::MAX) {
        Duration::ZERO
    } else {
        Duration::from_micros(50)
    }
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            workers: Vec::new(),
            worker_api_key: None,
            worker_tls: WorkerTls::default(),
            routir: None,
            kubernetes: None,
            replica: "router".to_owned(),
            configured_gpus: Vec::new(),
            fill_first: false,
            spill: Some(0.8),
            connect_timeout: Duration::from_secs(2),
            header_timeout: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(600),
            replay_bytes: 1 << 20,
            max_body_bytes: 256 << 20,
            worker_requests: 1024,
            max_in_flight: 16_384,
            silence: Duration::from_secs(3),
            lease: Duration::from_secs(1200),
            max_pools: 256,
            machine_profiles: BTreeMap::new(),
            retry_after_cold: Duration::from_secs(120),
            retry_after_warming: Duration::from_secs(5),
            estimated_wait: Duration::from_secs(180),
            unknown_gpu_status: 503,
            bundles_dir: None,
            models_dir: None,
            auth_mode: String::new(),
            auth_tokens: Vec::new(),
            admin_token: None,
            pools_need_admin: false,
            auth_exempt_operational: false,
            forward_authorization: false,
            ready_rule: ReadyRule::default(),
            health_type: None,
            legacy_errors: false,
            gateway_metrics: false,
            version: routir_sie::VERSION.to_owned(),
            io_timeout: Duration::from_secs(30),
            max_header_bytes: 64 << 10,
            max_connections: 16_384,
            threads: cores(),
            busy_poll: busy_poll(),
            max_sockets: 1024,
            shutdown_grace: Duration::from_secs(30),
        }
    }
}
