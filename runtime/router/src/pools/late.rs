//! Pools that another replica has made and that have not come here yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Membership, Pools};

/// How long a name that the cluster did not know is not asked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// How many such names are remembered; beyond them nobody asks until they are forgotten.
const MAX_NAMES: usize = 256;

/// Names that the cluster was asked for a moment ago.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<HashMap<Arc<str>, Instant>>);

impl Asked {
    /// Whether the cluster may be asked for that name now; counts as asking.
    fn may(&self, name: &str, now: Instant) -> bool {
        let mut asked = self.0.lock();
        asked.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        if asked.len() >= MAX_NAMES || asked.contains_key(name) {
            return false;
        }
        asked.insert(Arc::from(name), now);
        true
    }
}

impl Pools {
    /// As [`Pools::membership`]. Of a pool that is not known here the cluster is asked, since a
    /// client may have made it a moment ago through another replica.
    pub(crate) async fn membership_by_now(&self, pool: Option<&str>) -> Membership {
        let known = self.membership(pool);
        let (Membership::Unknown, Some(name), Some(_)) = (&known, pool, &self.cluster) else {
            return known;
        };
        if !self.asked.may(name, Instant::now()) {
            return known;
        }
        // Without an answer it stays unknown.
        let _ = self.get(name).await;
        self.membership(pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_for_a_name_again_and_again() {
        let asked = Asked::default();
        let now = Instant::now();
        assert!(asked.may("a", now));
        assert!(!asked.may("a", now + AGAIN / 2));
        assert!(asked.may("a", now + AGAIN));
        for number in 1..MAX_NAMES {
            assert!(asked.may(&number.to_string(), now + AGAIN));
        }
        assert!(!asked.may("another", now + AGAIN));
        assert!(asked.may("another", now + AGAIN + AGAIN));
    }
}
