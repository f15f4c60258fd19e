//! The pools as the rest of the router talks to them: a snapshot for requests, and the table behind
//! it, which follows the workers and lets go of what nobody renews.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::kube::{Cluster, Stamp};
use super::late::Asked;
use super::object::{PoolList, PoolObject, PoolSummary, SpecObject, StatusObject};
use super::spec::{PoolError, Rules};
use super::table::{Lost, Member, Pool, State, Table};
use super::{DEFAULT, Membership, Workers};

/// Expired pools are gone after this at the latest.
pub(super) const SWEEP: Duration = Duration::from_secs(30);

/// The pools of this router: in its own memory, or in a cluster, where all replicas see the same.
pub(crate) struct Pools {
    pub(super) rules: Rules,
    pub(super) inner: Mutex<Inner>,
    view: ArcSwap<View>,
    /// Counts views, for those who wait for one.
    views: watch::Sender<u64>,
    /// Asks the task that assigns workers to look again.
    pub(super) nudge: Notify,
    pub(super) cluster: Option<Cluster>,
    /// Names of pools that the cluster was asked for a moment ago.
    pub(super) asked: Asked,
    started: (Duration, Instant),
}

/// What changes, under one lock that is never held over anything slow.
pub(super) struct Inner {
    pub(super) table: Table,
    pub(super) workers: Workers,
    /// Which version of its object a pool was read from.
    pub(super) stamps: BTreeMap<Arc<str>, Stamp>,
    /// When leases were renewed, and when they end.
    pub(super) leases: BTreeMap<Arc<str>, (Duration, Duration)>,
}

/// What requests see.
#[derive(Default)]
struct View {
    pools: BTreeMap<Arc<str>, Seen>,
    reserved: Arc<BTreeSet<Arc<str>>>,
    unreserved: Vec<Member>,
}

struct Seen {
    pool: Pool,
    members: Arc<BTreeSet<Arc<str>>>,
}

impl Pools {
    /// Pools in this router's memory.
    pub(crate) fn in_memory(rules: Rules) -> Arc<Self> {
        Self::new(rules, None)
    }

    /// Pools that lie in a cluster.
    pub(crate) fn in_cluster(rules: Rules, cluster: Cluster) -> Arc<Self> {
        Self::new(rules, Some(cluster))
    }

    fn new(rules: Rules, cluster: Option<Cluster>) -> Arc<Self> {
        let table = Table::new(rules.max_pools, rules.lease);
        Arc::new(Self {
            rules,
            inner: Mutex::new(Inner {
                table,
                workers: Arc::new([]),
                stamps: BTreeMap::new(),
                leases: BTreeMap::new(),
            }),
            view: ArcSwap::default(),
            views: watch::Sender::new(0),
            nudge: Notify::new(),
            cluster,
            asked: Asked::default(),
            started: (wall(), Instant::now()),
        })
    }

    /// Who may serve requests of a pool; without a name, requests that name none.
    pub(crate) fn membership(&self, pool: Option<&str>) -> Membership {
        let view = self.view.load();
        match pool {
            None | Some(DEFAULT) => Membership::AllBut(Arc::clone(&view.reserved)),
            Some(name) => match view.pools.get(name) {
                Some(seen) => Membership::Only(Arc::clone(&seen.members)),
                None => Membership::Unknown,
            },
        }
    }

    /// The kind of machine that requests of a pool wait for when they name none.
    pub(crate) fn profile_of(&self, pool: Option<&str>) -> Option<Arc<str>> {
        match pool {
            None | Some(DEFAULT) => self.rules.default_profile.clone(),
            Some(name) => {
                let view = self.view.load();
                let first = view.pools.get(name)?.pool.spec.gpus.first()?;
                Some(Arc::clone(&first.0))
            }
        }
    }

    /// Machines that living pools hold or wait for: profile, bundle and number.
    pub(crate) fn leased(&self) -> BTreeMap<(Arc<str>, Arc<str>), u64> {
        let now = self.now();
        let mut leased = BTreeMap::new();
        for seen in self.view.load().pools.values() {
            let pool = &seen.pool;
            if pool.state_at(self.rules.lease, now) == State::Expired {
                continue;
            }
            let bundle = pool.spec.bundle.clone().unwrap_or_else(|| DEFAULT.into());
            for (profile, count) in pool.spec.machines() {
                let key = (Arc::clone(profile), Arc::clone(&bundle));
                *leased.entry(key).or_insert(0) += u64::from(count);
            }
        }
        leased
    }

    /// Makes the pool that a request's body describes. One of that name that is there is renewed,
    /// and asks from now on for what is asked now.
    pub(crate) async fn create(&self, body: &Value) -> Result<PoolObject, PoolError> {
        let (name, spec) = self.rules.read(body)?;
        match &self.cluster {
            Some(cluster) => self.create_in(cluster, &name, spec).await?,
            None => {
                let now = self.now();
                self.change(|inner| inner.table.create(Arc::clone(&name), spec, now).map(drop))?;
            }
        }
        self.nudge.notify_one();
        self.look_up(&name).ok_or_else(|| PoolError::unknown(&name))
    }

    /// A pool, as it is.
    pub(crate) async fn get(&self, name: &str) -> Result<PoolObject, PoolError> {
        if name == DEFAULT {
            return Ok(self.default_pool());
        }
        if let Some(pool) = self.look_up(name) {
            return Ok(pool);
        }
        // Another replica may have made it just now.
        if let Some(cluster) = &self.cluster
            && super::spec::check_name(name).is_ok()
            && let Some((pool, stamp)) = cluster.find(name).await?
        {
            self.absorb(pool, stamp);
        }
        self.look_up(name).ok_or_else(|| PoolError::unknown(name))
    }

    /// All pools.
    pub(crate) async fn list(&self) -> PoolList {
        let now = self.now();
        let view = self.view.load();
        let object = |seen: &Seen| PoolObject::new(&seen.pool, self.rules.lease, now);
        let others = view.pools.values().map(object);
        let all = std::iter::once(self.default_pool()).chain(others);
        PoolList {
            pools: all.map(|pool| PoolSummary::from(&pool)).collect(),
        }
    }

    /// Lets go of a pool.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), PoolError> {
        if name == DEFAULT {
            return Err(PoolError::protected());
        }
        super::spec::check_name(name).map_err(|_| PoolError::unknown(name))?;
        let was_there = match &self.cluster {
            Some(cluster) => {
                let was_there = cluster.delete(name).await?;
                self.forget(name);
                was_there
            }
            None => self.change(|inner| Ok(inner.table.delete(name)))?,
        };
        self.nudge.notify_one();
        match was_there {
            true => Ok(()),
            false => Err(PoolError::unknown(name)),
        }
    }

    /// Lets a pool live for another lease.
    pub(crate) async fn renew(&self, name: &str) -> Result<(), PoolError> {
        if name == DEFAULT {
            return Ok(());
        }
        super::spec::check_name(name).map_err(|_| PoolError::unknown(name))?;
        let now = self.now();
        let was_there = match &self.cluster {
            Some(cluster) => self.renew_in(cluster, name, now).await?,
            None => self.change(|inner| Ok(inner.table.renew(name, now)))?,
        };
        match was_there {
            true => Ok(()),
            false => Err(PoolError::unknown(name)),
        }
    }

    /// Follows the workers, and lets go of what nobody renews, for as long as it is polled.
    pub(crate) async fn run(self: Arc<Self>, workers: watch::Receiver<Workers>) {
        match &self.cluster {
            Some(cluster) => self.run_in(cluster, workers).await,
            None => self.run_alone(workers).await,
        }
    }

    async fn run_alone(&self, mut workers: watch::Receiver<Workers>) {
        loop {
            let now = self.now();
            let known = Arc::clone(&workers.borrow_and_update());
            let next = {
                let mut inner = self.inner.lock();
                inner.workers = known;
                for name in inner.table.expire(now) {
                    tracing::info!(pool = %name, "a pool that nobody renewed is gone");
                }
                self.settle(&mut inner);
                inner.table.next_expiry()
            };
            self.sleep_until(&mut workers, next).await;
        }
    }

    /// Until something about workers changes that concerns pools, something is done to a pool, or a
    /// pool expires.
    pub(super) async fn sleep_until(
        &self,
        workers: &mut watch::Receiver<Workers>,
        next: Option<Duration>,
    ) {
        let left = next.map_or(SWEEP, |next| next.saturating_sub(self.now()));
        // A little more, so that it is over by then.
        let over = tokio::time::sleep(left.min(SWEEP) + Duration::from_millis(5));
        tokio::pin!(over);
        let mut told = true;
        loop {
            tokio::select! {
                changed = workers.changed(), if told => match changed {
                    // How busy a worker is changes all the time and is nothing to pools.
                    Ok(()) if *workers.borrow() == self.inner.lock().workers => {}
                    Ok(()) => return,
                    // Nobody tells of workers any more: the rest goes on.
                    Err(_) => told = false,
                },
                () = self.nudge.notified() => return,
                () = &mut over => return,
            }
        }
    }

    /// Does something to the table in memory and shows what comes of it.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Inner) -> Result<T, PoolError>,
    ) -> Result<T, PoolError> {
        let mut inner = self.inner.lock();
        let done = change(&mut inner)?;
        self.settle(&mut inner);
        Ok(done)
    }

    fn settle(&self, inner: &mut Inner) {
        let workers = Arc::clone(&inner.workers);
        inner.table.reassign(&workers, Lost::Replace);
        self.show(inner);
    }

    /// Shows the table to requests.
    pub(super) fn show(&self, inner: &Inner) {
        let before = self.view.load();
        let mut view = View::default();
        let mut reserved = BTreeSet::new();
        for pool in inner.table.list() {
            let members: BTreeSet<Arc<str>> =
                pool.members.iter().map(|m| Arc::clone(&m.url)).collect();
            reserved.extend(members.iter().cloned());
            let known = before.pools.get(&pool.name).map(|seen| seen.pool.state);
            if known != Some(pool.state) {
                tracing::info!(pool = %pool.name, state = ?pool.state, workers = members.len(), "a pool");
            }
            let seen = Seen {
                pool: pool.clone(),
                members: Arc::new(members),
            };
            view.pools.insert(Arc::clone(&pool.name), seen);
        }
        for worker in inner.workers.iter() {
            if worker.routable && !reserved.contains(&worker.url) {
                view.unreserved.push(Member {
                    name: Arc::clone(&worker.name),
                    url: Arc::clone(&worker.url),
                    gpu: Arc::clone(&worker.profile),
                });
            }
        }
        view.reserved = Arc::new(reserved);
        self.view.store(Arc::new(view));
        self.views
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Waits until a pool is seen to be active, but not for long.
    pub(super) async fn wait_for_active(&self, name: &str, at_most: Duration) {
        let mut views = self.views.subscribe();
        let active = || {
            let view = self.view.load();
            let state = view.pools.get(name).map(|seen| seen.pool.state);
            state != Some(State::Pending)
        };
        let seen = async {
            while !active() {
                if views.changed().await.is_err() {
                    break;
                }
            }
        };
        // What it is by then is what is told.
        let _ = tokio::time::timeout(at_most, seen).await;
    }

    fn look_up(&self, name: &str) -> Option<PoolObject> {
        let view = self.view.load();
        let seen = view.pools.get(name)?;
        Some(PoolObject::new(&seen.pool, self.rules.lease, self.now()))
    }

    /// The default pool asks for nothing: it shows what it has.
    fn default_pool(&self) -> PoolObject {
        let view = self.view.load();
        let mut gpus: Vec<(Arc<str>, u32)> = Vec::new();
        for profile in &self.rules.profiles {
            gpus.push((Arc::clone(profile), 0));
        }
        for member in &view.unreserved {
            let same =
                |(profile, _): &&mut (Arc<str>, u32)| profile.eq_ignore_ascii_case(&member.gpu);
            match gpus.iter_mut().find(same) {
                Some((_, count)) => *count += 1,
                None => gpus.push((Arc::clone(&member.gpu), 1)),
            }
        }
        let started = self.started.0.as_secs_f64();
        PoolObject {
            name: DEFAULT.into(),
            spec: SpecObject {
                gpus,
                bundle: None,
                minimum_worker_count: 0,
                ttl_seconds: None,
            },
            status: StatusObject {
                state: match view.unreserved.is_empty() {
                    true => State::Pending,
                    false => State::Active,
                },
                assigned_workers: view.unreserved.clone(),
                created_at: started,
                last_renewed: started,
                expires_in_s: None,
            },
        }
    }

    /// The time since 1970. In memory it runs evenly from the start on, so that a clock that is set
    /// ends no pool; replicas of a cluster go by the clock that they share.
    pub(super) fn now(&self) -> Duration {
        match self.cluster {
            Some(_) => wall(),
            None => self.started.0 + self.started.1.elapsed(),
        }
    }
}

fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
