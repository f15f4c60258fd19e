//! The timer of one connection.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt;
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep_until};

/// The timer of one connection, all of whose waits share one of tokio's. That is set to the earliest
/// end of any and, when it rings too early for the present one, set anew. Hyper waits for the head of
/// each request, which nearly always comes in time: so it costs nothing.
#[derive(Clone, Default)]
pub(crate) struct OneTimer(Arc<Mutex<Option<Pin<Box<Sleep>>>>>);

/// A wait. One at a time is waited for.
struct Wait {
    timer: OneTimer,
    deadline: Instant,
}

impl fmt::Debug for OneTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimer")
    }
}

impl rt::Timer for OneTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Wait {
            timer: self.clone(),
            deadline,
        })
    }
}

impl rt::Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.into();
        let mut shared = self.timer.0.lock();
        let sleep = shared.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if tokio::time::Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_in_its_time_whatever_was_waited_for_before() {
        let timer = OneTimer::default();
        let begun = tokio::time::Instant::now();
        let at = |seconds| (begun + Duration::from_secs(seconds)).into_std();
        for (until, ends) in [(20, 20), (30, 30), (10, 30), (60, 60)] {
            let mut early = timer.sleep_until(at(ends + 5));
            assert!(futures_util::poll!(&mut early).is_pending());
            drop(early);
            timer.sleep_until(at(until)).await;
            assert_eq!(begun.elapsed().as_secs(), ends);
        }
    }
}
