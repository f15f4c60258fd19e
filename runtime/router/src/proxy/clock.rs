//! One timer for all waits on a connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for all waits on a connection. It is set to the earliest end of any wait and, when it
/// rings too early for the present one, set anew: so a wait that ends well costs nothing, nor does
/// the next request.
#[derive(Debug)]
pub(super) struct Clock {
    sleep: Pin<Box<Sleep>>,
    /// When the present request as a whole must be over.
    pub(super) deadline: Instant,
}

impl Clock {
    /// A clock of nobody yet.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            sleep: Box::pin(sleep_until(now)),
            deadline: now,
        }
    }

    /// Ready when the wait that ends at `due`, or the request, is over.
    pub(super) fn poll(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<Rung> {
        let due = due.min(self.deadline);
        loop {
            if self.sleep.deadline() > due {
                self.sleep.as_mut().reset(due);
            }
            ready!(self.sleep.as_mut().poll(cx));
            let now = Instant::now();
            if now >= self.deadline {
                return Poll::Ready(Rung::Deadline);
            }
            if now >= due {
                return Poll::Ready(Rung::Due);
            }
            self.sleep.as_mut().reset(due);
        }
    }
}

/// Which wait was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rung {
    /// The present one.
    Due,
    /// The request's own.
    Deadline,
}
