//! Busy polling: a thread of connections looks for bytes for a while before it sleeps.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use tokio::time::sleep;

/// Whoever gives way for longer than this has let somebody else run.
const CROWDED: Duration = Duration::from_micros(10);
/// For how long nobody looks then: others need the processor.
const REST: Duration = Duration::from_millis(1);

thread_local! {
    /// How often a connection of this thread had something to do.
    static STIRRED: Cell<u64> = const { Cell::new(0) };
    /// Who waits for that.
    static ASLEEP: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// A connection of this thread has something to do.
pub(crate) fn stir() {
    STIRRED.set(STIRRED.get().wrapping_add(1));
    if let Some(asleep) = ASLEEP.take() {
        asleep.wake();
    }
}

/// Keeps the reactor of this thread from sleeping until nothing has come for so long: a processor that
/// fell asleep with it takes longer to wake than a request takes. Only time that nobody else wants is
/// spent so.
pub(crate) async fn busy_poll(longest: Duration) {
    let mut seen = STIRRED.get();
    loop {
        poll_fn(|cx| {
            if STIRRED.get() != seen {
                return Poll::Ready(());
            }
            ASLEEP.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        let mut last = Instant::now();
        loop {
            // The reactor looks for bytes before this goes on.
            yield_now().await;
            let now = Instant::now();
            if STIRRED.get() != seen {
                seen = STIRRED.get();
                last = now;
                continue;
            }
            if now.saturating_duration_since(last) > longest {
                break;
            }
            thread::yield_now();
            if now.elapsed() > CROWDED {
                sleep(REST).await;
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    fn looks() -> u64 {
        tokio::runtime::Handle::current()
            .metrics()
            .worker_park_count(0)
    }

    async fn watched(longest: Duration) -> JoinHandle<()> {
        let watch = tokio::spawn(busy_poll(longest));
        yield_now().await;
        watch
    }

    #[tokio::test]
    async fn a_thread_sleeps_until_something_comes_and_again_when_nothing_does() {
        let watch = watched(Duration::from_micros(50)).await;
        assert!(ASLEEP.with_borrow(Option::is_some));
        stir();
        assert!(ASLEEP.with_borrow(Option::is_none));
        while ASLEEP.with_borrow(Option::is_none) {
            sleep(REST).await;
        }
        let before = looks();
        sleep(Duration::from_millis(50)).await;
        assert!(looks() - before < 10, "it looks while nothing comes");
        watch.abort();
    }
}
