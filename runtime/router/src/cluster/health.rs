//! `/health`: the cluster, its workers and models.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::demand::Missing;
use crate::worker::{Facts, ModelState, Standing, Worker};

/// What `/health` says that the workers do not.
#[derive(Clone, Debug)]
pub(crate) struct HealthInput<'a> {
    /// `router`, or `gateway` for the clients that ask for that.
    pub(crate) kind: &'a str,
    pub(crate) total_qps: f64,
    pub(crate) configured_gpu_types: &'a [Arc<str>],
    /// What is missing.
    pub(crate) demand: Vec<Missing>,
}

/// The body of `/health`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Health {
    pub(crate) status: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) cluster: ClusterSummary,
    /// The same numbers as in `cluster`, where the documentation has them.
    #[serde(flatten)]
    pub(crate) flat: ClusterSummary,
    pub(crate) configured_gpu_types: Vec<Arc<str>>,
    pub(crate) live_gpu_types: BTreeSet<Arc<str>>,
    pub(crate) workers: Vec<WorkerView>,
    pub(crate) models: Vec<ModelSummary>,
    /// Beyond SIE's: machines that requests wait for.
    pub(crate) demand: Vec<Missing>,
}

/// The cluster in numbers; ready workers alone count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct ClusterSummary {
    pub(crate) worker_count: usize,
    pub(crate) gpu_count: u64,
    pub(crate) models_loaded: usize,
    pub(crate) total_qps: f64,
}

/// A worker, ready or not.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WorkerView {
    name: Arc<str>,
    url: Arc<str>,
    gpu: Arc<str>,
    gpu_count: u32,
    loaded_models: Vec<Arc<str>>,
    queue_depth: u64,
    memory_used_bytes: u64,
    memory_total_bytes: u64,
    healthy: bool,
    bundle: Arc<str>,
    bundle_config_hash: Arc<str>,
    /// Beyond SIE's: this router's requests there now.
    in_flight: u64,
    /// Beyond SIE's: `in`, `trial` or `out`, as its requests went.
    breaker: &'static str,
    /// Beyond SIE's: services of RoutIR.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<Arc<str>>,
}

/// A model that ready workers have loaded.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ModelSummary {
    name: Arc<str>,
    state: &'static str,
    worker_count: usize,
    gpu_types: BTreeSet<Arc<str>>,
    total_queue_depth: u64,
}

/// The workers as `/health` and the live feed have them.
pub(super) struct View {
    pub(super) cluster: ClusterSummary,
    pub(super) live_gpu_types: BTreeSet<Arc<str>>,
    pub(super) workers: Vec<WorkerView>,
    pub(super) models: Vec<ModelSummary>,
}

/// The body of `/health`.
pub(crate) fn health(workers: &[Arc<Worker>], input: HealthInput<'_>) -> Health {
    let view = view(workers, input.total_qps);
    Health {
        status: match view.cluster.worker_count {
            0 => "degraded",
            _ => "healthy",
        },
        kind: input.kind.to_owned(),
        cluster: view.cluster,
        flat: view.cluster,
        configured_gpu_types: input.configured_gpu_types.to_vec(),
        live_gpu_types: view.live_gpu_types,
        workers: view.workers,
        models: view.models,
        demand: input.demand,
    }
}

pub(super) fn view(workers: &[Arc<Worker>], total_qps: f64) -> View {
    let now = Instant::now();
    let mut models: BTreeMap<Arc<str>, ModelSummary> = BTreeMap::new();
    let mut live_gpu_types = BTreeSet::new();
    let (mut worker_count, mut gpu_count) = (0, 0);
    let mut views = Vec::with_capacity(workers.len());
    for worker in workers {
        let facts = worker.facts();
        let healthy = worker.is_routable();
        if healthy {
            worker_count += 1;
            gpu_count += u64::from(facts.gpu_count);
            if !facts.profile.is_empty() {
                live_gpu_types.insert(Arc::clone(&facts.profile));
            }
            summarise(&facts, &mut models);
        }
        views.push(one(worker, &facts, healthy, now));
    }
    View {
        cluster: ClusterSummary {
            worker_count,
            gpu_count,
            models_loaded: models.len(),
            total_qps,
        },
        live_gpu_types,
        workers: views,
        models: models.into_values().collect(),
    }
}

fn summarise(facts: &Facts, models: &mut BTreeMap<Arc<str>, ModelSummary>) {
    let loaded = facts.models.iter();
    for (key, model) in loaded.filter(|(_, model)| model.state == ModelState::Loaded) {
        let summary = models
            .entry(Arc::clone(key))
            .or_insert_with(|| ModelSummary {
                name: Arc::clone(&model.name),
                state: "loaded",
                worker_count: 0,
                gpu_types: BTreeSet::new(),
                total_queue_depth: 0,
            });
        summary.worker_count += 1;
        if !facts.profile.is_empty() {
            summary.gpu_types.insert(Arc::clone(&facts.profile));
        }
        // As SIE does: of the whole worker.
        summary.total_queue_depth = summary.total_queue_depth.saturating_add(facts.queue_depth);
    }
}

fn one(worker: &Worker, facts: &Facts, healthy: bool, now: Instant) -> WorkerView {
    let loaded = facts.models.values();
    let loaded = loaded.filter(|model| model.state == ModelState::Loaded);
    let services = facts.offer.as_ref().map(|offer| offer.services.keys());
    WorkerView {
        name: worker.name(),
        url: Arc::clone(worker.url()),
        gpu: Arc::clone(&facts.profile),
        gpu_count: facts.gpu_count,
        loaded_models: loaded.map(|model| Arc::clone(&model.name)).collect(),
        queue_depth: facts.queue_depth,
        memory_used_bytes: facts.memory_used_bytes,
        memory_total_bytes: facts.memory_total_bytes,
        healthy,
        bundle: Arc::clone(&facts.bundle),
        bundle_config_hash: Arc::clone(&facts.bundle_config_hash),
        in_flight: worker.in_flight(),
        breaker: match worker.standing(now) {
            Standing::In => "in",
            Standing::OnTrial => "trial",
            Standing::Out => "out",
        },
        services: services.into_iter().flatten().map(Arc::clone).collect(),
    }
}
