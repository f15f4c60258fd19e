//! Which replica assigns workers: the one that holds a Lease.
//!
//! One writer is simpler than many that agree: replicas see the health of workers through their own
//! connections, so what each of them would assign differs, and they would undo each other's work.
//! When the writer is cut off, pools keep what they have for some seconds until another takes over.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::objects::micro_time;
use super::{Timing, now};

/// The Lease that the replica holds that assigns workers.
pub(crate) const NAME: &str = "sie-router-pools";

/// Whether this replica is the one, and the effort to be it.
pub(crate) struct Leader {
    api: Api<Lease>,
    identity: String,
    timing: Timing,
    state: Mutex<Held>,
    /// Told when this replica begins to lead.
    pub(super) begun: Notify,
}

#[derive(Default)]
struct Held {
    /// Until when this replica leads for certain.
    until: Option<Instant>,
    /// What the Lease said, and since when it says so: its age is measured here, since clocks
    /// differ.
    seen: Option<(String, Instant)>,
}

impl Leader {
    /// A random part is added to the identity: two that were given the same name are two.
    pub(super) fn new(api: Api<Lease>, identity: String, timing: Timing) -> Self {
        Self {
            api,
            identity: identity + &format!("_{:08x}", fastrand::u32(..)),
            timing,
            state: Mutex::new(Held::default()),
            begun: Notify::new(),
        }
    }

    /// Whether this replica may write assignments now.
    pub(crate) fn leads(&self) -> bool {
        let until = self.state.lock().until;
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Tries to be the one, and to stay it, for as long as it is polled.
    pub(super) async fn run(&self) {
        let mut told = false;
        loop {
            let led = self.leads();
            let tried = tokio::time::timeout(self.timing.call, self.attempt()).await;
            let trouble = match tried {
                Ok(Ok(())) => None,
                Ok(Err(error)) if conflict(&error) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the cluster does not answer".to_owned()),
            };
            if let Some(why) = &trouble
                && !told
            {
                tracing::warn!("the lease {NAME} cannot be taken or renewed: {why}");
            }
            told = trouble.is_some();
            if self.leads() && !led {
                tracing::info!("this replica assigns workers to pools from now on");
                self.begun.notify_one();
            }
            let jitter = 0.8 + 0.4 * fastrand::f64();
            tokio::time::sleep(self.timing.retry.mul_f64(jitter)).await;
        }
    }

    async fn attempt(&self) -> kube::Result<()> {
        let asked = Instant::now();
        let Some(lease) = self.api.get_opt(NAME).await? else {
            let mut lease = Lease {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: None,
            };
            self.write_into(&mut lease, 0);
            self.api.create(&PostParams::default(), &lease).await?;
            self.lead_from(asked);
            return Ok(());
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let mine = holder == self.identity;
        if !mine && !holder.is_empty() && !self.is_stale(&spec, &lease.metadata) {
            return Ok(());
        }
        let transitions = spec.lease_transitions.unwrap_or(0);
        let mut lease = lease;
        // With the version that was read: of two that take it, one gets it.
        self.write_into(&mut lease, transitions.saturating_add(i32::from(!mine)));
        let put = PostParams::default();
        self.api.replace(NAME, &put, &lease).await?;
        self.lead_from(asked);
        Ok(())
    }

    fn write_into(&self, lease: &mut Lease, transitions: i32) {
        let time: MicroTime = micro_time(now());
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.acquire_time = Some(time.clone());
        }
        let seconds = self.timing.lease.as_secs().max(1);
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(i32::try_from(seconds).unwrap_or(i32::MAX));
        spec.lease_transitions = Some(transitions);
        spec.renew_time = Some(time);
    }

    /// Whether nothing was heard from the holder for as long as it said it would hold.
    fn is_stale(&self, spec: &LeaseSpec, meta: &ObjectMeta) -> bool {
        let version = meta.resource_version.clone().unwrap_or_default();
        let told = spec
            .lease_duration_seconds
            .and_then(|s| u64::try_from(s).ok());
        // Nobody holds it for ever by saying so.
        let lasts = told
            .map_or(self.timing.lease, Duration::from_secs)
            .clamp(self.timing.lease, self.timing.lease * 4);
        let mut state = self.state.lock();
        state.until = None;
        match &state.seen {
            Some((seen, since)) if *seen == version => since.elapsed() >= lasts,
            _ => {
                state.seen = Some((version, Instant::now()));
                false
            }
        }
    }

    /// From before the Lease was written, so that it ends here before it ends for others.
    fn lead_from(&self, asked: Instant) {
        let certain = self.timing.lease.mul_f64(0.8);
        self.state.lock().until = Some(asked + certain);
    }

    /// Lets another replica lead at once instead of after the Lease has run out.
    pub(super) async fn resign(&self) {
        if !self.leads() {
            return;
        }
        self.state.lock().until = None;
        let given_up = async {
            let mut lease = self.api.get(NAME).await?;
            if let Some(spec) = lease.spec.as_mut()
                && spec.holder_identity.as_deref() == Some(&self.identity)
            {
                spec.holder_identity = Some(String::new());
                self.api
                    .replace(NAME, &PostParams::default(), &lease)
                    .await?;
            }
            Ok::<(), kube::Error>(())
        };
        // If it fails, the Lease runs out.
        let _ = tokio::time::timeout(self.timing.call, given_up).await;
    }
}

pub(super) fn conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}
