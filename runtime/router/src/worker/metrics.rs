//! The workers as metrics: made at each scrape from who is there, so that nothing stays of who is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{ModelState, Registry, Standing, Worker};

/// What is told of the workers. To be registered without a prefix: the names are SIE's, whole.
#[derive(Debug)]
pub(crate) struct WorkerMetrics(Registry);

impl WorkerMetrics {
    pub(crate) fn new(registry: Registry) -> Self {
        Self(registry)
    }
}

type Labels = [(&'static str, String); 3];
type Number = fn(&Worker) -> u64;

const GAUGES: [(&str, &str, Number); 5] = [
    (
        "sie_router_worker_queue_depth",
        "Requests that wait at a worker, as it tells",
        |worker| worker.facts_now().queue_depth,
    ),
    (
        "sie_router_worker_memory_used_bytes",
        "GPU memory in use at a worker",
        |worker| worker.facts_now().memory_used_bytes,
    ),
    (
        "sie_router_worker_in_flight",
        "Requests of this router that a worker has",
        Worker::in_flight,
    ),
    (
        "sie_router_worker_load",
        "Requests in flight and what a worker told of beyond those, by which it is chosen",
        Worker::load,
    ),
    (
        "sie_router_worker_breaker",
        "Whether a worker is kept out for failing: 0 in, 1 to be tried, 2 out",
        |worker| match worker.standing(Instant::now()) {
            Standing::In => 0,
            Standing::OnTrial => 1,
            Standing::Out => 2,
        },
    ),
];

const COUNTERS: [(&str, &str, Number); 5] = [
    (
        "sie_router_worker_ejections",
        "Times that a worker was taken out for failing",
        Worker::ejections,
    ),
    (
        "sie_router_worker_frames",
        "Status frames that told something",
        |worker| worker.counts.frames.load(Ordering::Relaxed),
    ),
    (
        "sie_router_worker_bad_frames",
        "Status frames that were passed over because they were no object",
        |worker| worker.counts.bad_frames.load(Ordering::Relaxed),
    ),
    (
        "sie_router_worker_bad_fields",
        "Malformed fields of status frames, for which their defaults stood",
        |worker| worker.counts.bad_fields.load(Ordering::Relaxed),
    ),
    (
        "sie_router_worker_reconnects",
        "Connections for status frames after the first",
        |worker| {
            let connections = worker.counts.connections.load(Ordering::Relaxed);
            connections.saturating_sub(1)
        },
    ),
];

impl Collector for WorkerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let workers = self.0.workers();
        healths(&mut encoder, &workers)?;
        models(&mut encoder, &workers)?;
        let labels = labels(&workers);
        for (name, help, number) in GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (worker, labels) in workers.iter().zip(&labels) {
                let value = i64::try_from(number(worker)).unwrap_or(i64::MAX);
                metric.encode_family(labels)?.encode_gauge(&value)?;
            }
        }
        for (name, help, number) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (worker, labels) in workers.iter().zip(&labels) {
                let mut metric = metric.encode_family(labels)?;
                let no_exemplar =
                    None::<&prometheus_client::metrics::exemplar::Exemplar<Labels, f64>>;
                metric.encode_counter(&number(worker), no_exemplar)?;
            }
        }
        Ok(())
    }
}

fn healths(encoder: &mut DescriptorEncoder<'_>, workers: &[Arc<Worker>]) -> Result<(), Error> {
    let healthy = workers.iter().filter(|worker| worker.is_routable()).count();
    let mut metric = encoder.encode_descriptor(
        "sie_router_workers",
        "Workers that are known, by whether they are ready",
        None,
        MetricType::Gauge,
    )?;
    for (status, count) in [("healthy", healthy), ("unhealthy", workers.len() - healthy)] {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        metric
            .encode_family(&[("status", status)])?
            .encode_gauge(&count)?;
    }
    Ok(())
}

fn models(encoder: &mut DescriptorEncoder<'_>, workers: &[Arc<Worker>]) -> Result<(), Error> {
    let mut counts: BTreeMap<Arc<str>, (Arc<str>, i64)> = BTreeMap::new();
    for worker in workers.iter().filter(|worker| worker.is_routable()) {
        for (key, model) in &worker.facts_now().models {
            if model.state == ModelState::Loaded {
                let first = || (Arc::clone(&model.name), 0);
                counts.entry(Arc::clone(key)).or_insert_with(first).1 += 1;
            }
        }
    }
    let mut metric = encoder.encode_descriptor(
        "sie_router_model_workers",
        "Ready workers that have a model loaded",
        None,
        MetricType::Gauge,
    )?;
    for (name, count) in counts.values() {
        metric
            .encode_family(&[("model", &**name)])?
            .encode_gauge(count)?;
    }
    Ok(())
}

/// Each worker's labels; no two have the same, whatever they call themselves.
fn labels(workers: &[Arc<Worker>]) -> Vec<Labels> {
    let mut taken = BTreeSet::new();
    workers
        .iter()
        .map(|worker| {
            let facts = worker.facts_now();
            let mut name = worker.name();
            if !taken.insert(Arc::clone(&name)) {
                name = Arc::clone(worker.url());
                taken.insert(Arc::clone(&name));
            }
            [
                ("worker", name.as_ref().to_owned()),
                ("machine_profile", facts.profile.as_ref().to_owned()),
                ("bundle", facts.bundle.as_ref().to_owned()),
            ]
        })
        .collect()
}
