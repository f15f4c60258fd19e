//! What an extension is told, allowed and limited to: `services[].config` of the engine
//! `Extension`, and what is the same for every way in.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `services[].config` of the engine `Extension`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtensionConfig {
    /// The component file (`.wasm`).
    #[schemars(length(min = 1))]
    pub component: String,
    /// Values of the extension's parameters for this service, over the manifest's defaults; a
    /// request's own go over these.
    #[serde(default)]
    pub params: Map<String, Value>,
    /// Whether instances are kept between calls, which saves making them. Only for code of your
    /// own: an instance remembers whatever its last call left in it.
    #[serde(default)]
    pub trusted: bool,
    /// What one call may use.
    #[serde(default)]
    pub limits: ExtensionLimits,
    /// What the component may see of the world beyond its call.
    #[serde(default)]
    pub grants: ExtensionGrants,
    /// The collection whose texts a fusion may read.
    #[serde(default)]
    pub collection: Option<String>,
    /// What happens when a call fails for a reason that is the extension's own.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What one call of an extension may use, and how large its component may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExtensionLimits {
    /// Memory of one instance, all its linear memories together, in MiB.
    #[schemars(range(min = 1, max = 4096))]
    pub memory_mb: u32,
    /// The longest that a call may take, waiting for host calls included, in milliseconds; the
    /// request's own deadline may end it sooner.
    #[schemars(range(min = 1, max = 600_000))]
    pub time_ms: u32,
    /// Processor time of a call, in milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    pub cpu_ms: u32,
    /// Instructions of a call, as wasmtime counts fuel; `null` does not count them, which is
    /// faster by about a sixth.
    #[schemars(range(min = 1))]
    pub fuel: Option<u64>,
    /// Requests to the host of a call; every request of a list counts.
    #[schemars(range(max = 1_000_000))]
    pub host_calls: u32,
    /// What a call may hand to the host at once, its answer included, in bytes.
    #[schemars(range(min = 1024, max = 134_217_728))]
    pub output_bytes: usize,
    /// Log lines of a call, in bytes altogether; more are dropped and counted.
    #[schemars(range(max = 1_048_576))]
    pub log_bytes: usize,
    /// Elements of all tables of an instance.
    #[schemars(range(max = 10_000_000))]
    pub table_elements: u32,
    /// Core instances in one component: a compiled language has one, Python 38.
    #[schemars(range(min = 1, max = 1000))]
    pub instances: u32,
    /// The component file, in MiB.
    #[schemars(range(min = 1, max = 1024))]
    pub component_mb: u32,
}

impl ExtensionLimits {
    /// The component file, in bytes.
    #[must_use]
    pub fn component_bytes(&self) -> usize {
        mebibytes(self.component_mb)
    }
}

impl Default for ExtensionLimits {
    fn default() -> Self {
        Self {
            memory_mb: 64,
            time_ms: 2_000,
            cpu_ms: 1_000,
            fuel: None,
            host_calls: 1_000,
            output_bytes: 8 << 20,
            log_bytes: 16 << 10,
            table_elements: 50_000,
            instances: 64,
            component_mb: 32,
        }
    }
}

/// What a component may see of the world beyond its call. Files, sockets and the environment are
/// never there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExtensionGrants {
    /// Whether WASI is linked at all, empty: no files, arguments or environment. Language runtimes
    /// that cannot do without (Go, Rust's `wasm32-wasip2`) need it; it shows nothing of the host.
    pub wasi: bool,
    /// Whether WASI's clocks tell the time; without it they stand still.
    pub clock: bool,
    /// Whether WASI's randomness is random; without it, it is the same sequence in every call.
    pub randomness: bool,
}

/// What happens when a call fails for a reason that is the extension's own: a trap, a limit, a
/// malformed answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OnFailure {
    /// A service with the same role that answers in its place; `null`: the stage fails.
    pub fallback: Option<String>,
    /// After this many failures in a row the extension is kept out (each call fails or falls back
    /// at once); `null`: never.
    pub trip_after: Option<NonZeroU32>,
    /// How long it is kept out before one call tries it again, in seconds; doubles with each
    /// failed try, up to 64 times as long.
    #[schemars(range(min = 0.1, max = 86400))]
    pub retry_after: f64,
}

impl Default for OnFailure {
    fn default() -> Self {
        Self {
            fallback: None,
            trip_after: NonZeroU32::new(5),
            retry_after: 10.0,
        }
    }
}

/// What all extensions of the server share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExtensionsRt {
    /// Where compiled code and tenants' published components are kept; nobody but the server may
    /// write there. `null` is the directory `extensions` in the server's cache directory.
    #[schemars(length(min = 1))]
    pub state_dir: Option<String>,
    /// How many instances may exist at once; more calls wait.
    #[schemars(range(min = 4, max = 10_000))]
    pub instances: u32,
    /// Memory of the process that compiles a component, in MiB.
    #[schemars(range(min = 256, max = 1_048_576))]
    pub compile_memory_mb: u32,
    /// Processor time of the process that compiles a component, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub compile_cpu_s: u32,
    /// How many host calls may wait inside one another: an extension that searches with another
    /// extension is one deep.
    #[schemars(range(min = 1, max = 16))]
    pub max_depth: usize,
    /// How many versions of a tenant's extension are kept for a rollback.
    #[schemars(range(min = 1, max = 100))]
    pub keep_versions: usize,
}

impl Default for ExtensionsRt {
    fn default() -> Self {
        Self {
            state_dir: None,
            instances: 200,
            compile_memory_mb: 2048,
            compile_cpu_s: 120,
            max_depth: 4,
            keep_versions: 5,
        }
    }
}

/// MiB in bytes.
pub(crate) fn mebibytes(amount: u32) -> usize {
    usize::try_from(u64::from(amount) << 20).unwrap_or(usize::MAX)
}
