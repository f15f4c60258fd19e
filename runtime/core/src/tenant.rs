//! Who a request belongs to where several parties share one server.

use std::num::NonZeroU32;
use std::sync::Arc;

/// A tenant: who owns extensions, what it may see and how much it may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Its name.
    pub name: Arc<str>,
    /// Its share where tenants compete for a queue or the processor, relative to others' weights;
    /// the operator's own requests count as one tenant of weight 1.
    pub weight: NonZeroU32,
    /// How much it may use.
    pub quotas: Quotas,
    /// The services that its pipelines and extensions may call: names, with `*` for any letters.
    pub services: Vec<String>,
    /// The collections that they may read, likewise.
    pub collections: Vec<String>,
}

/// How much a tenant may use at once or in a second.
#[derive(Clone, Debug, PartialEq)]
pub struct Quotas {
    /// Requests from outside that are being answered at once; more get `overloaded`.
    pub concurrent_calls: usize,
    /// Memory of all its guests together, in bytes.
    pub memory_bytes: usize,
    /// Processor time of all its guests together, in milliseconds per second of the clock (1000 is
    /// one core); a guest that is over it waits.
    pub cpu_ms_per_s: u32,
    /// Calls that its guests make to the host, per second; more get `exhausted`.
    pub host_calls_per_s: u32,
    /// Extensions that it may have published.
    pub extensions: usize,
}

impl Tenant {
    /// What an extension is called in chains, logs and metrics: its name, after its owner's where
    /// it has one.
    #[must_use]
    pub fn identity(owner: Option<&str>, extension: &str) -> Arc<str> {
        match owner {
            Some(owner) => Arc::from(format!("{owner}/{extension}")),
            None => Arc::from(extension),
        }
    }
}
