//! Following objects of a cluster: each change as it comes, whatever happens to the connection.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

/// The server ends a watch after this, and a silent one is given up soon after.
const WATCH_SECONDS: u32 = 60;
/// After so long without trouble, the next is a first one again.
const CALM: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// What happened to the objects that are followed.
pub(crate) enum Change<K> {
    /// These are all; whatever else there was is gone.
    All(Vec<K>),
    Put(K),
    Gone(K),
}

/// What ended following.
pub(crate) struct Forbidden;

/// Follows objects for as long as it is polled. The first failure after a while is tried again at
/// once, further ones after 1 s and then twice as long each time up to 30 s.
pub(crate) async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    what: &str,
    mut apply: impl FnMut(Change<K>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    loop {
        // It only ends if that is asked for.
        let _ = follow_unless(&api, &config, what, &mut apply, |_| false).await;
    }
}

/// Follows objects until a failure that is asked about is one to end at.
pub(crate) async fn follow_unless<K>(
    api: &Api<K>,
    config: &watcher::Config,
    what: &str,
    apply: &mut impl FnMut(Change<K>),
    mut ends: impl FnMut(&watcher::Error) -> bool,
) -> Forbidden
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = config.clone().timeout(WATCH_SECONDS);
    let mut pace = Pace::default();
    loop {
        let mut events = std::pin::pin!(watcher::watcher(api.clone(), config.clone()));
        let mut listed = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => listed.push(object),
                Ok(Event::InitDone) => {
                    pace.well(what);
                    apply(Change::All(std::mem::take(&mut listed)));
                }
                Ok(Event::Apply(object)) => apply(Change::Put(object)),
                Ok(Event::Delete(object)) => apply(Change::Gone(object)),
                Err(error) => {
                    if ends(&error) {
                        return Forbidden;
                    }
                    tokio::time::sleep(pace.trouble(what, &error)).await;
                }
            }
        }
    }
}

/// Whether the cluster forbids what was asked.
pub(crate) fn is_forbidden(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code == 403,
        _ => false,
    }
}

/// How long to wait after failures.
#[derive(Default)]
pub(crate) struct Pace {
    failures: u32,
    last: Option<Instant>,
    told: bool,
}

impl Pace {
    fn well(&mut self, what: &str) {
        if std::mem::take(&mut self.told) {
            tracing::info!("the cluster tells of {what} again");
        }
    }

    fn trouble(&mut self, what: &str, error: &watcher::Error) -> Duration {
        let wait = self.next(Instant::now());
        match self.failures {
            // A watch that broke or has expired is nothing unusual.
            1 => tracing::debug!(%error, "watching {what} goes on anew"),
            _ => {
                self.told = true;
                tracing::warn!(%error, "{what} cannot be watched; trying again in {:.1} s", wait.as_secs_f64());
            }
        }
        wait
    }

    /// The first wait is a moment, so that many routers do not come back at once; the others double.
    pub(crate) fn next(&mut self, now: Instant) -> Duration {
        if self
            .last
            .is_some_and(|last| now.duration_since(last) > CALM)
        {
            self.failures = 0;
        }
        self.last = Some(now);
        self.failures = self.failures.saturating_add(1);
        let jitter = fastrand::f64();
        match self.failures {
            1 => Duration::from_millis(200).mul_f64(jitter),
            failures => {
                let doubled = SHORTEST.saturating_mul(1 << (failures - 2).min(10));
                doubled.min(LONGEST).mul_f64(0.75 + 0.25 * jitter)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew_after_a_calm() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..50 {
            waits.push(pace.next(start));
        }
        assert!(waits[0] <= Duration::from_millis(200));
        assert!(waits[1] >= Duration::from_millis(750) && waits[1] <= SHORTEST);
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        assert!(*waits.last().unwrap() >= LONGEST.mul_f64(0.75));
        let later = start + CALM + Duration::from_secs(1);
        assert!(pace.next(later) <= Duration::from_millis(200));
    }
}
