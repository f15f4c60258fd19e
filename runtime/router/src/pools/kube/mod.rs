//! Pools that lie in a cluster, where all replicas of the router see the same.
//!
//! What is asked for (ConfigMap, key `spec`) may be written by any replica, which compares versions
//! and swaps; when a pool was renewed (Lease) too. Who holds which worker (key `status`) is written
//! by one replica alone, the `leader`. All follow the objects by watching them and answer requests
//! from what they saw last: nothing on a request's way asks the cluster.

mod assign;
mod leader;
mod objects;
mod run;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::Semaphore;

use super::spec::{PoolError, Rules, Spec};
use super::table::Pool;
use leader::{Leader, conflict};
pub(super) use objects::Stamp;
use objects::{config_map, labels, object_name, read};

/// Attempts at writing an object that others write at the same time.
const ATTEMPTS: usize = 10;
/// Calls of the cluster that requests cause at once.
const AT_ONCE: usize = 16;

/// How patient a replica is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Without a word from the replica that assigns workers, another takes over.
    pub(crate) lease: Duration,
    /// How often the Lease is renewed or looked at.
    pub(crate) retry: Duration,
    /// How long one call of the cluster may take.
    pub(crate) call: Duration,
    /// How long after its start a replica lets go of no worker that it has not reached.
    pub(crate) settle: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            retry: Duration::from_secs(3),
            call: Duration::from_secs(5),
            settle: Duration::from_secs(10),
        }
    }
}

/// The objects of pools in one namespace.
pub(crate) struct Cluster {
    maps: Api<ConfigMap>,
    leases: Api<Lease>,
    leader: Leader,
    timing: Timing,
    lease: Duration,
    /// Calls that requests cause at once; they wait for one another, not the cluster for them.
    at_once: Semaphore,
}

/// What became of a write that gave the version it was made from.
pub(super) enum Written {
    Done(Pool, Stamp),
    /// Somebody else wrote in between, or it is gone: the watch will tell.
    Lost,
}

impl Cluster {
    /// Pools in a namespace; `identity` is what a replica is called in the Lease of the one that
    /// assigns, like the name of its pod.
    pub(crate) fn new(
        client: &Client,
        namespace: &str,
        identity: String,
        rules: &Rules,
        timing: Timing,
    ) -> Self {
        let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
        Self {
            maps: Api::namespaced(client.clone(), namespace),
            leader: Leader::new(leases.clone(), identity, timing),
            leases,
            timing,
            lease: rules.lease,
            at_once: Semaphore::new(AT_ONCE),
        }
    }

    /// Makes a pool's object, or lets the one that is there ask for what is asked now.
    pub(super) async fn create(
        &self,
        name: &Arc<str>,
        spec: &Spec,
        now: Duration,
    ) -> Result<(Pool, Stamp), PoolError> {
        const WHAT: &str = "writing the pool to the cluster";
        let fresh = Pool::new(Arc::clone(name), spec.clone(), now);
        let object = object_name(name);
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                pause().await;
            }
            let put = PostParams::default();
            let made = self.call(self.maps.create(&put, &config_map(&fresh))).await;
            let there = match made {
                Ok(map) => return self.kept(&map, WHAT),
                Err(Failed::Api(error)) if conflict(&error) => {
                    self.call(self.maps.get_opt(&object)).await
                }
                Err(failed) => return Err(failed.told(WHAT)),
            };
            let Some(there) = there.map_err(|failed| failed.told(WHAT))? else {
                continue;
            };
            let ours = there.metadata.labels.as_ref();
            if ours
                .and_then(|all| all.get(objects::LABEL))
                .map(String::as_str)
                != Some(objects::LABEL_VALUE)
            {
                return Err(PoolError::unavailable(
                    WHAT,
                    &format!("the ConfigMap `{object}` is there and belongs to something else"),
                ));
            }
            if let Ok((pool, stamp)) = read(&there, self.lease)
                && pool.spec == *spec
            {
                return Ok((pool, stamp));
            }
            let change = json!({
                "metadata": { "resourceVersion": there.metadata.resource_version },
                "data": { "spec": objects::spec_text(&fresh) },
            });
            match self.patch(&object, change).await {
                Ok(map) => return self.kept(&map, WHAT),
                Err(failed) if failed.is(409) || failed.is(404) => {}
                Err(failed) => return Err(failed.told(WHAT)),
            }
        }
        Err(PoolError::taken(name))
    }

    /// Writes down that a pool was renewed. Two that do so at once both mean now.
    pub(super) async fn renew(
        &self,
        name: &str,
        spec: &Spec,
        now: Duration,
    ) -> Result<(), PoolError> {
        const WHAT: &str = "renewing the pool in the cluster";
        let lease = objects::lease(name, spec, self.lease, now);
        let object = object_name(name);
        let (with, patch) = (PatchParams::default(), Patch::Merge(&lease));
        for _ in 0..ATTEMPTS {
            let patched = self.leases.patch(&object, &with, &patch);
            match self.call(patched).await {
                Ok(_) => return Ok(()),
                Err(failed) if failed.is(404) => {}
                Err(failed) if failed.is(409) => {
                    pause().await;
                    continue;
                }
                Err(failed) => return Err(failed.told(WHAT)),
            }
            let put = PostParams::default();
            match self.call(self.leases.create(&put, &lease)).await {
                Ok(_) => return Ok(()),
                Err(failed) if failed.is(409) => pause().await,
                Err(failed) => return Err(failed.told(WHAT)),
            }
        }
        Err(PoolError::taken(name))
    }

    /// The pool as it lies in the cluster.
    pub(super) async fn find(&self, name: &str) -> Result<Option<(Pool, Stamp)>, PoolError> {
        const WHAT: &str = "looking for the pool in the cluster";
        let object = object_name(name);
        let map = self.call(self.maps.get_opt(&object)).await;
        match map.map_err(|failed| failed.told(WHAT))? {
            Some(map) => Ok(read(&map, self.lease).ok()),
            None => Ok(None),
        }
    }

    /// Removes a pool's objects; says whether it was there.
    pub(super) async fn delete(&self, name: &str) -> Result<bool, PoolError> {
        const WHAT: &str = "deleting the pool in the cluster";
        let object = object_name(name);
        let with = DeleteParams::default();
        let was_there = match self.call(self.maps.delete(&object, &with)).await {
            Ok(_) => true,
            Err(failed) if failed.is(404) => false,
            Err(failed) => return Err(failed.told(WHAT)),
        };
        // A Lease without a pool is swept by whoever assigns.
        let _ = self.call(self.leases.delete(&object, &with)).await;
        Ok(was_there)
    }

    /// Removes a pool that nobody renewed, unless somebody does just now.
    async fn collect(&self, name: &str, stamp: &Stamp, now: Duration) -> Collected {
        match self.collect_lease(name, now).await {
            Collected::Gone => {}
            other => return other,
        }
        let (object, with) = (object_name(name), unchanged(stamp));
        match self.own_call(self.maps.delete(&object, &with)).await {
            Ok(_) => Collected::Gone,
            Err(failed) if failed.is(404) => Collected::Gone,
            Err(failed) => failed.log("deleting a pool"),
        }
    }

    /// Removes a Lease that is over. Whoever renews it in between keeps it.
    async fn collect_lease(&self, name: &str, now: Duration) -> Collected {
        let object = object_name(name);
        let lease = match self.own_call(self.leases.get_opt(&object)).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return Collected::Gone,
            Err(failed) => return failed.log("looking at a lease"),
        };
        if objects::ends_at(&lease, self.lease).is_some_and(|end| end > now) {
            return Collected::Renewed(Box::new(lease));
        }
        let with = unchanged(&Stamp::of(&lease.metadata));
        match self.own_call(self.leases.delete(&object, &with)).await {
            Ok(_) => Collected::Gone,
            Err(failed) if failed.is(404) => Collected::Gone,
            Err(failed) => failed.log("deleting a lease"),
        }
    }

    /// Writes who holds which worker, if nobody wrote the object since it was read.
    async fn write_status(&self, pool: &Pool, stamp: &Stamp) -> Result<Written, PoolError> {
        const WHAT: &str = "writing who holds which worker";
        let change = json!({
            "metadata": { "resourceVersion": stamp.version, "labels": labels() },
            "data": { "status": objects::status_text(pool) },
        });
        match self.patch(&object_name(&pool.name), change).await {
            Ok(map) => self
                .kept(&map, WHAT)
                .map(|(pool, stamp)| Written::Done(pool, stamp)),
            Err(failed) if failed.is(409) || failed.is(404) => Ok(Written::Lost),
            Err(failed) => Err(failed.told(WHAT)),
        }
    }

    async fn patch(&self, object: &str, change: serde_json::Value) -> Result<ConfigMap, Failed> {
        let patch = Patch::Merge(change);
        self.call(self.maps.patch(object, &PatchParams::default(), &patch))
            .await
    }

    fn kept(&self, map: &ConfigMap, what: &str) -> Result<(Pool, Stamp), PoolError> {
        read(map, self.lease).map_err(|why| PoolError::unavailable(what, &why))
    }

    /// A call that a request caused.
    async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Failed> {
        let in_turn = async {
            // It is never closed.
            let _turn = self.at_once.acquire().await;
            call.await
        };
        self.own_call(in_turn).await
    }

    async fn own_call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Failed> {
        match tokio::time::timeout(self.timing.call, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failed::Api(error)),
            Err(_) => Err(Failed::Slow(self.timing.call)),
        }
    }
}

/// What became of something that was over.
enum Collected {
    Gone,
    /// It is not over after all.
    Renewed(Box<Lease>),
    Failed,
}

enum Failed {
    Api(kube::Error),
    Slow(Duration),
}

impl Failed {
    fn is(&self, code: u16) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.code == code)
    }

    fn why(&self) -> String {
        match self {
            Self::Api(kube::Error::Api(status)) => {
                format!("the cluster answers {}: {}", status.code, status.message)
            }
            Self::Api(error) => format!("the cluster cannot be asked: {error}"),
            Self::Slow(limit) => format!("the cluster did not answer within {} s", limit.as_secs()),
        }
    }

    fn told(&self, what: &str) -> PoolError {
        tracing::warn!("{what} failed: {}", self.why());
        PoolError::unavailable(what, &self.why())
    }

    fn log(&self, what: &str) -> Collected {
        if !self.is(409) {
            tracing::warn!("{what} failed: {}", self.why());
        }
        Collected::Failed
    }
}

fn unchanged(stamp: &Stamp) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            resource_version: Some(stamp.version.clone()),
            uid: stamp.uid.clone(),
        }),
        ..DeleteParams::default()
    }
}

/// So that two that collided do not do so again.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(20..150))).await;
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
