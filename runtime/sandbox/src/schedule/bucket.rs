//! A token bucket: so much per second, with one second's worth in reserve.

use std::time::{Duration, Instant};

const NANOS: i128 = 1_000_000_000;

/// A level that time raises to one second's worth and use lowers, below zero too.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Units that come back per second.
    rate: u64,
    /// Units times nanoseconds of a second, so that no fraction is lost at low rates.
    level: i128,
    at: Instant,
}

impl Bucket {
    /// A full bucket of `rate` units per second. With a rate of 0 it never has anything.
    pub(super) fn new(rate: u64, now: Instant) -> Self {
        Self {
            rate,
            level: i128::from(rate) * NANOS,
            at: now,
        }
    }

    /// Takes `units`, whether they are there or not.
    pub(super) fn charge(&mut self, units: u64, now: Instant) {
        self.fill(now);
        self.level -= i128::from(units) * NANOS;
    }

    /// Takes `units` if all of them are there.
    pub(super) fn take(&mut self, units: u64, now: Instant) -> bool {
        self.fill(now);
        let wanted = i128::from(units) * NANOS;
        let there = self.level >= wanted;
        if there {
            self.level -= wanted;
        }
        there
    }

    /// `None` when something is there; else when `enough` units (or a full bucket, if that is
    /// less) will be.
    pub(super) fn empty_until(&mut self, enough: u64, now: Instant) -> Option<Instant> {
        self.fill(now);
        if self.level > 0 {
            return None;
        }
        let missing = i128::from(enough.min(self.rate).max(1)) * NANOS - self.level;
        // A bucket that never fills is looked at again, since its owner may have been cancelled.
        let wait = match i128::from(self.rate) {
            0 => Duration::from_secs(3600),
            rate => Duration::from_nanos(u64::try_from(missing.div_euclid(rate) + 1).unwrap_or(0)),
        };
        Some(now + wait.min(Duration::from_secs(3600)))
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_nanos();
        self.at = self.at.max(now);
        // A second fills it from empty; whoever is deeper in debt needs the whole product.
        let elapsed = i128::try_from(elapsed).unwrap_or(i128::MAX / (1 << 70));
        let gained = i128::from(self.rate).saturating_mul(elapsed);
        let full = i128::from(self.rate) * NANOS;
        self.level = self.level.saturating_add(gained).min(full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_second_is_in_reserve_and_no_more() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        let later = start + Duration::from_secs(100);
        assert!(!bucket.take(11, later));
        assert!(bucket.take(10, later));
        assert!(!bucket.take(1, later));
        assert!(!bucket.take(1, later + 99 * MS));
        assert!(bucket.take(1, later + 100 * MS));
    }

    #[test]
    fn low_rates_lose_nothing_to_frequent_looks() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1, start);
        assert!(bucket.take(1, start));
        for us in 1..1_000_000 {
            let now = start + Duration::from_micros(us);
            if us % 997 == 0 {
                assert!(!bucket.take(1, now), "{us}");
            }
        }
        assert!(bucket.take(1, start + Duration::from_secs(1)));
    }

    #[test]
    fn debt_is_waited_for() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1_000, start);
        assert_eq!(bucket.empty_until(1, start), None);
        bucket.charge(3_000, start);
        let until = bucket.empty_until(10, start).unwrap();
        let wait = until - start;
        assert!((2_010 * MS..2_011 * MS).contains(&wait), "{wait:?}");
        assert!(bucket.empty_until(10, until).is_none());
    }

    #[test]
    fn nothing_per_second_is_nothing() {
        let start = Instant::now();
        let mut bucket = Bucket::new(0, start);
        assert!(!bucket.take(1, start + Duration::from_secs(1)));
        assert!(bucket.empty_until(1, start).unwrap() > start);
    }
}
