//! A pool as it is told over the wire.

use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::table::{Member, Pool, State};

/// A pool as `/v1/pools/{name}` tells it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PoolObject {
    pub(crate) name: Arc<str>,
    pub(crate) spec: SpecObject,
    pub(crate) status: StatusObject,
}

/// The wishes of a pool, as they are told and as they lie in a cluster.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SpecObject {
    #[serde(serialize_with = "in_order")]
    pub(crate) gpus: Vec<(Arc<str>, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bundle: Option<Arc<str>>,
    pub(crate) minimum_worker_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl_seconds: Option<u64>,
}

/// How a pool is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StatusObject {
    pub(crate) state: State,
    pub(crate) assigned_workers: Vec<Member>,
    /// Seconds since 1970.
    pub(crate) created_at: f64,
    pub(crate) last_renewed: f64,
    /// What is left of its life unless it is renewed; the default pool does not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_in_s: Option<f64>,
}

/// The pools as `/v1/pools` tells them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PoolList {
    pub(crate) pools: Vec<PoolSummary>,
}

/// A pool in the list.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PoolSummary {
    pub(crate) name: Arc<str>,
    pub(crate) state: State,
    #[serde(serialize_with = "in_order")]
    pub(crate) gpus: Vec<(Arc<str>, u32)>,
    pub(crate) worker_count: usize,
}

impl PoolObject {
    pub(super) fn new(pool: &Pool, lease: Duration, now: Duration) -> Self {
        let left = pool.expires_at(lease).saturating_sub(now);
        Self {
            name: Arc::clone(&pool.name),
            spec: SpecObject::new(pool),
            status: StatusObject {
                state: pool.state_at(lease, now),
                expires_in_s: Some(seconds(left)),
                ..StatusObject::kept(pool)
            },
        }
    }
}

impl SpecObject {
    pub(super) fn new(pool: &Pool) -> Self {
        Self {
            gpus: pool.spec.gpus.clone(),
            bundle: pool.spec.bundle.clone(),
            minimum_worker_count: pool.spec.minimum,
            ttl_seconds: pool.spec.ttl.map(|ttl| ttl.as_secs()),
        }
    }
}

impl StatusObject {
    /// The part that is kept in a cluster.
    pub(super) fn kept(pool: &Pool) -> Self {
        Self {
            state: pool.state,
            assigned_workers: pool.members.clone(),
            created_at: seconds(pool.created_at),
            last_renewed: seconds(pool.last_renewed),
            expires_in_s: None,
        }
    }
}

impl From<&PoolObject> for PoolSummary {
    fn from(pool: &PoolObject) -> Self {
        Self {
            name: Arc::clone(&pool.name),
            state: pool.status.state,
            gpus: pool.spec.gpus.clone(),
            worker_count: pool.status.assigned_workers.len(),
        }
    }
}

/// In milliseconds: finer says nothing.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

fn in_order<S: Serializer>(gpus: &[(Arc<str>, u32)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(gpus.len()))?;
    for (profile, count) in gpus {
        map.serialize_entry(profile, count)?;
    }
    map.end()
}
