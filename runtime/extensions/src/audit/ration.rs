//! How much of the audit one tenant may fill with refusals: who is refused a thousand times a second
//! must not push out what others did.

use std::time::{Duration, Instant};

/// How many refusals of a tenant are told in one [`WINDOW`].
const MOST: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);

/// One tenant's refusals.
#[derive(Debug, Default)]
pub(crate) struct Ration {
    since: Option<Instant>,
    told: u32,
    skipped: u64,
}

impl Ration {
    /// Asks to tell a refusal. Answers how many were not told before it; `None`: nor is this one.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u64> {
        let is_over = |since| now.saturating_duration_since(since) >= WINDOW;
        if self.since.is_none_or(is_over) {
            self.since = Some(now);
            self.told = 1;
            return Some(std::mem::take(&mut self.skipped));
        }
        if self.told < MOST {
            self.told = self.told.saturating_add(1);
            return Some(0);
        }
        self.skipped = self.skipped.saturating_add(1);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_by_its_number() {
        let mut ration = Ration::default();
        let start = Instant::now();
        let told = (0..1000).filter(|_| ration.take(start).is_some()).count();
        assert_eq!(told, 60);
        let later = start + WINDOW;
        assert_eq!(ration.take(later), Some(940));
        assert_eq!(ration.take(later), Some(0));
    }
}
