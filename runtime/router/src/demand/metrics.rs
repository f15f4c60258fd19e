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
use super::names::{Kind, Names, OTHER, UNKNOWN};
use crate::RouterOptions;
use crate::catalog::Catalog;
use crate::pools::{Candidate, DEFAULT, Pools, Workers};

/// How often what is missing is looked through.
const SWEEP: Duration = Duration::from_secs(1);
/// Kinds of requests that were turned away, by their labels.
const MAX_REJECTED: usize = 4096;

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

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
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
    names: Mutex<(Names, Told)>,
    started: Instant,
}

/// The labels that requests which were turned away are counted under.
type Told = BTreeSet<RejectedLabels>;

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
    /// With the kinds of machines of `options` and the bundles of the catalogue, which are sure to be
    /// labels.
    pub(crate) fn new(options: &RouterOptions, catalog: Option<&Catalog>) -> Self {
        let gpus = options.configured_gpus.iter();
        let gpus = gpus.chain(options.machine_profiles.keys());
        let models = catalog.into_iter().flat_map(Catalog::known);
        Self::of(gpus.chain(models.flat_map(|model| &model.bundles)))
    }

    /// With names that are sure to be labels.
    fn of<'a>(configured: impl Iterator<Item = &'a Arc<str>>) -> Self {
        let mut names = Names::default();
        names.configure(DEFAULT);
        configured.for_each(|name| names.configure(name));
        Self {
            pending: Mutex::default(),
            leased: Mutex::default(),
            rejected: Family::default(),
            provisioning: Family::default(),
            names: Mutex::new((names, Told::new())),
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

    /// A request was turned away. If a machine is wanted for it, tell that first: a name that nobody
    /// waits for is no label.
    pub(crate) fn reject(&self, profile: &str, bundle: &str, reason: Reason) {
        let (names, told) = &mut *self.names.lock();
        let mut labels = RejectedLabels {
            machine_profile: names.look(profile),
            bundle: names.look(bundle),
            reason: reason.name(),
        };
        if told.len() >= MAX_REJECTED && !told.contains(&labels) {
            labels.machine_profile = OTHER.to_owned();
            labels.bundle = OTHER.to_owned();
        }
        // With the names locked, so that what is forgotten does not come back.
        self.rejected.get_or_create(&labels).inc();
        told.insert(labels);
    }

    /// A request waits for a machine: it was answered 202, or 503 while the kind of machine could
    /// be guessed.
    pub(crate) fn want(&self, profile: &str, bundle: &str, pool: Option<&str>) {
        let now = self.started.elapsed();
        let (names, _) = &mut *self.names.lock();
        let wanted = Wanted {
            profile: names.take(Kind::Profile, profile, now).into(),
            bundle: names.take(Kind::Bundle, bundle, now).into(),
            pool: pool.unwrap_or(DEFAULT).into(),
        };
        // Nobody can start what has no name.
        if *wanted.profile == *OTHER || *wanted.profile == *UNKNOWN {
            return;
        }
        let (demand, told) = &mut *self.pending.lock();
        demand.record(wanted, now);
        told.set(&labelled(demand));
    }

    /// A 202 was answered.
    pub(crate) fn provisioning(&self, profile: &str) {
        let (names, _) = &*self.names.lock();
        let machine_profile = names.look(profile);
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
        let mut leased = BTreeMap::new();
        {
            let (names, told) = &mut *self.names.lock();
            for worker in workers {
                names.see(&worker.profile, now);
                names.see(&worker.bundle, now);
            }
            for ((profile, bundle), count) in pools.leased() {
                let labels = MachineLabels {
                    machine_profile: names.take(Kind::Leased, &profile, now),
                    bundle: names.take(Kind::Leased, &bundle, now),
                };
                *leased.entry(labels).or_insert(0) += i64::try_from(count).unwrap_or(i64::MAX);
            }
            self.forget(&names.sweep(now), told);
        }
        self.leased.lock().set(&leased);
    }

    /// Tells nothing any more of names that are forgotten.
    fn forget(&self, gone: &[String], told: &mut Told) {
        if gone.is_empty() {
            return;
        }
        for machine_profile in gone.iter().cloned() {
            self.provisioning.remove(&ProfileLabels { machine_profile });
        }
        told.retain(|labels| {
            let stays = !gone.contains(&labels.machine_profile) && !gone.contains(&labels.bundle);
            if !stays {
                self.rejected.remove(labels);
            }
            stays
        });
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
