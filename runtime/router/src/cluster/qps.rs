//! How many requests a second go through.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The rate is measured over at least this long.
const WINDOW: Duration = Duration::from_secs(1);

/// Counts requests and says how many there are in a second.
#[derive(Debug)]
pub(crate) struct Qps {
    count: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    at: Instant,
    count: u64,
    rate: f64,
}

impl Default for Qps {
    fn default() -> Self {
        Self::new(Instant::now())
    }
}

impl Qps {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            count: AtomicU64::default(),
            last: Mutex::new(Last {
                at: now,
                count: 0,
                rate: 0.0,
            }),
        }
    }

    /// One more request that a worker gets.
    pub(crate) fn count(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests per second since it was last worked out, at most once a second.
    pub(crate) fn rate(&self, now: Instant) -> f64 {
        let mut last = self.last.lock();
        let passed = now.saturating_duration_since(last.at);
        if passed >= WINDOW {
            let count = self.count.load(Ordering::Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
            let more = count.wrapping_sub(last.count) as f64;
            last.rate = more / passed.as_secs_f64();
            last.count = count;
            last.at = now;
        }
        last.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_since_the_last_look() {
        let start = Instant::now();
        let qps = Qps::new(start);
        let after = |seconds| start + Duration::from_secs_f64(seconds);
        for _ in 0..10 {
            qps.count();
        }
        assert_eq!(qps.rate(after(0.5)), 0.0);
        assert_eq!(qps.rate(after(2.0)), 5.0);
        assert_eq!(qps.rate(after(2.5)), 5.0);
        assert_eq!(qps.rate(after(4.0)), 0.0);
    }
}
