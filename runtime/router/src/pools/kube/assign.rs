//! Giving workers to pools, while this replica is the one that does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::super::Workers;
use super::super::live::{Pools, SWEEP};
use super::super::spec::PoolError;
use super::super::table::{Lost, Pool, State, Table};
use super::objects::Stamp;
use super::{Cluster, Collected, Written};

/// What could not be collected is not tried again before.
const AGAIN: Duration = Duration::from_secs(1);

impl Pools {
    /// Whether the workers that are free suffice for a pool.
    pub(super) fn would_be_active(&self, name: &str) -> bool {
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

    pub(super) async fn assign_forever(
        &self,
        cluster: &Cluster,
        mut workers: watch::Receiver<Workers>,
    ) {
        let began = tokio::time::Instant::now();
        let mut settled = false;
        let mut failures = 0_u32;
        loop {
            let known = Arc::clone(&workers.borrow_and_update());
            {
                let mut inner = self.inner.lock();
                inner.workers = known;
                self.show(&inner);
            }
            settled = settled || began.elapsed() >= cluster.timing.settle;
            // Others collect what is over while this one does not lead.
            let mut next = None;
            if cluster.leader.leads() {
                let lost = match settled && self.reaches_workers() {
                    true => Lost::Replace,
                    false => Lost::Keep,
                };
                match self.assign(cluster, lost).await {
                    Ok(Round::Done) => {
                        failures = 0;
                        let ends = self.inner.lock().table.next_expiry();
                        next = ends.map(|ends| ends.max(self.now() + AGAIN));
                    }
                    // Others write too, or the cluster is in trouble: ever more slowly.
                    Ok(Round::Again) | Err(_) => {
                        let wait = Duration::from_millis(fastrand::u64(20..150));
                        next = Some(self.now() + (wait * (1 << failures)).min(SWEEP));
                        failures = (failures + 1).min(10);
                    }
                }
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
        self.collect(cluster).await;
        let mut again = false;
        for step in [Step::LetGo, Step::Take] {
            for (pool, stamp) in self.to_write(step, lost) {
                // Whoever was slow may no longer be the one.
                if !cluster.leader.leads() {
                    return Ok(Round::Done);
                }
                match cluster.write_status(&pool, &stamp).await? {
                    Written::Done(pool, stamp) => self.absorb(pool, stamp),
                    Written::Lost => {
                        // What it is by now, if the watch is slow to tell.
                        if let Some((pool, stamp)) = cluster.find(&pool.name).await? {
                            self.absorb(pool, stamp);
                        }
                        again = true;
                    }
                }
            }
            if again {
                return Ok(Round::Again);
            }
        }
        Ok(Round::Done)
    }

    /// Deletes pools that are over, and Leases that were left without a pool.
    async fn collect(&self, cluster: &Cluster) {
        let now = self.now();
        let (over, orphans) = {
            let inner = self.inner.lock();
            let stamp =
                |name: Arc<str>| Some((Arc::clone(&name), inner.stamps.get(&name)?.clone()));
            let over: Vec<_> = inner
                .table
                .expired(now)
                .into_iter()
                .filter_map(stamp)
                .collect();
            let orphan = |name: &&Arc<str>| inner.table.get(name).is_none();
            let ended = inner.leases.iter().filter(|(_, (_, ends))| *ends <= now);
            let orphans: Vec<Arc<str>> = ended
                .map(|(name, _)| name)
                .filter(orphan)
                .cloned()
                .collect();
            (over, orphans)
        };
        for (name, stamp) in over {
            if !cluster.leader.leads() {
                return;
            }
            match cluster.collect(&name, &stamp, now).await {
                Collected::Gone => {
                    tracing::info!(pool = %name, "a pool that nobody renewed is gone");
                    self.forget(&name);
                }
                Collected::Renewed(lease) => {
                    self.note_lease(&mut self.inner.lock(), cluster, &lease);
                }
                Collected::Failed => {}
            }
        }
        for name in orphans {
            if !cluster.leader.leads() {
                return;
            }
            if matches!(cluster.collect_lease(&name, now).await, Collected::Gone) {
                self.inner.lock().leases.remove(&name);
            }
        }
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
