//! Who holds which worker: a state machine without clock or sockets.
//!
//! A worker belongs to one pool at most, whether that pool has all that it wants or not. Pools are
//! served in the order of their creation, and keep what they have for as long as it lives and fits.
//! A younger pool does not lose workers to an older one that lost its own: traffic of both runs on
//! what they hold.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Candidate;
use super::spec::{PoolError, Spec};

/// A worker that a pool holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: Arc<str>,
    pub(crate) url: Arc<str>,
    pub(crate) gpu: Arc<str>,
}

/// How far a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It has less than it asks for; what it has serves it.
    Pending,
    /// It has all that it asks for.
    Active,
    /// Nobody renewed it in time; it is about to go.
    Expired,
}

/// A pool. Times are since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) name: Arc<str>,
    pub(crate) spec: Spec,
    pub(crate) state: State,
    pub(crate) members: Vec<Member>,
    pub(crate) created_at: Duration,
    pub(crate) last_renewed: Duration,
}

impl Pool {
    pub(crate) fn new(name: Arc<str>, spec: Spec, now: Duration) -> Self {
        Self {
            name,
            spec,
            state: State::Pending,
            members: Vec::new(),
            created_at: now,
            last_renewed: now,
        }
    }

    pub(crate) fn expires_at(&self, lease: Duration) -> Duration {
        self.last_renewed
            .saturating_add(self.spec.ttl.unwrap_or(lease))
    }

    pub(crate) fn state_at(&self, lease: Duration, now: Duration) -> State {
        match now >= self.expires_at(lease) {
            true => State::Expired,
            false => self.state,
        }
    }

    fn takes(&self, worker: &Candidate) -> bool {
        let bundle = self.spec.bundle.as_ref();
        bundle.is_none_or(|bundle| bundle.eq_ignore_ascii_case(&worker.bundle))
    }

    fn holds(&self, profile: &str) -> usize {
        let same = |member: &&Member| member.gpu.eq_ignore_ascii_case(profile);
        self.members.iter().filter(same).count()
    }
}

/// What is done with members that are not there or take no requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// They are let go, and replaced if others are free.
    Replace,
    /// They are kept, though they do not count: it is not known yet whether they are really gone.
    Keep,
}

/// What creating a pool did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    New,
    /// It was there and asked for something else.
    Changed,
    /// It was there.
    Renewed,
}

/// All pools but the default one, the oldest first.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pools: Vec<Pool>,
    max_pools: usize,
    lease: Duration,
}

impl Table {
    pub(crate) fn new(max_pools: usize, lease: Duration) -> Self {
        Self {
            pools: Vec::new(),
            max_pools,
            lease,
        }
    }

    pub(crate) fn max_pools(&self) -> usize {
        self.max_pools
    }

    /// Makes a pool, or renews the one of this name and lets it ask for what is asked now.
    pub(crate) fn create(
        &mut self,
        name: Arc<str>,
        spec: Spec,
        now: Duration,
    ) -> Result<Created, PoolError> {
        if let Some(pool) = self.find(&name) {
            pool.last_renewed = pool.last_renewed.max(now);
            if pool.spec == spec {
                return Ok(Created::Renewed);
            }
            pool.spec = spec;
            return Ok(Created::Changed);
        }
        if self.pools.len() >= self.max_pools {
            return Err(PoolError::full(self.max_pools));
        }
        let pool = Pool::new(name, spec, now);
        let at = self.pools.partition_point(|other| other.created_at <= now);
        self.pools.insert(at, pool);
        Ok(Created::New)
    }

    /// Takes pools as they are kept elsewhere, in place of those of the same names. Such pools come
    /// in any order; those of one age are in that of their names, the same for everybody.
    pub(crate) fn restore(&mut self, pools: impl IntoIterator<Item = Pool>) {
        for pool in pools {
            match self.find(&pool.name) {
                Some(known) => *known = pool,
                None => self.pools.push(pool),
            }
        }
        self.pools
            .sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
        self.settle_claims();
    }

    pub(crate) fn renew(&mut self, name: &str, now: Duration) -> bool {
        self.find(name).is_some_and(|pool| {
            pool.last_renewed = pool.last_renewed.max(now);
            true
        })
    }

    pub(crate) fn delete(&mut self, name: &str) -> bool {
        let before = self.pools.len();
        self.pools.retain(|pool| *pool.name != *name);
        self.pools.len() < before
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| *pool.name == *name)
    }

    pub(crate) fn list(&self) -> &[Pool] {
        &self.pools
    }

    /// Names of pools whose time is over.
    pub(crate) fn expired(&self, now: Duration) -> Vec<Arc<str>> {
        let over = |pool: &&Pool| now >= pool.expires_at(self.lease);
        let name = |pool: &Pool| Arc::clone(&pool.name);
        self.pools.iter().filter(over).map(name).collect()
    }

    /// Removes pools whose time is over.
    pub(crate) fn expire(&mut self, now: Duration) -> Vec<Arc<str>> {
        let expired = self.expired(now);
        self.pools.retain(|pool| !expired.contains(&pool.name));
        expired
    }

    /// When the next pool expires.
    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        let ends = self.pools.iter().map(|pool| pool.expires_at(self.lease));
        ends.min()
    }

    /// Gives workers to pools. Afterwards no worker is in two pools, no pool has more than it asks
    /// for, and members are alive and fit, unless lost ones are to be kept.
    pub(crate) fn reassign(&mut self, workers: &[Candidate], lost: Lost) {
        let known: HashMap<&str, &Candidate> = workers.iter().map(|w| (&*w.url, w)).collect();
        let mut taken: HashSet<Arc<str>> = HashSet::new();
        for pool in &mut self.pools {
            keep_fitting(pool, &known, lost, &mut taken);
        }
        let mut free: HashMap<String, Vec<&Candidate>> = HashMap::new();
        for worker in workers {
            if worker.routable && !taken.contains(&worker.url) {
                let profile = worker.profile.to_ascii_lowercase();
                free.entry(profile).or_default().push(worker);
            }
        }
        for pool in &mut self.pools {
            fill(pool, &mut free);
            let alive = |member: &&Member| known.get(&*member.url).is_some_and(|w| w.routable);
            let mut met = pool.spec.gpus.iter().map(|(profile, count)| {
                let same = |member: &&Member| member.gpu.eq_ignore_ascii_case(profile);
                let have = pool.members.iter().filter(alive).filter(same).count();
                have >= *count as usize
            });
            pool.state = match met.all(|met| met) {
                true => State::Active,
                false => State::Pending,
            };
        }
    }

    /// Every worker that is in several pools stays in the oldest of them. Whoever reads the same
    /// objects decides the same.
    fn settle_claims(&mut self) {
        let mut taken: HashSet<Arc<str>> = HashSet::new();
        for pool in &mut self.pools {
            let before = pool.members.len();
            pool.members
                .retain(|member| taken.insert(Arc::clone(&member.url)));
            if pool.members.len() < before {
                pool.state = State::Pending;
            }
        }
    }

    fn find(&mut self, name: &str) -> Option<&mut Pool> {
        self.pools.iter_mut().find(|pool| *pool.name == *name)
    }
}

/// Lets a pool keep those of its members that it may and that it still asks for.
fn keep_fitting(
    pool: &mut Pool,
    known: &HashMap<&str, &Candidate>,
    lost: Lost,
    taken: &mut HashSet<Arc<str>>,
) {
    let members = std::mem::take(&mut pool.members);
    for member in members {
        let fits = match known.get(&*member.url) {
            Some(worker) if worker.routable => {
                pool.takes(worker) && worker.profile.eq_ignore_ascii_case(&member.gpu)
            }
            _ => lost == Lost::Keep,
        };
        let wanted = pool
            .spec
            .gpus
            .iter()
            .find(|(profile, _)| profile.eq_ignore_ascii_case(&member.gpu));
        let room = wanted.is_some_and(|(profile, count)| pool.holds(profile) < *count as usize);
        if fits && room && taken.insert(Arc::clone(&member.url)) {
            pool.members.push(member);
        }
    }
}

/// Gives a pool what it lacks of what is free.
fn fill(pool: &mut Pool, free: &mut HashMap<String, Vec<&Candidate>>) {
    for at in 0..pool.spec.gpus.len() {
        let Some((profile, count)) = pool.spec.gpus.get(at) else {
            break;
        };
        let lacks = (*count as usize).saturating_sub(pool.holds(profile));
        let Some(candidates) = free.get_mut(&profile.to_ascii_lowercase()) else {
            continue;
        };
        let mut found = Vec::with_capacity(lacks.min(candidates.len()));
        candidates.retain(|worker| {
            let take = found.len() < lacks && pool.takes(worker);
            if take {
                found.push(Member {
                    name: Arc::clone(&worker.name),
                    url: Arc::clone(&worker.url),
                    gpu: Arc::clone(&worker.profile),
                });
            }
            !take
        });
        pool.members.append(&mut found);
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
