//! What a replica does all the time: follow the objects, and assign workers while it is the one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher;
use tokio::sync::watch;

use super::super::Workers;
use super::super::live::Pools;
use super::super::spec::{PoolError, Spec};
use super::super::table::{Lost, Pool, State, Table};
use super::objects::{LABEL, LABEL_VALUE, Stamp, pool_name, read, renewed_at};
use super::{Cluster, Written, pause};
use crate::discovery::{Change, follow};

/// How long the creation of a pool waits for the workers that are there to be assigned.
const ASSIGNED: Duration = Duration::from_millis(500);

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
        self.absorb_renewal(name, now);
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
        self.absorb_renewal(name, now);
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
                    self.saw_leases(change);
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
                let gone: Vec<Arc<str>> = {
                    let inner = self.inner.lock();
                    let pools = inner.table.list().iter().map(|pool| Arc::clone(&pool.name));
                    pools.filter(|name| !names.contains(name)).collect()
                };
                for name in gone {
                    self.forget(&name);
                }
                for (pool, stamp) in all {
                    self.absorb(pool, stamp);
                }
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

    fn saw_leases(&self, change: Change<Lease>) {
        let leases = match change {
            Change::All(leases) => leases,
            Change::Put(lease) => vec![lease],
            // Its pool goes too, or is renewed again.
            Change::Gone(_) => Vec::new(),
        };
        for lease in &leases {
            if let (Some(name), Some(at)) = (pool_name(lease), renewed_at(lease)) {
                self.absorb_renewal(&name, at);
            }
        }
        self.nudge.notify_one();
    }

    /// Takes in a pool as it lies in the cluster, unless something newer is known.
    pub(in crate::pools) fn absorb(&self, mut pool: Pool, stamp: Stamp) {
        let mut inner = self.inner.lock();
        let known = inner.stamps.get(&pool.name);
        if known.is_some_and(|known| stamp.is_before(known)) {
            return;
        }
        if let Some(renewed) = inner.renewed.get(&pool.name) {
            pool.last_renewed = pool.last_renewed.max(*renewed);
        }
        inner.stamps.insert(Arc::clone(&pool.name), stamp);
        inner.table.restore(pool);
        self.show(&inner);
    }

    fn absorb_renewal(&self, name: &str, at: Duration) {
        let mut inner = self.inner.lock();
        // The clock of another replica may be ahead, but not by much.
        let at = at.min(self.now() + Duration::from_secs(60));
        // Of pools alone that are known: a Lease that is seen before its pool was written with it.
        if inner.table.renew(name, at) {
            let known = inner.renewed.entry(name.into()).or_insert(at);
            *known = (*known).max(at);
            self.show(&inner);
        }
    }

    pub(in crate::pools) fn forget(&self, name: &str) {
        let mut inner = self.inner.lock();
        inner.table.delete(name);
        inner.stamps.remove(name);
        inner.renewed.remove(name);
        self.show(&inner);
    }

    /// Whether the workers that are free suffice for a pool.
    fn would_be_active(&self, name: &str) -> bool {
        let (mut table, workers) = self.copy();
        table.reassign(&workers, Lost::Keep);
        table
            .get(name)
            .is_some_and(|pool| pool.state == State::Active)
    }

    fn copy(&self) -> (Table, Workers) {
        let inner = self.inner.lock();
        (inner.table.clone(), Arc::clone(&inner.workers))
    }

    async fn assign_forever(&self, cluster: &Cluster, mut workers: watch::Receiver<Workers>) {
        let began = tokio::time::Instant::now();
        let mut settled = false;
        loop {
            let known = Arc::clone(&workers.borrow_and_update());
            {
                let mut inner = self.inner.lock();
                inner.workers = known;
                self.show(&inner);
            }
            settled = settled || began.elapsed() >= cluster.timing.settle;
            let mut next = self.inner.lock().table.next_expiry();
            if cluster.leader.leads() {
                let lost = match settled && self.reaches_workers() {
                    true => Lost::Replace,
                    false => Lost::Keep,
                };
                match self.assign(cluster, lost).await {
                    Ok(Round::Done) => {}
                    // What is new comes with the watch; this is if it does not.
                    Ok(Round::Again) => {
                        pause().await;
                        self.nudge.notify_one();
                    }
                    Err(error) => {
                        tracing::debug!("assigning workers: {}", error.message);
                        next = Some(self.now() + Duration::from_secs(1));
                    }
                }
            } else {
                // Others collect what is over.
                next = None;
            }
            if !settled {
                let left = cluster.timing.settle.saturating_sub(began.elapsed());
                let at = self.now() + left;
                next = Some(next.map_or(at, |next| next.min(at)));
            }
            tokio::select! {
                () = self.sleep_until(&mut workers, next) => {}
                () = cluster.leader.begun.notified() => {}
            }
        }
    }

    /// A replica that reaches no worker at all is cut off: it empties no pools, since it has nobody
    /// to put there.
    fn reaches_workers(&self) -> bool {
        self.inner
            .lock()
            .workers
            .iter()
            .any(|worker| worker.routable)
    }

    /// One round: what is over is deleted; then workers are let go, and then taken, so that at no
    /// time two objects name the same.
    async fn assign(&self, cluster: &Cluster, lost: Lost) -> Result<Round, PoolError> {
        let now = self.now();
        let expired = self.inner.lock().table.expired(now);
        let mut again = false;
        for name in expired {
            let stamp = self.inner.lock().stamps.get(&name).cloned();
            let Some(stamp) = stamp else { continue };
            if !cluster.leader.leads() {
                return Ok(Round::Done);
            }
            if cluster.collect(&name, &stamp, now).await {
                tracing::info!(pool = %name, "a pool that nobody renewed is gone");
                self.forget(&name);
            }
        }
        for step in [Step::LetGo, Step::Take] {
            for (pool, stamp) in self.to_write(step, lost) {
                // Whoever was slow may no longer be the one.
                if !cluster.leader.leads() {
                    return Ok(Round::Done);
                }
                match cluster.write_status(&pool, &stamp).await? {
                    Written::Done(pool, stamp) => self.absorb(pool, stamp),
                    Written::Lost => again = true,
                }
            }
            if again {
                return Ok(Round::Again);
            }
        }
        Ok(Round::Done)
    }

    /// The pools whose state is to be written, as it is to be.
    fn to_write(&self, step: Step, lost: Lost) -> Vec<(Pool, Stamp)> {
        let (table, workers) = self.copy();
        let mut planned = table.clone();
        planned.reassign(&workers, lost);
        let inner = self.inner.lock();
        let mut writes = Vec::new();
        for plan in planned.list() {
            let (Some(is), Some(stamp)) = (table.get(&plan.name), inner.stamps.get(&plan.name))
            else {
                continue;
            };
            let mut becomes = plan.clone();
            if step == Step::LetGo {
                becomes.members.retain(|member| is.members.contains(member));
                if becomes.members.len() == is.members.len() {
                    continue;
                }
                if becomes.members.len() < plan.members.len() {
                    becomes.state = State::Pending;
                }
            }
            if becomes.members != is.members || becomes.state != is.state {
                writes.push((becomes, stamp.clone()));
            }
        }
        writes
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    LetGo,
    Take,
}

enum Round {
    Done,
    /// Somebody wrote at the same time.
    Again,
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
