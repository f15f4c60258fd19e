//! One call: a future that is polled turn by turn, wherever its turn comes.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;

use super::Stopped;
use super::account::Account;
use super::threads::Shared;

/// What is polled: it catches its own panics.
pub(super) type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits for the host.
const IDLE: u8 = 0;
/// Waits for its turn.
const QUEUED: u8 = 1;
/// Is polled.
const RUNNING: u8 = 2;
/// Is polled and was woken meanwhile: wants another turn.
const WOKEN: u8 = 3;
/// Finished, stopped or cancelled; the body is gone, or goes when the present turn ends.
const DONE: u8 = 4;

/// A call and all that its turns need.
pub(super) struct Call {
    shared: Arc<Shared>,
    account: Arc<Account>,
    cpu_limit: Duration,
    runtime: Option<Handle>,
    state: AtomicU8,
    /// Locked by whoever holds the turn; by others only while nobody does.
    body: Mutex<Option<Body>>,
    used_ns: AtomicU64,
    stopped: Mutex<Option<Stopped>>,
}

thread_local! {
    /// Whether this thread is in a turn: a guest's host call may run another guest.
    static IN_TURN: Cell<bool> = const { Cell::new(false) };
}

impl Call {
    pub(super) fn new(
        shared: Arc<Shared>,
        account: Arc<Account>,
        cpu_limit: Duration,
        runtime: Option<Handle>,
        body: Body,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared,
            account,
            cpu_limit,
            runtime,
            state: AtomicU8::new(QUEUED),
            body: Mutex::new(Some(body)),
            used_ns: AtomicU64::new(0),
            stopped: Mutex::new(None),
        })
    }

    pub(super) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Why the call has no result, once.
    pub(super) fn why_stopped(&self) -> Option<Stopped> {
        self.stopped.lock().take()
    }

    /// The first turn: in place if that is fair, and never inside another guest's turn, which would
    /// grow by it.
    pub(super) fn start(self: &Arc<Self>) {
        if let Err(stopped) = self.shared.ensure_thread() {
            self.stop(stopped);
        } else if !IN_TURN.get() && self.shared.enter_in_place(&self.account) {
            self.turn();
            self.shared.leave_in_place();
        } else {
            self.shared.push(self);
        }
    }

    /// Polls once, unless the call was cancelled while it waited.
    pub(super) fn turn(self: &Arc<Self>) {
        if !self.move_on(QUEUED, RUNNING) {
            return;
        }
        let start = thread_time();
        let polled = self.poll();
        let used = self.count(start);
        if polled.is_pending() && used <= self.cpu_limit {
            let idle = self.move_on(RUNNING, IDLE);
            let again = !idle && self.move_on(WOKEN, QUEUED);
            if !idle && !again {
                self.drop_body();
            }
            return self.shared.end_turn(self, thread_time() - start, again);
        }
        if polled.is_pending() {
            // Before the body goes, upon which the caller looks for it.
            *self.stopped.lock() = Some(Stopped::CpuLimit { used });
        }
        self.state.store(DONE, Ordering::Release);
        self.drop_body();
        self.shared.end_turn(self, thread_time() - start, false);
    }

    /// Drops the body: now, or when the present turn ends.
    pub(super) fn cancel(&self) {
        let before = self.state.swap(DONE, Ordering::AcqRel);
        if before == IDLE || before == QUEUED {
            self.drop_body();
        }
    }

    /// Ends a call that has no turn.
    fn stop(&self, why: Stopped) {
        *self.stopped.lock() = Some(why);
        self.cancel();
    }

    /// Polls the body, which does not panic.
    fn poll(self: &Arc<Self>) -> Poll<()> {
        let waker = Waker::from(Arc::clone(self));
        let _runtime = self.runtime.as_ref().map(Handle::enter);
        let outer = IN_TURN.replace(true);
        let polled = match self.body.lock().as_mut() {
            Some(body) => body.as_mut().poll(&mut Context::from_waker(&waker)),
            None => Poll::Ready(()),
        };
        IN_TURN.set(outer);
        polled
    }

    /// A body that panics when it is dropped takes no thread with it either.
    fn drop_body(&self) {
        let body = self.body.lock().take();
        let _runtime = self.runtime.as_ref().map(Handle::enter);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(body))) {
            let text = panic_text(panic.as_ref());
            tracing::error!("a call panicked when it was dropped: {text}");
        }
    }

    /// Adds the time since `start` to what the call has used; returns the sum.
    fn count(&self, start: Duration) -> Duration {
        let turn = u64::try_from((thread_time() - start).as_nanos()).unwrap_or(u64::MAX);
        let before = self.used_ns.fetch_add(turn, Ordering::Relaxed);
        Duration::from_nanos(before.saturating_add(turn))
    }

    fn move_on(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        loop {
            if self.move_on(IDLE, QUEUED) {
                return self.shared.push(self);
            }
            if self.move_on(RUNNING, WOKEN) {
                return;
            }
            // Between the two attempts it may have changed from running to idle.
            if !matches!(self.state.load(Ordering::Acquire), IDLE | RUNNING) {
                return;
            }
        }
    }
}

/// Processor time of this thread: waiting for a core is not the guest's doing.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = time.tv_sec.saturating_mul(1_000_000_000) + time.tv_nsec;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}
