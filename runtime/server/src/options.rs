//! What the operator decides about the server.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use routir_core::{ExtensionAdmin, Imports, ModelHost, Tenant};
use routir_sie::GpuStatus;

/// How the server listens, whom it lets in and what it puts up with.
#[derive(Clone)]
pub struct ServerOptions {
    /// The key that the operator's requests bear. `None` lets everybody in as the operator or, when
    /// there are tenants, nobody.
    pub api_key: Option<String>,
    /// Who shares the server. The runtime must know the same tenants.
    pub tenants: Vec<TenantKeys>,
    /// Where tenants publish their extensions; `None` answers `/extensions` with 404.
    pub extensions: Option<Arc<dyn ExtensionAdmin>>,
    /// Whether browsers may call from any origin.
    pub cors: bool,
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// The largest request head (request line and headers), in bytes; at least 8192.
    pub max_header_bytes: usize,
    /// The longest that a request may take; it may ask for less, not for more.
    pub request_timeout: Duration,
    /// The longest that a client may take to send a request's head, to send its body, and to take
    /// in any of the answer. A connection that is idle for as long is closed.
    pub io_timeout: Duration,
    /// How many requests may be worked on at once; more are answered 429. The tenants' quotas
    /// `concurrent_calls` hold besides.
    pub max_in_flight: usize,
    /// How many connections may be open at once; more wait to be accepted.
    pub max_connections: usize,
    /// The largest `limit`.
    pub max_limit: usize,
    /// The longest query, in Unicode code points.
    pub max_query_chars: usize,
    /// The most passages in one `/score` request.
    pub max_passages: usize,
    /// How long requests in flight may go on after shutdown begins.
    pub shutdown_grace: Duration,
    /// How long the server goes on as before after shutdown begins, while routers are told that it is
    /// not ready. At least two frames while somebody watches `/ws/status`.
    pub drain: Duration,
    /// The port of the gRPC server, told to clients by `/avail`; `None` when there is none.
    pub grpc_port: Option<u16>,
    /// The largest message over gRPC, in bytes, in either direction.
    pub grpc_max_message_bytes: usize,
    /// The version that `GET /` tells.
    pub version: String,
    /// Tells this server from every other, wherever requests are handed on: visible ASCII without
    /// commas. Made up at random by default.
    pub server_id: Arc<str>,
    /// Other servers whose services are offered here too; `None` when there are none.
    pub imports: Option<Arc<dyn Imports>>,
    /// The encoders that are hosted for others; `None` when there are none.
    pub models: Option<Arc<dyn ModelHost>>,
    /// What routers are told of this server.
    pub worker: WorkerOptions,
}

/// Asks how the GPUs are; must not block for long.
pub type Gpus = Arc<dyn Fn() -> Vec<GpuStatus> + Send + Sync>;

/// What routers are told of a server.
#[derive(Clone)]
pub struct WorkerOptions {
    /// What it is called.
    pub name: String,
    /// The kind of its machine; a request for another is refused. Empty when that is not known.
    pub machine_profile: String,
    /// What it was deployed with.
    pub bundle: String,
    /// The pool that it was set up for; empty for none.
    pub pool: String,
    /// How many requests it takes at once without making them wait for long.
    pub max_batch_requests: usize,
    /// Asks how its GPUs are; `None` when it has none.
    pub gpus: Option<Gpus>,
}

impl WorkerOptions {
    /// How its GPUs are.
    pub(crate) fn gpus(&self) -> Vec<GpuStatus> {
        self.gpus.as_ref().map(|ask| ask()).unwrap_or_default()
    }
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            name: String::new(),
            machine_profile: String::new(),
            bundle: "default".to_owned(),
            pool: String::new(),
            max_batch_requests: 64,
            gpus: None,
        }
    }
}

impl fmt::Debug for WorkerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerOptions")
            .field("name", &self.name)
            .field("machine_profile", &self.machine_profile)
            .field("bundle", &self.bundle)
            .field("pool", &self.pool)
            .field("max_batch_requests", &self.max_batch_requests)
            .field("gpus", &self.gpus.as_ref().map(|_| "set"))
            .finish()
    }
}

/// A tenant and how its requests are known.
#[derive(Clone)]
pub struct TenantKeys {
    /// The tenant.
    pub tenant: Arc<Tenant>,
    /// The keys that its requests bear; without any it is locked out.
    pub keys: Vec<String>,
    /// The largest component that it may publish, in bytes.
    pub max_component_bytes: usize,
}

impl fmt::Debug for TenantKeys {
    /// All but the keys themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantKeys")
            .field("tenant", &self.tenant)
            .field("keys", &self.keys.len())
            .field("max_component_bytes", &self.max_component_bytes)
            .finish()
    }
}

/// An id that no other server has, as far as 64 random bits go.
fn random_id() -> Arc<str> {
    // Each state is keyed anew from the system's source of randomness.
    let random = RandomState::new().hash_one(std::process::id());
    format!("{random:016x}").into()
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            api_key: None,
            tenants: Vec::new(),
            extensions: None,
            cors: false,
            max_body_bytes: 64 << 20,
            max_header_bytes: 64 << 10,
            request_timeout: Duration::from_secs(600),
            io_timeout: Duration::from_secs(30),
            max_in_flight: 1024,
            max_connections: 8192,
            max_limit: 100_000,
            max_query_chars: 65_536,
            max_passages: 10_000,
            shutdown_grace: Duration::from_secs(30),
            drain: Duration::ZERO,
            grpc_port: None,
            grpc_max_message_bytes: 64 << 20,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server_id: random_id(),
            imports: None,
            models: None,
            worker: WorkerOptions::default(),
        }
    }
}

impl fmt::Debug for ServerOptions {
    /// All but the keys themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("api_key", &self.api_key.as_ref().map(|_| "set"))
            .field("tenants", &self.tenants)
            .field("extensions", &self.extensions.as_ref().map(|_| "set"))
            .field("cors", &self.cors)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("max_header_bytes", &self.max_header_bytes)
            .field("request_timeout", &self.request_timeout)
            .field("io_timeout", &self.io_timeout)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_connections", &self.max_connections)
            .field("max_limit", &self.max_limit)
            .field("max_query_chars", &self.max_query_chars)
            .field("max_passages", &self.max_passages)
            .field("shutdown_grace", &self.shutdown_grace)
            .field("drain", &self.drain)
            .field("grpc_port", &self.grpc_port)
            .field("grpc_max_message_bytes", &self.grpc_max_message_bytes)
            .field("version", &self.version)
            .field("server_id", &self.server_id)
            .field("imports", &self.imports.as_ref().map(|_| "set"))
            .field("models", &self.models.as_ref().map(|_| "set"))
            .field("worker", &self.worker)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_printed() {
        let tenant = Tenant {
            name: "acme".into(),
            weight: std::num::NonZeroU32::MIN,
            quotas: routir_core::Quotas {
                concurrent_calls: 1,
                memory_bytes: 1,
                cpu_ms_per_s: 1,
                host_calls_per_s: 1,
                extensions: 1,
            },
            services: vec![],
            collections: vec![],
        };
        let tenant = TenantKeys {
            tenant: Arc::new(tenant),
            keys: vec!["s3cret-too".to_owned()],
            max_component_bytes: 1,
        };
        let options = ServerOptions {
            api_key: Some("s3cret".to_owned()),
            tenants: vec![tenant],
            ..Default::default()
        };
        assert!(!format!("{options:?}").contains("s3cret"));
    }
}
