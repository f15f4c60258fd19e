//! What a worker says of itself over `/ws/status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusFrame {
    /// When it was made, in seconds since 1970.
    pub timestamp: f64,
    /// Whether requests should be sent here.
    pub ready: bool,
    /// What the worker is called.
    pub name: String,
    /// The kind of its machine.
    pub machine_profile: String,
    /// The pool that it was set up for.
    pub pool_name: String,
    /// How many GPUs it has.
    pub gpu_count: usize,
    /// What it was deployed with.
    pub bundle: String,
    /// Tells configurations of models apart.
    pub bundle_config_hash: String,
    /// The models that answer now.
    pub loaded_models: Vec<String>,
    /// How many requests it takes at once without making them wait for long.
    pub max_batch_requests: usize,
    /// The process.
    pub server: ServerStatus,
    /// Its GPUs.
    pub gpus: Vec<GpuStatus>,
    /// Its models.
    pub models: Vec<ModelStatus>,
    /// Left empty: `/metrics` has them.
    pub counters: BTreeMap<String, f64>,
    /// Left empty likewise.
    pub histograms: BTreeMap<String, f64>,
    /// What routers of this project look for; workers of SIE have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routir: Option<RoutirStatus>,
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerStatus {
    /// Its version.
    pub version: String,
    /// How long it has run.
    pub uptime_seconds: u64,
    /// Its number.
    pub pid: u32,
}

/// A GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuStatus {
    /// `cuda:0` and so on.
    pub device: String,
    /// As its maker calls it.
    pub name: String,
    /// The same in short: `l4`, `a100-80gb`.
    pub gpu_type: String,
    /// How busy it is.
    pub utilization_pct: f64,
    /// Memory that is taken.
    pub memory_used_bytes: u64,
    /// Memory in all.
    pub memory_total_bytes: u64,
}

/// How far a model is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelState {
    /// It can be loaded.
    #[default]
    Available,
    /// It is being loaded.
    Loading,
    /// It answers.
    Loaded,
    /// It is being taken down.
    Unloading,
}

/// A model of a worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelStatus {
    /// Its name in requests.
    pub name: String,
    /// How far it is.
    pub state: ModelState,
    /// What it computes on.
    pub device: Option<String>,
    /// What it takes of that device's memory, where that is known.
    pub memory_bytes: u64,
    /// What it does.
    pub config: ModelConfig,
    /// Requests for it that wait or are being answered.
    pub queue_depth: usize,
    /// The items of those requests.
    pub queue_pending_items: usize,
}

/// What a model does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelConfig {
    /// What it reads.
    pub inputs: Vec<String>,
    /// What it makes.
    pub outputs: Vec<String>,
    /// How many numbers its vectors have, by output.
    pub dims: BTreeMap<String, usize>,
    /// The longest text that it reads whole, in tokens.
    pub max_sequence_length: Option<usize>,
}

/// What routers of this project look for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoutirStatus {
    /// Differs from the frame before when `/avail` may.
    pub generation: u64,
    /// Where it speaks gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_port: Option<u16>,
    /// Its id; another one after every start.
    pub server_id: String,
    /// Requests that wait or are being answered, less those that `models` count.
    pub queue_depth: usize,
    /// Calls of models and searches that wait for its GPUs or use them.
    pub device_queue_depth: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_somebody_else_is_read_as_far_as_it_goes() {
        let frame = r#"{"ready": true, "models": [{"name": "m", "state": "loaded", "adaptive_batching": {}}], "x": 1}"#;
        let frame: StatusFrame = serde_json::from_str(frame).unwrap();
        assert!(frame.ready && frame.routir.is_none());
        assert_eq!(frame.models[0].state, ModelState::Loaded);
    }
}
