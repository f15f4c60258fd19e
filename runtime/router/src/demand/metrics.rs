//! The figures that start machines, under the names that SIE's charts ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::sync::watch;

use super::core::{Demand, Wanted};
use crate::RouterOptions;
use crate::pools::{Candidate, DEFAULT, Pools, Workers, is_label};

/// How often what is missing is looked through.
const SWEEP: Duration = Duration::from_secs(1);
/// Names that nobody configured, in labels that stay.
const MAX_STRANGERS: usize = 64;
/// Names that are configured or that workers have.
const MAX_KNOWN: usize = 1024;
/// What further names are counted under.
const OTHER: &str = "other";
const UNKNOWN: &str = "unknown";

/// A kind of machine that requests wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    pub(crate) machine_profile: Arc<str>,
    pub(crate) bundle: Arc<str>,
    /// How many pools' requests do.
    pub(crate) pools: i64,
}

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A kind of machine that cannot be had.
    GpuNotConfigured,
    /// A machine is being started.
    NoCapacity,
    /// Nobody takes requests, and it is not known what to start.
    NoHealthyWorkers,
    /// The worker said that it cannot.
    Worker503,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::GpuNotConfigured => "gpu_not_configured",
            Self::NoCapacity => "no_capacity",
            Self::NoHealthyWorkers => "no_healthy_workers",
            Self::Worker503 => "worker_503",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct MachineLabels {
    machine_profile: String,
    bundle: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabels {
    machine_profile: String,
    bundle: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProfileLabels {
    machine_profile: String,
}

/// What is missing and what is leased, and the counters of requests that were turned away.
pub(crate) struct DemandMetrics {
    pending: Mutex<(Demand, Current)>,
    leased: Mutex<Current>,
    rejected: Family<RejectedLabels, Counter>,
    provisioning: Family<ProfileLabels, Counter>,
    names: Mutex<Names>,
    started: Instant,
}

/// Names that may be labels: those that the operator configured or that workers have, and some
/// more.
struct Names {
    /// By lower-case name.
    known: BTreeMap<String, String>,
    strangers: BTreeSet<String>,
}

impl Names {
    fn know(&mut self, name: &str) {
        let lower = name.to_ascii_lowercase();
        if self.known.len() < MAX_KNOWN && is_label(name) && !self.known.contains_key(&lower) {
            self.strangers.remove(&lower);
            self.known.insert(lower, name.to_owned());
        }
    }

    fn label(&mut self, name: &str) -> String {
        let lower = name.to_ascii_lowercase();
        if let Some(known) = self.known.get(&lower) {
            return known.clone();
        }
        if lower.is_empty() {
            return UNKNOWN.to_owned();
        }
        if self.strangers.contains(&lower) {
            return lower;
        }
        if self.strangers.len() >= MAX_STRANGERS || !is_label(name) {
            return OTHER.to_owned();
        }
        self.strangers.insert(lower.clone());
        lower
    }
}

/// Gauges of which only those are told that are so now.
#[derive(Default)]
struct Current {
    family: Family<MachineLabels, Gauge>,
    told: BTreeSet<MachineLabels>,
}

impl Current {
    fn set(&mut self, now: &BTreeMap<MachineLabels, i64>) {
        for gone in self.told.iter().filter(|labels| !now.contains_key(labels)) {
            self.family.remove(gone);
        }
        for (labels, count) in now {
            self.family.get_or_create(labels).set(*count);
        }
        self.told = now.keys().cloned().collect();
    }
}

impl DemandMetrics {
    pub(crate) fn new(options: &RouterOptions) -> Self {
        let gpus = options.configured_gpus.iter();
        Self::of(gpus.chain(options.machine_profiles.keys()))
    }

    /// With profiles that are sure to be labels.
    fn of<'a>(profiles: impl Iterator<Item = &'a Arc<str>>) -> Self {
        let mut names = Names {
            known: BTreeMap::new(),
            strangers: BTreeSet::new(),
        };
        names.know(DEFAULT);
        profiles.for_each(|name| names.know(name));
        Self {
            pending: Mutex::default(),
            leased: Mutex::default(),
            rejected: Family::default(),
            provisioning: Family::default(),
            names: Mutex::new(names),
            started: Instant::now(),
        }
    }

    /// Puts the metrics into a registry, under each of the prefixes (`sie_router`, `sie_gateway`).
    pub(crate) fn register(&self, registry: &mut Registry, prefixes: &[&str]) {
        for prefix in prefixes {
            let registry = registry.sub_registry_with_prefix(prefix);
            registry.register(
                "pending_demand",
                "Pools whose requests wait for a machine of the profile and bundle",
                self.pending.lock().1.family.clone(),
            );
            registry.register(
                "active_lease_gpus",
                "Machines that living pools ask for",
                self.leased.lock().family.clone(),
            );
            registry.register(
                "rejected_requests",
                "Requests turned away",
                self.rejected.clone(),
            );
            registry.register(
                "provisioning_responses",
                "Requests answered 202, to come again when a machine is there",
                self.provisioning.clone(),
            );
        }
    }

    /// A request was turned away.
    pub(crate) fn reject(&self, profile: &str, bundle: &str, reason: Reason) {
        let mut names = self.names.lock();
        let labels = RejectedLabels {
            machine_profile: names.label(profile),
            bundle: names.label(bundle),
            reason: reason.name(),
        };
        drop(names);
        self.rejected.get_or_create(&labels).inc();
    }

    /// A request waits for a machine: it was answered 202, or 503 while the kind of machine could
    /// be guessed.
    pub(crate) fn want(&self, profile: &str, bundle: &str, pool: Option<&str>) {
        let mut names = self.names.lock();
        let wanted = Wanted {
            profile: names.label(profile).into(),
            bundle: names.label(bundle).into(),
            pool: pool.unwrap_or(DEFAULT).into(),
        };
        drop(names);
        // Nobody can start what has no name.
        if *wanted.profile == *OTHER || *wanted.profile == *UNKNOWN {
            return;
        }
        let (demand, told) = &mut *self.pending.lock();
        demand.record(wanted, self.started.elapsed());
        told.set(&labelled(demand));
    }

    /// A 202 was answered.
    pub(crate) fn provisioning(&self, profile: &str) {
        let machine_profile = self.names.lock().label(profile);
        let labels = ProfileLabels { machine_profile };
        self.provisioning.get_or_create(&labels).inc();
    }

    /// What is missing now.
    pub(crate) fn missing(&self) -> Vec<Missing> {
        let pending = self.pending.lock().0.pending().into_iter();
        let missing = pending.map(|((machine_profile, bundle), pools)| Missing {
            machine_profile,
            bundle,
            pools,
        });
        missing.collect()
    }

    /// Keeps the figures true, for as long as it is polled; whoever reads them changes nothing.
    pub(crate) async fn run(&self, pools: &Pools, workers: watch::Receiver<Workers>) {
        let mut ticks = tokio::time::interval(SWEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let known = Arc::clone(&workers.borrow());
            self.refresh(pools, &known, self.started.elapsed());
        }
    }

    fn refresh(&self, pools: &Pools, workers: &[Candidate], now: Duration) {
        // A worker that another pool holds is of no use to the one that waits.
        let served = |wanted: &Wanted| {
            let membership = pools.membership(Some(&wanted.pool));
            workers.iter().any(|worker| {
                worker.routable
                    && worker.profile.eq_ignore_ascii_case(&wanted.profile)
                    && worker.bundle.eq_ignore_ascii_case(&wanted.bundle)
                    && membership.admits(&worker.url)
            })
        };
        {
            let (demand, told) = &mut *self.pending.lock();
            demand.sweep(now, served);
            told.set(&labelled(demand));
        }
        let mut names = self.names.lock();
        for worker in workers {
            names.know(&worker.profile);
            names.know(&worker.bundle);
        }
        let mut leased = BTreeMap::new();
        for ((profile, bundle), count) in pools.leased() {
            let labels = MachineLabels {
                machine_profile: names.label(&profile),
                bundle: names.label(&bundle),
            };
            *leased.entry(labels).or_insert(0) += i64::try_from(count).unwrap_or(i64::MAX);
        }
        drop(names);
        self.leased.lock().set(&leased);
    }
}

fn labelled(demand: &Demand) -> BTreeMap<MachineLabels, i64> {
    let labels = |(profile, bundle): (Arc<str>, Arc<str>)| MachineLabels {
        machine_profile: profile.to_string(),
        bundle: bundle.to_string(),
    };
    let pending = demand.pending().into_iter();
    pending.map(|(key, count)| (labels(key), count)).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
