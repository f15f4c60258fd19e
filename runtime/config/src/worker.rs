//! What routers and SDKs are told of this server, and the encoders that it hosts for them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What routers and SDKs are told of this server, and the encoders that it hosts for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerRt {
    /// What this server is called; `null` is the host's name and the port.
    pub name: Option<String>,
    /// The kind of this machine, such as `l4-spot`; a request that asks for another is refused.
    /// `null` is what `ROUTIR_MACHINE_PROFILE` or `SIE_MACHINE_PROFILE` says in the environment, else
    /// the kind of its first GPU.
    pub machine_profile: Option<String>,
    /// What this server was deployed with; `null` is what `SIE_BUNDLE` says, else `default`.
    pub bundle: Option<String>,
    /// The pool that it was set up for; `null` is what `SIE_POOL` says, else none.
    pub pool: Option<String>,
    /// How many requests it takes at once without making them wait for long, as routers are told.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_batch_requests: usize,
    /// Encoders that are hosted without a service, for whoever asks for vectors alone.
    pub models: Vec<HostedModelConfig>,
}

impl Default for WorkerRt {
    fn default() -> Self {
        Self {
            name: None,
            machine_profile: None,
            bundle: None,
            pool: None,
            max_batch_requests: 64,
            models: Vec::new(),
        }
    }
}

/// An encoder that is hosted without a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostedModelConfig {
    /// A name for it beside the model's own; no service may have it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The engine that encodes: `SentenceTransformerEngine`, `Qwen3`, `LSR` or `PLAIDX`.
    #[schemars(length(min = 1))]
    pub engine: String,
    /// What the engine is told, as for a service, without an index.
    pub config: Map<String, Value>,
}
