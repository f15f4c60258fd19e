//! The sandbox's own threads and what they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::account::Account;
use super::call::Call;
use super::fair::{Fair, Next};
use super::{Stopped, TICK};

/// What the threads of a scheduler and its calls share.
pub(super) struct Shared {
    limit: usize,
    /// Turns that are being had in place.
    in_place: AtomicUsize,
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    queue: Fair<Arc<Call>>,
    threads: usize,
    idle: usize,
    stopping: bool,
}

impl Shared {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            in_place: AtomicUsize::new(0),
            state: Mutex::new(State {
                queue: Fair::new(),
                threads: 0,
                idle: 0,
                stopping: false,
            }),
            work: Condvar::new(),
        })
    }

    /// Makes sure that somebody will serve the queue, before anything can come to be in it.
    pub(super) fn ensure_thread(self: &Arc<Self>) -> Result<(), Stopped> {
        let mut state = self.state.lock();
        if state.threads > 0 {
            return Ok(());
        }
        self.add_thread(&mut state)
            .map_err(|error| Stopped::NoThread(error.to_string()))
    }

    /// Whether a call of `account` may have its first turn in place. Not more at once than there
    /// are threads, so that guests never fill all of a reactor. If so, [`Shared::leave_in_place`]
    /// follows.
    pub(super) fn enter_in_place(&self, account: &Account) -> bool {
        if self.in_place.fetch_add(1, Ordering::Relaxed) < self.limit
            && (self.state.lock().queue).may_pass(account, TICK, Instant::now())
        {
            return true;
        }
        self.leave_in_place();
        false
    }

    pub(super) fn leave_in_place(&self) {
        self.in_place.fetch_sub(1, Ordering::Relaxed);
    }

    /// Queues a call for its next turn.
    pub(super) fn push(self: &Arc<Self>, call: &Arc<Call>) {
        let mut state = self.state.lock();
        self.queue(&mut state, call);
    }

    /// Counts a turn, and queues the call for another one if it wants it.
    pub(super) fn end_turn(self: &Arc<Self>, call: &Arc<Call>, used: Duration, again: bool) {
        let mut state = self.state.lock();
        state.queue.charge(call.account(), used, Instant::now());
        if again {
            self.queue(&mut state, call);
        }
    }

    /// Lets the threads end, after their present turns.
    pub(super) fn stop(&self) {
        let left = {
            let mut state = self.state.lock();
            state.stopping = true;
            std::mem::replace(&mut state.queue, Fair::new())
        };
        self.work.notify_all();
        drop(left);
    }

    fn queue(self: &Arc<Self>, state: &mut State, call: &Arc<Call>) {
        if state.stopping {
            return;
        }
        state
            .queue
            .push(call.account(), Arc::clone(call), Instant::now());
        if state.idle > 0 {
            self.work.notify_one();
        } else if state.threads < self.limit
            && let Err(error) = self.add_thread(state)
        {
            tracing::warn!(
                threads = state.threads,
                "no further thread for guests: {error}"
            );
        }
    }

    fn add_thread(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let shared = Arc::clone(self);
        thread::Builder::new()
            .name("guest".to_owned())
            .spawn(move || shared.serve())?;
        state.threads += 1;
        Ok(())
    }

    fn serve(&self) {
        while let Some(call) = self.next() {
            call.turn();
        }
    }

    /// Waits for the next call; `None` when the scheduler is gone.
    fn next(&self) -> Option<Arc<Call>> {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            match state.queue.pop(Instant::now()) {
                Next::Item(call) => {
                    // Somebody else must watch for those that are set aside.
                    if state.idle > 0 && state.queue.has_throttled() {
                        self.work.notify_one();
                    }
                    return Some(call);
                }
                Next::Wait(until) => {
                    state.idle += 1;
                    match until {
                        Some(until) => {
                            self.work.wait_until(&mut state, until);
                        }
                        None => self.work.wait(&mut state),
                    }
                    state.idle -= 1;
                }
            }
        }
    }
}
