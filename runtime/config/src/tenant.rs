//! One entry of `tenants`: who may bring extensions, what they may see and how much they may use.

use std::num::NonZeroU32;
use std::sync::Arc;

use routir_core::{Quotas, Tenant};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::extension::mebibytes;
use crate::schema::NAME;
use crate::{ExtensionGrants, ExtensionLimits, OnFailure, Secret};

/// A tenant: its keys, its extensions, what it may see and how much it may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantConfig {
    /// Its name: a letter, then letters, digits, `_` or `-`; at most 64.
    #[schemars(regex(pattern = NAME), length(max = 64))]
    pub name: String,
    /// The keys that its requests bear, as `Authorization: Bearer <key>`: 16 to 512 bytes each, no
    /// two alike. Several, so that a new one can be given out before the old one goes.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pub keys: Vec<Secret>,
    /// Environment variables that hold further keys, one each.
    #[serde(default)]
    #[schemars(inner(length(min = 1)))]
    pub keys_env: Vec<String>,
    /// Directories whose `.wasm` files are its extensions: watched, so that a new or changed file
    /// is published and a deleted one is withdrawn.
    #[serde(default)]
    #[schemars(inner(length(min = 1)))]
    pub extension_dirs: Vec<String>,
    /// Its share where tenants compete for a queue or the processor, relative to others' weights;
    /// the operator's own requests have the weight 1.
    #[serde(default = "weight")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: NonZeroU32,
    /// How much it may use at once or in a second.
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

impl TenantConfig {
    /// The tenant as the other rooms know it.
    #[must_use]
    pub fn tenant(&self) -> Arc<Tenant> {
        Arc::new(Tenant {
            name: Arc::from(self.name.as_str()),
            weight: self.weight,
            quotas: Quotas {
                concurrent_calls: self.quotas.concurrent_calls,
                memory_bytes: mebibytes(self.quotas.memory_mb),
                cpu_ms_per_s: self.quotas.cpu_ms_per_s,
                host_calls_per_s: self.quotas.host_calls_per_s,
                extensions: self.quotas.extensions,
            },
            services: self.grants.services.clone(),
            collections: self.grants.collections.clone(),
        })
    }
}

/// How much a tenant may use at once or in a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantQuotas {
    /// Requests that are being answered at once, from the start of their bodies to the end of
    /// their answers; more are answered 429. Below `rt.max_in_flight`, so that no tenant can keep
    /// the others out.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrent_calls: usize,
    /// Memory of all its guests together, in MiB.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub memory_mb: u32,
    /// Processor time of all its guests together, in milliseconds per second (1000 is one core);
    /// a guest that is over it waits.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub cpu_ms_per_s: u32,
    /// Requests that its guests make to the host, per second; more are answered `exhausted`.
    pub host_calls_per_s: u32,
    /// Extensions that it may have published.
    #[schemars(range(max = 10_000))]
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

/// What a tenant may see: names, with `*` for any letters, also none. Mergers that are always
/// there need no grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantGrants {
    /// Services that its pipelines and extensions may call.
    #[schemars(inner(length(min = 1)))]
    pub services: Vec<String>,
    /// Collections that they may read.
    #[schemars(inner(length(min = 1)))]
    pub collections: Vec<String>,
}

fn weight() -> NonZeroU32 {
    NonZeroU32::MIN
}
