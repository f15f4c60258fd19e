//! Pools as objects of a cluster: a ConfigMap with the wishes and the state as JSON, in the format
//! that SIE's router wrote, and a Lease that says when the pool was last renewed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use serde::Deserialize;
use serde_json::Value;

use super::super::DEFAULT;
use super::super::object::{SpecObject, StatusObject};
use super::super::spec::{PoolError, Rules, Spec, check_name};
use super::super::table::{Member, Pool, State};

/// The label of everything that belongs to pools.
pub(crate) const LABEL: &str = "sie.superlinked.com/type";
pub(crate) const LABEL_VALUE: &str = "pool";
const PREFIX: &str = "sie-pool-";

/// Which version of its object a pool was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) version: String,
    pub(crate) uid: Option<String>,
}

impl Stamp {
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        Self {
            version: meta.resource_version.clone().unwrap_or_default(),
            uid: meta.uid.clone(),
        }
    }

    /// Whether this is surely an earlier version than another: versions of one kind of objects are
    /// numbers that grow.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        let number = |stamp: &Self| stamp.version.parse::<u64>().ok();
        matches!((number(self), number(other)), (Some(a), Some(b)) if a < b)
    }
}

/// The name of the objects of a pool.
pub(crate) fn object_name(pool: &str) -> String {
    format!("{PREFIX}{pool}")
}

/// The pool that an object belongs to; none for names that are no pool's, and for the default
/// pool, which SIE's router kept as an object too.
pub(crate) fn pool_name<K: Resource>(object: &K) -> Option<Arc<str>> {
    let name = object.meta().name.as_deref()?.strip_prefix(PREFIX)?;
    (name != DEFAULT && check_name(name).is_ok()).then(|| name.into())
}

pub(crate) fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([(LABEL.to_owned(), LABEL_VALUE.to_owned())])
}

/// The state as far as it is believed: what somebody edited by hand breaks nothing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct KeptStatus {
    state: Option<State>,
    assigned_workers: Vec<Member>,
    created_at: Option<f64>,
    last_renewed: Option<f64>,
}

/// The pool that a ConfigMap describes, or what is wrong with it.
pub(crate) fn read(map: &ConfigMap, lease: Duration) -> Result<(Pool, Stamp), String> {
    let name = pool_name(map).ok_or("its name is no pool's")?;
    let data = map.data.as_ref().ok_or("it has no data")?;
    let spec = data.get("spec").ok_or("it has no key `spec`")?;
    let spec: Value = serde_json::from_str(spec).map_err(|why| format!("`spec`: {why}"))?;
    let spec = spec.as_object().ok_or("`spec` is no object")?;
    // Kept pools live on when the profiles that may be asked for change.
    let rules = Rules {
        max_pools: 0,
        lease,
        profiles: Vec::new(),
        default_profile: None,
    };
    let spec = rules.spec(spec).map_err(|error: PoolError| error.message)?;
    let status = data.get("status").map(|text| serde_json::from_str(text));
    let status: KeptStatus = match status {
        None => KeptStatus::default(),
        Some(status) => status.map_err(|why| format!("`status`: {why}"))?,
    };
    let made = map.metadata.creation_timestamp.as_ref();
    let made = made.map_or(Duration::ZERO, |time| since_1970(time.0));
    let created_at = status.created_at.and_then(duration).unwrap_or(made);
    let last_renewed = status.last_renewed.and_then(duration).unwrap_or(created_at);
    let pool = Pool {
        name,
        spec,
        state: status.state.unwrap_or(State::Pending),
        members: status.assigned_workers,
        created_at,
        last_renewed: last_renewed.max(created_at),
    };
    Ok((pool, Stamp::of(&map.metadata)))
}

/// A new pool's ConfigMap.
pub(crate) fn config_map(pool: &Pool) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(object_name(&pool.name)),
            labels: Some(labels()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([
            ("spec".to_owned(), spec_text(pool)),
            ("status".to_owned(), status_text(pool)),
        ])),
        ..ConfigMap::default()
    }
}

/// The wishes as they are kept.
pub(crate) fn spec_text(pool: &Pool) -> String {
    // Strings and numbers alone: it cannot fail.
    serde_json::to_string(&SpecObject::new(pool)).unwrap_or_default()
}

/// The state as it is kept.
pub(crate) fn status_text(pool: &Pool) -> String {
    serde_json::to_string(&StatusObject::kept(pool)).unwrap_or_default()
}

/// The Lease of a pool that is renewed now.
pub(crate) fn lease(name: &str, spec: &Spec, default: Duration, now: Duration) -> Lease {
    let seconds = spec.ttl.unwrap_or(default).as_secs();
    Lease {
        metadata: ObjectMeta {
            name: Some(object_name(name)),
            labels: Some(labels()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name.to_owned()),
            lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            renew_time: Some(micro_time(now)),
            ..LeaseSpec::default()
        }),
    }
}

/// When a Lease was renewed.
pub(crate) fn renewed_at(lease: &Lease) -> Option<Duration> {
    let time = lease.spec.as_ref()?.renew_time.as_ref()?;
    Some(since_1970(time.0))
}

/// When a Lease ends, if it is not renewed.
pub(crate) fn ends_at(lease: &Lease, default: Duration) -> Option<Duration> {
    let lasts = lease.spec.as_ref()?.lease_duration_seconds;
    let lasts = lasts.and_then(|seconds| u64::try_from(seconds).ok());
    Some(renewed_at(lease)?.saturating_add(lasts.map_or(default, Duration::from_secs)))
}

pub(crate) fn micro_time(time: Duration) -> MicroTime {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    MicroTime(Timestamp::from_microsecond(micros).unwrap_or_default())
}

fn since_1970(time: Timestamp) -> Duration {
    let micros = u64::try_from(time.as_microsecond()).unwrap_or(0);
    Duration::from_micros(micros)
}

/// Seconds that somebody wrote; the far future would never expire and is not believed.
fn duration(seconds: f64) -> Option<Duration> {
    const FAR: f64 = 1e11;
    (0.0..FAR)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}
