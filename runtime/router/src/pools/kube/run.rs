//! What a replica knows of the cluster's pools, and what requests do to them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher;
use tokio::sync::watch;

use super::super::Workers;
use super::super::live::{Inner, Pools};
use super::super::spec::{PoolError, Spec};
use super::super::table::Pool;
use super::Cluster;
use super::objects::{LABEL, LABEL_VALUE, Stamp, ends_at, pool_name, read, renewed_at};
use crate::discovery::{Change, follow};

/// How long the creation of a pool waits for the workers that are there to be assigned.
const ASSIGNED: Duration = Duration::from_millis(500);
/// Pools of a cluster that are taken in, as a multiple of those that may be made.
const FOREIGN: usize = 4;
impl Pools {
    pub(in crate::pools) async fn create_in(
        &self,
        cluster: &Cluster,
        name: &Arc<str>,
        spec: Spec,
    ) -> Result<(), PoolError> {
        let full = {
            let inner = self.inner.lock();
            let max = inner.table.max_pools();
            (inner.table.get(name).is_none() && inner.table.list().len() >= max).then_some(max)
        };
        if let Some(max) = full {
            return Err(PoolError::full(max));
        }
        let now = self.now();
        let (pool, stamp) = cluster.create(name, &spec, now).await?;
        cluster.renew(name, &pool.spec, now).await?;
        self.absorb(pool, stamp);
        self.absorb_renewal(name, now, &spec);
        self.nudge.notify_one();
        if self.would_be_active(name) {
            self.wait_for_active(name, ASSIGNED).await;
        }
        Ok(())
    }

    pub(in crate::pools) async fn renew_in(
        &self,
        cluster: &Cluster,
        name: &str,
        now: Duration,
    ) -> Result<bool, PoolError> {
        let known = self
            .inner
            .lock()
            .table
            .get(name)
            .map(|pool| pool.spec.clone());
        let spec = match known {
            Some(spec) => spec,
            None => match cluster.find(name).await? {
                Some((pool, stamp)) => {
                    let spec = pool.spec.clone();
                    self.absorb(pool, stamp);
                    spec
                }
                None => return Ok(false),
            },
        };
        cluster.renew(name, &spec, now).await?;
        self.absorb_renewal(&name.into(), now, &spec);
        Ok(true)
    }

    pub(in crate::pools) async fn run_in(
        &self,
        cluster: &Cluster,
        workers: watch::Receiver<Workers>,
    ) {
        let labelled = || watcher::Config::default().labels(&format!("{LABEL}={LABEL_VALUE}"));
        tokio::join!(
            follow(
                cluster.maps.clone(),
                labelled(),
                "ConfigMaps of pools",
                |change| {
                    self.saw_maps(cluster, change);
                }
            ),
            follow(
                cluster.leases.clone(),
                labelled(),
                "Leases of pools",
                |change| {
                    self.saw_leases(cluster, change);
                }
            ),
            cluster.leader.run(),
            self.assign_forever(cluster, workers),
        );
    }

    /// Lets another replica assign workers at once when this one ends.
    pub(crate) async fn resign(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.leader.resign().await;
        }
    }

    fn saw_maps(&self, cluster: &Cluster, change: Change<ConfigMap>) {
        let read = |map: &ConfigMap| match read(map, cluster.lease) {
            Ok(read) => Some(read),
            Err(why) => {
                let name = map.metadata.name.as_deref().unwrap_or_default();
                if pool_name(map).is_some() {
                    tracing::warn!(config_map = name, "this is no pool that can be read: {why}");
                }
                None
            }
        };
        match change {
            Change::All(maps) => {
                let all: Vec<(Pool, Stamp)> = maps.iter().filter_map(read).collect();
                let names: BTreeSet<Arc<str>> =
                    all.iter().map(|(pool, _)| Arc::clone(&pool.name)).collect();
                let mut inner = self.inner.lock();
                let pools = inner.table.list().iter().map(|pool| &pool.name);
                let gone: Vec<Arc<str>> = pools
                    .filter(|name| !names.contains(*name))
                    .cloned()
                    .collect();
                for name in gone {
                    inner.table.delete(&name);
                }
                // A list is what there is, whatever the versions say.
                inner.stamps.clear();
                self.absorb_all(&mut inner, all);
            }
            Change::Put(map) => match read(&map) {
                Some((pool, stamp)) => self.absorb(pool, stamp),
                None => self.forget_object(&map),
            },
            Change::Gone(map) => self.forget_object(&map),
        }
        self.nudge.notify_one();
    }

    fn forget_object(&self, map: &ConfigMap) {
        if let Some(name) = pool_name(map) {
            self.forget(&name);
        }
    }

    fn saw_leases(&self, cluster: &Cluster, change: Change<Lease>) {
        let mut inner = self.inner.lock();
        let leases = match change {
            Change::All(leases) => {
                inner.leases.clear();
                leases
            }
            Change::Put(lease) => vec![lease],
            Change::Gone(lease) => {
                if let Some(name) = pool_name(&lease) {
                    inner.leases.remove(&name);
                }
                Vec::new()
            }
        };
        for lease in &leases {
            self.note_lease(&mut inner, cluster, lease);
        }
        self.show(&inner);
        drop(inner);
        self.nudge.notify_one();
    }

    pub(super) fn note_lease(&self, inner: &mut Inner, cluster: &Cluster, lease: &Lease) {
        let ends = ends_at(lease, cluster.lease);
        if let (Some(name), Some(at), Some(ends)) = (pool_name(lease), renewed_at(lease), ends) {
            self.note_renewal(inner, name, at, ends);
        }
    }

    fn note_renewal(&self, inner: &mut Inner, name: Arc<str>, at: Duration, ends: Duration) {
        // The clock of another replica may be ahead, but not by much.
        let at = at.min(self.now() + Duration::from_secs(60));
        inner.table.renew(&name, at);
        let known = inner.leases.entry(name).or_insert((at, ends));
        *known = (*known).max((at, ends));
    }

    /// Takes in a pool as it lies in the cluster, unless something newer is known.
    pub(in crate::pools) fn absorb(&self, pool: Pool, stamp: Stamp) {
        self.absorb_all(&mut self.inner.lock(), vec![(pool, stamp)]);
    }

    fn absorb_all(&self, inner: &mut Inner, mut all: Vec<(Pool, Stamp)>) {
        // More than could be made here are somebody else's mistake.
        let mut room = (FOREIGN * inner.table.max_pools()).saturating_sub(inner.table.list().len());
        all.retain(|(pool, stamp)| {
            let known = inner.stamps.get(&pool.name);
            if inner.table.get(&pool.name).is_none() {
                if room == 0 {
                    tracing::warn!(pool = %pool.name, "the cluster has too many pools: this one is ignored");
                    return false;
                }
                room -= 1;
            }
            known.is_none_or(|known| !stamp.is_before(known))
        });
        for (pool, stamp) in &mut all {
            if let Some((renewed, _)) = inner.leases.get(&pool.name) {
                pool.last_renewed = pool.last_renewed.max(*renewed);
            }
            inner.stamps.insert(Arc::clone(&pool.name), stamp.clone());
        }
        inner.table.restore(all.into_iter().map(|(pool, _)| pool));
        self.show(inner);
    }

    fn absorb_renewal(&self, name: &Arc<str>, at: Duration, spec: &Spec) {
        let mut inner = self.inner.lock();
        let ends = at.saturating_add(spec.ttl.unwrap_or(self.rules.lease));
        self.note_renewal(&mut inner, Arc::clone(name), at, ends);
        self.show(&inner);
    }

    pub(in crate::pools) fn forget(&self, name: &str) {
        let mut inner = self.inner.lock();
        inner.table.delete(name);
        inner.stamps.remove(name);
        self.show(&inner);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
