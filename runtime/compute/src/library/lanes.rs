//! How many calls of models run at once.

use parking_lot::{Condvar, Mutex};

/// A counting semaphore for threads that block.
pub(crate) struct Lanes {
    count: usize,
    free: Mutex<usize>,
    freed: Condvar,
}

/// The right to run one call, until dropped.
pub(crate) struct Lane<'a>(&'a Lanes);

impl Lanes {
    pub(crate) fn new(count: usize) -> Self {
        let count = count.max(1);
        Self {
            count,
            free: Mutex::new(count),
            freed: Condvar::new(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn acquire(&self) -> Lane<'_> {
        let mut free = self.free.lock();
        while *free == 0 {
            self.freed.wait(&mut free);
        }
        *free -= 1;
        Lane(self)
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_run_at_once_than_there_are_lanes() {
        let lanes = Lanes::new(3);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _lane = lanes.acquire();
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
        assert_eq!(*lanes.free.lock(), 3);
    }

    #[test]
    fn there_is_always_one() {
        let lanes = Lanes::new(0);
        drop(lanes.acquire());
        assert_eq!(lanes.count(), 1);
    }
}
