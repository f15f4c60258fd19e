//! One entry of `tenants`: who may bring extensions, what they may see and how much they may use.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ExtensionGrants, ExtensionLimits, OnFailure};

/// A tenant: its keys, its extensions, what it may see and how much it may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantConfig {
    /// Its name: a letter, then letters, digits, `_` or `-`.
    pub name: String,
    /// The keys that its requests bear, as `Authorization: Bearer <key>`.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Environment variables that hold further keys.
    #[serde(default)]
    pub keys_env: Vec<String>,
    /// Directories whose `.wasm` files are its extensions: watched, so that a new or changed file
    /// is published and a deleted one is withdrawn.
    #[serde(default)]
    pub extension_dirs: Vec<String>,
    /// Its share where tenants compete for a queue or the processor, relative to others' weights.
    #[serde(default = "weight")]
    pub weight: NonZeroU32,
    /// How much it may use.
    #[serde(default)]
    pub quotas: TenantQuotas,
    /// What it may see of the operator's services and collections.
    #[serde(default)]
    pub grants: TenantGrants,
    /// What one call of each of its extensions may use.
    #[serde(default)]
    pub limits: ExtensionLimits,
    /// What each of its extensions may see of the world.
    #[serde(default)]
    pub extension_grants: ExtensionGrants,
    /// What happens when a call of one of its extensions fails; a `fallback` must be granted.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// How much a tenant may use at once or in a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantQuotas {
    /// Requests that are being answered at once; more are answered 429.
    #[schemars(range(min = 1))]
    pub concurrent_calls: usize,
    /// Memory of all its guests together, in MiB.
    #[schemars(range(min = 1))]
    pub memory_mb: usize,
    /// Processor time of all its guests together, in milliseconds per second (1000 is one core);
    /// a guest that is over it waits.
    #[schemars(range(min = 1))]
    pub cpu_ms_per_s: u32,
    /// Requests that its guests make to the host, per second; more are answered `exhausted`.
    pub host_calls_per_s: u32,
    /// Extensions that it may have published.
    pub extensions: usize,
}

impl Default for TenantQuotas {
    fn default() -> Self {
        Self {
            concurrent_calls: 64,
            memory_mb: 512,
            cpu_ms_per_s: 1_000,
            host_calls_per_s: 10_000,
            extensions: 20,
        }
    }
}

/// What a tenant may see: names, with `*` for any letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantGrants {
    /// Services that its pipelines and extensions may call.
    pub services: Vec<String>,
    /// Collections that they may read.
    pub collections: Vec<String>,
}

fn weight() -> NonZeroU32 {
    NonZeroU32::MIN
}
