//! What workers had that have left.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Facts;

/// How long a worker is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// So many workers are remembered.
const MAX_REMEMBERED: usize = 256;

/// The last words of workers that have left: one that is made anew has another address, and until it
/// is there nobody may know of its models.
#[derive(Debug, Default)]
pub(super) struct Gone(VecDeque<(Instant, Arc<Facts>)>);

impl Gone {
    /// A worker left that had said this.
    pub(super) fn add(&mut self, facts: Arc<Facts>, now: Instant) {
        self.forget(now);
        if facts.models.is_empty() {
            return;
        }
        if self.0.len() >= MAX_REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((now, facts));
    }

    /// Whether one that left had a model (by lower-case name), of that kind of machine and bundle if
    /// they are told.
    pub(super) fn had(
        &mut self,
        model: &str,
        profile: Option<&str>,
        bundle: Option<&str>,
        now: Instant,
    ) -> bool {
        self.forget(now);
        let same =
            |asked: Option<&str>, is: &str| asked.is_none_or(|it| it.eq_ignore_ascii_case(is));
        self.0.iter().any(|(_, facts)| {
            facts.models.contains_key(model)
                && same(profile, &facts.profile)
                && same(bundle, &facts.bundle)
        })
    }

    fn forget(&mut self, now: Instant) {
        let old = |left: &Instant| now.saturating_duration_since(*left) >= REMEMBERED;
        while self.0.front().is_some_and(|(left, _)| old(left)) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::ModelState::Loaded;
    use crate::worker::tests::ready;

    #[test]
    fn models_are_remembered_for_a_while_and_of_so_many_workers() {
        let (start, mut gone) = (Instant::now(), Gone::default());
        gone.add(Arc::new(ready(&[("Org/M", Loaded)])), start);
        let soon = start + REMEMBERED / 2;
        assert!(gone.had("org/m", None, None, soon));
        assert!(gone.had("org/m", Some("L4"), Some("Default"), soon));
        for (model, profile, bundle) in [
            ("other", None, None),
            ("org/m", Some("a100"), None),
            ("org/m", None, Some("audio")),
        ] {
            assert!(
                !gone.had(model, profile, bundle, soon),
                "{model} {profile:?} {bundle:?}"
            );
        }
        for _ in 0..MAX_REMEMBERED - 1 {
            gone.add(Arc::new(ready(&[("n", Loaded)])), soon);
        }
        assert!(gone.had("org/m", None, None, soon));
        gone.add(Arc::new(ready(&[("n", Loaded)])), soon);
        assert!(!gone.had("org/m", None, None, soon) && gone.had("n", None, None, soon));
        assert!(!gone.had("n", None, None, soon + REMEMBERED));
    }
}
