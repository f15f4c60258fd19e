//! Which machines requests wait for: a table without a clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Machines that nobody asked for this long are not missing.
pub(crate) const FORGOTTEN: Duration = Duration::from_secs(120);
/// Different wants at a time; further ones are not counted.
const MAX_WANTS: usize = 4096;

/// A kind of machine that a pool's requests wait for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) profile: Arc<str>,
    pub(crate) bundle: Arc<str>,
    pub(crate) pool: Arc<str>,
}

/// What is missing, and when it was last asked for.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    wants: BTreeMap<Wanted, Duration>,
}

impl Demand {
    /// A request was turned away because nobody could serve it. Says whether it is counted.
    pub(crate) fn record(&mut self, wanted: Wanted, now: Duration) -> bool {
        if let Some(last) = self.wants.get_mut(&wanted) {
            *last = now;
            return true;
        }
        if self.wants.len() >= MAX_WANTS {
            return false;
        }
        self.wants.insert(wanted, now);
        true
    }

    /// Forgets what somebody serves now and what nobody asked for in a while.
    pub(crate) fn sweep(&mut self, now: Duration, served: impl Fn(&Wanted) -> bool) {
        self.wants
            .retain(|wanted, last| now.saturating_sub(*last) < FORGOTTEN && !served(wanted));
    }

    /// In how many pools machines of a profile and bundle are missing.
    pub(crate) fn pending(&self) -> BTreeMap<(Arc<str>, Arc<str>), i64> {
        let mut pending = BTreeMap::new();
        for wanted in self.wants.keys() {
            let key = (Arc::clone(&wanted.profile), Arc::clone(&wanted.bundle));
            *pending.entry(key).or_insert(0) += 1;
        }
        pending
    }
}
