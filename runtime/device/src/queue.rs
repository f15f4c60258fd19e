//! Who waits for a device or uses it, and who wants to know when nobody does.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use routir_core::{BoxFuture, Gauge};

/// How many wait for a device or use it, whatever they compute there.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Where the number is shown.
    shown: OnceLock<[Gauge; 2]>,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    /// How often the device fell idle.
    rests: u64,
    /// Whether it is lost, and nobody waits for it any more.
    lost: bool,
    /// Those who are told when it falls idle, by number.
    told: BTreeMap<u64, Waker>,
    next: u64,
}

impl Queue {
    /// Joins those who wait for the device or use it.
    pub(crate) fn join(self: &Arc<Self>) -> Queued {
        self.state.lock().count += 1;
        let shown = self.shown.get();
        for gauge in shown.into_iter().flatten() {
            gauge.inc();
        }
        Queued {
            queue: Arc::clone(self),
            shown: shown.is_some(),
        }
    }

    /// How many those are.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().count
    }

    /// Has the number be shown from now on; the first who asks for it says where.
    pub(crate) fn show(&self, shown: impl FnOnce() -> [Gauge; 2]) {
        self.shown.get_or_init(shown);
    }

    /// Nobody waits until the device falls idle any more: whoever is in a call of it may never return.
    pub(crate) fn lose(&self) {
        let mut state = self.state.lock();
        state.lost = true;
        let told = std::mem::take(&mut state.told);
        drop(state);
        told.into_values().for_each(Waker::wake);
    }

    /// What ends when the device has fallen idle, unless it is, or is lost.
    pub(crate) fn busy(self: &Arc<Self>) -> Option<BoxFuture<'static, ()>> {
        let mut state = self.state.lock();
        if state.count == 0 || state.lost {
            return None;
        }
        let number = state.next;
        state.next += 1;
        Some(Box::pin(Rest {
            rests: state.rests,
            number,
            queue: Arc::clone(self),
        }))
    }

    fn leave(&self) {
        let mut state = self.state.lock();
        state.count = state.count.saturating_sub(1);
        if state.count > 0 {
            return;
        }
        state.rests += 1;
        let told = std::mem::take(&mut state.told);
        drop(state);
        told.into_values().for_each(Waker::wake);
    }
}

/// Somebody waits for a device or uses it, until this is dropped.
#[derive(Debug)]
pub struct Queued {
    queue: Arc<Queue>,
    /// Whether it was counted where it is shown.
    shown: bool,
}

impl Drop for Queued {
    fn drop(&mut self) {
        let shown = self.queue.shown.get().filter(|_| self.shown);
        for gauge in shown.into_iter().flatten() {
            gauge.dec();
        }
        self.queue.leave();
    }
}

/// Until a device has fallen idle more than `rests` times. That it did is not forgotten when it is
/// busy again before anybody looks.
struct Rest {
    queue: Arc<Queue>,
    rests: u64,
    number: u64,
}

impl Future for Rest {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.queue.state.lock();
        if state.rests != self.rests || state.lost {
            return Poll::Ready(());
        }
        let before = state.told.insert(self.number, cx.waker().clone());
        drop(state);
        // Not under the lock: whoever it woke may end with it.
        drop(before);
        Poll::Pending
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let told = self.queue.state.lock().told.remove(&self.number);
        drop(told);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn ready(rest: &mut BoxFuture<'static, ()>, woken: &Arc<Woken>) -> bool {
        let waker = Waker::from(Arc::clone(woken));
        rest.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
    }

    #[test]
    fn who_asks_is_told_once_when_the_last_one_leaves() {
        let (queue, woken) = (Arc::new(Queue::default()), Arc::new(Woken::default()));
        assert!(queue.busy().is_none());
        let (one, other) = (queue.join(), queue.join());
        let mut rests: Vec<_> = (0..3).map(|_| queue.busy().unwrap()).collect();
        // The last was not looked at yet when it happens.
        assert!(rests.iter_mut().take(2).all(|rest| !ready(rest, &woken)));
        drop(one);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        drop(other);
        assert_eq!(woken.0.load(Ordering::SeqCst), 2);
        // It is busy again, with others.
        let _again = queue.join();
        assert!(rests.iter_mut().all(|rest| ready(rest, &woken)));
        assert!(!ready(&mut queue.busy().unwrap(), &woken));
    }

    #[test]
    fn who_does_not_want_to_know_any_more_leaves_nothing_behind() {
        let (queue, woken) = (Arc::new(Queue::default()), Arc::new(Woken::default()));
        let held = queue.join();
        for _ in 0..100 {
            let mut rest = queue.busy().unwrap();
            assert!(!ready(&mut rest, &woken) && !ready(&mut rest, &woken));
            assert_eq!(queue.state.lock().told.len(), 1);
        }
        assert!(queue.state.lock().told.is_empty());
        drop(held);
        assert_eq!((woken.0.load(Ordering::SeqCst), queue.len()), (0, 0));
    }

    #[test]
    fn nobody_waits_for_a_device_that_is_lost() {
        let (queue, woken) = (Arc::new(Queue::default()), Arc::new(Woken::default()));
        let _hangs = queue.join();
        let mut rest = queue.busy().unwrap();
        assert!(!ready(&mut rest, &woken));
        queue.lose();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(ready(&mut rest, &woken) && queue.busy().is_none());
    }
}
