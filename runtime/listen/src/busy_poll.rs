//! Busy polling: a thread of connections looks for bytes for a while before it sleeps, where that pays.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use hyper::service::Service;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

/// Whoever gives way for longer than this has let somebody else run.
const CROWDED: Duration = Duration::from_micros(10);
/// For how long nobody looks then: others need the processor.
const REST: Duration = Duration::from_millis(1);

thread_local! {
    /// How often a connection of this thread had something to do.
    static STIRRED: Cell<u64> = const { Cell::new(0) };
    /// Who waits for that.
    static ASLEEP: RefCell<Option<Waker>> = const { RefCell::new(None) };
    /// How many requests are being answered on this thread.
    static UNANSWERED: Cell<usize> = const { Cell::new(0) };
}

/// A connection of this thread has something to do.
pub(crate) fn stir() {
    STIRRED.set(STIRRED.get().wrapping_add(1));
    if let Some(asleep) = ASLEEP.take() {
        asleep.wake();
    }
}

/// A service of whose calls the thread knows while they are answered.
#[derive(Clone)]
pub(crate) struct Known<S>(pub(crate) S);

impl<S: Service<R>, R> Service<R> for Known<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, request: R) -> Self::Future {
        UNANSWERED.set(UNANSWERED.get().wrapping_add(1));
        Answering {
            answer: self.0.call(request),
            counted: Counted,
        }
    }
}

pin_project_lite::pin_project! {
    pub(crate) struct Answering<F> {
        #[pin]
        answer: F,
        counted: Counted,
    }
}

impl<F: Future> Future for Answering<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().answer.poll(cx)
    }
}

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        UNANSWERED.set(UNANSWERED.get().wrapping_sub(1));
    }
}

/// Which part of the last waits of a kind were short, in 256ths.
#[derive(Clone, Copy, Default)]
struct Waits(u32);

impl Waits {
    fn mostly_short(self) -> bool {
        self.0 >= 128
    }

    fn note(&mut self, short: bool) {
        self.0 = self.0 - self.0 / 8 + if short { 32 } else { 0 };
    }
}

/// Keeps the reactor of this thread from sleeping until nothing has come for `longest`: a processor that
/// fell asleep with it takes longer to wake than a request takes.
///
/// It does so while most waits are over by then, for workers where a request is being answered, for
/// clients where none is: in vain it looks no more often than not. Only time that nobody else wants is
/// spent so.
pub(crate) async fn busy_poll(longest: Duration) {
    let mut waits = [Waits::default(); 2];
    let mut seen = STIRRED.get();
    loop {
        // The reactor looks for bytes before this goes on.
        yield_now().await;
        if came(&mut seen) {
            continue;
        }
        let idle = Instant::now();
        let [clients, workers] = &mut waits;
        let kind = match UNANSWERED.get() {
            0 => clients,
            _ => workers,
        };
        let looked = if kind.mostly_short() {
            look(seen, idle, longest).await
        } else {
            Look::Not
        };
        if matches!(looked, Look::Crowded) {
            sleep(REST).await;
        }
        stirred(seen).await;
        came(&mut seen);
        let waited = idle.elapsed();
        match looked {
            Look::Came | Look::InVain => kind.note(waited <= longest),
            // To wake takes about as long as what is worth waiting for.
            Look::Not => kind.note(waited <= longest * 2),
            Look::Crowded => {}
        }
    }
}

/// How looking for bytes ended.
enum Look {
    Not,
    Came,
    InVain,
    /// Others want the processor.
    Crowded,
}

async fn look(seen: u64, since: Instant, longest: Duration) -> Look {
    let mut now = since;
    loop {
        if now.saturating_duration_since(since) > longest {
            return Look::InVain;
        }
        thread::yield_now();
        if now.elapsed() > CROWDED {
            return Look::Crowded;
        }
        yield_now().await;
        if STIRRED.get() != seen {
            return Look::Came;
        }
        now = Instant::now();
    }
}

/// Whether a connection had something to do since `seen`, which is now.
fn came(seen: &mut u64) -> bool {
    let now = STIRRED.get();
    std::mem::replace(seen, now) != now
}

/// Waits until a connection has had something to do since `seen`.
async fn stirred(seen: u64) {
    poll_fn(|cx| {
        if STIRRED.get() != seen {
            return Poll::Ready(());
        }
        ASLEEP.set(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready};

    use tokio::time::advance;

    use super::*;

    const LONGEST: Duration = Duration::from_micros(50);
    const SOON: Duration = Duration::from_micros(30);

    /// Lets the thread go on for as long as it has something to do.
    async fn settle() {
        for _ in 0..8 {
            yield_now().await;
        }
    }

    fn sleeps() -> bool {
        ASLEEP.with_borrow(Option::is_some)
    }

    /// A wait of so long, after something came.
    async fn wait(long: Duration) {
        stir();
        settle().await;
        advance(long).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_looks_while_waits_are_short_and_sleeps_while_they_are_not() {
        let watch = tokio::spawn(busy_poll(LONGEST));
        settle().await;
        assert!(sleeps());
        for _ in 0..8 {
            wait(SOON).await;
        }
        stir();
        settle().await;
        assert!(!sleeps(), "it sleeps though something comes soon");
        advance(LONGEST * 2).await;
        settle().await;
        assert!(sleeps(), "it looks for longer than it may");
        for _ in 0..8 {
            wait(LONGEST * 3).await;
        }
        stir();
        settle().await;
        assert!(sleeps(), "it looks though nothing comes");
        watch.abort();
    }

    struct Instantly;

    impl Service<()> for Instantly {
        type Response = ();
        type Error = Infallible;
        type Future = Ready<Result<(), Infallible>>;

        fn call(&self, (): ()) -> Self::Future {
            ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_workers_and_for_clients_are_told_apart() {
        let watch = tokio::spawn(busy_poll(LONGEST));
        settle().await;
        let service = Known(Instantly);
        for _ in 0..8 {
            let answer = service.call(());
            wait(SOON).await;
            answer.await.unwrap();
            wait(LONGEST * 10).await;
        }
        let answer = service.call(());
        stir();
        settle().await;
        assert!(!sleeps(), "it sleeps though workers answer soon");
        answer.await.unwrap();
        stir();
        settle().await;
        assert!(sleeps(), "it looks for clients, who come late");
        watch.abort();
    }
}
