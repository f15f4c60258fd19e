//! A bell before a task, which can be kept from ringing for nothing.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use parking_lot::Mutex;

/// A waker of one's own, which wakes the task that stands before it.
///
/// Hyper passes bodies and answers through channels, and whoever takes from one wakes who put it
/// there. Where a single task does both, it is woken for having done something itself, and looks at
/// everything once more in vain. Such a task polls the putting side with a bell, and takes
/// [`hushed`].
#[derive(Debug)]
pub struct Bell(Waker, Arc<Task>);

/// What is woken: nobody at first.
struct Task(Mutex<Waker>);

/// What would have rung.
#[derive(Debug)]
#[must_use = "whoever is not woken may wait for ever"]
pub struct Missed(Option<Arc<Task>>);

thread_local! {
    /// While bells are hushed here, what has not rung.
    static HUSHED: RefCell<Option<Missed>> = const { RefCell::new(None) };
}

impl Bell {
    /// One that wakes nobody yet.
    #[must_use]
    pub fn new() -> Self {
        let task = Arc::new(Task(Mutex::new(Waker::noop().clone())));
        Self(Waker::from(Arc::clone(&task)), task)
    }

    /// What to poll with in place of `cx`, whose task is the one that is woken from now on.
    pub fn before(&self, cx: &Context<'_>) -> Context<'_> {
        let mut task = self.1.0.lock();
        if !task.will_wake(cx.waker()) {
            *task = cx.waker().clone();
        }
        drop(task);
        Context::from_waker(&self.0)
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

impl Task {
    fn ring(&self) {
        let task = self.0.lock().clone();
        task.wake();
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let missed = HUSHED.with_borrow_mut(|hushed| match hushed {
            // Of two, one is enough to be told of: the other rings.
            Some(Missed(missed @ None)) => {
                *missed = Some(Arc::clone(self));
                true
            }
            Some(Missed(Some(missed))) => Arc::ptr_eq(missed, self),
            None => false,
        });
        if !missed {
            self.ring();
        }
    }
}

impl Missed {
    /// It rings now.
    pub fn ring(self) {
        if let Some(task) = self.0 {
            task.ring();
        }
    }

    /// It need not ring: whoever would be woken has nothing left to do, or is polled in any case
    /// before this task waits.
    pub fn ignore(self) {}
}

/// Acts without a bell being rung from this thread, and says what would have rung.
pub fn hushed<T>(act: impl FnOnce() -> T) -> (T, Missed) {
    /// Ends the hush, also when `act` panics.
    struct Hush(Option<Missed>);
    impl Drop for Hush {
        fn drop(&mut self) {
            HUSHED.set(self.0.take());
        }
    }
    let hush = Hush(HUSHED.replace(Some(Missed(None))));
    let done = act();
    let missed = HUSHED.take().unwrap_or(Missed(None));
    drop(hush);
    (done, missed)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counted() -> (Arc<Counted>, Waker) {
        let counted = Arc::new(Counted::default());
        (Arc::clone(&counted), Waker::from(counted))
    }

    fn rung(counted: &Counted) -> usize {
        counted.0.load(Ordering::SeqCst)
    }

    #[test]
    fn the_task_that_polled_last_is_woken() {
        let bell = Bell::new();
        let ((one, first), (two, second)) = (counted(), counted());
        let waker = bell.before(&Context::from_waker(&first)).waker().clone();
        waker.wake_by_ref();
        bell.before(&Context::from_waker(&second));
        waker.wake();
        assert_eq!((rung(&one), rung(&two)), (1, 1));
    }

    #[test]
    fn what_was_hushed_can_ring_later_and_other_threads_are_heard() {
        let bell = Bell::new();
        let (woken, task) = counted();
        let waker = bell.before(&Context::from_waker(&task)).waker().clone();
        let (answer, missed) = hushed(|| {
            waker.wake_by_ref();
            waker.wake_by_ref();
            thread::scope(|scope| scope.spawn(|| waker.wake_by_ref()).join().unwrap());
            7
        });
        assert_eq!((answer, rung(&woken)), (7, 1));
        missed.ring();
        assert_eq!(rung(&woken), 2);
        hushed(|| ()).1.ring();
        waker.wake_by_ref();
        assert_eq!(rung(&woken), 3);
    }

    #[test]
    fn a_panic_ends_the_hush() {
        let bell = Bell::new();
        let (woken, task) = counted();
        let waker = bell.before(&Context::from_waker(&task)).waker().clone();
        let died = std::panic::catch_unwind(|| hushed(|| panic!("as told")).0);
        assert!(died.is_err());
        waker.wake();
        assert_eq!(rung(&woken), 1);
    }
}
