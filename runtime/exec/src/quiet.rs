//! Spares a task the wake-ups that it gives itself.
//!
//! A shared future that is done wakes everybody who waits for it, also the one who is polling it at
//! that moment and so sees its value anyway. A request whose engines answer in place would end each
//! time with its task back in the run queue and a second worker thread roused for it, which costs
//! more than the request.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Not being polled: a wake-up is passed on.
const IDLE: u8 = 0;
/// Being polled: a wake-up is remembered.
const POLLED: u8 = 1;
/// Being polled, and woken meanwhile.
const WOKEN: u8 = 2;

#[derive(Default)]
struct Gate {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let noted = self
            .state
            .compare_exchange(POLLED, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if noted == Err(IDLE) {
            self.task.wake();
        }
    }
}

/// Runs `work`; wake-ups that it causes while it is polled reach its task only if it then has to
/// be polled again.
pub(crate) async fn quietly<T>(work: impl Future<Output = T>) -> T {
    let gate = Arc::new(Gate::default());
    let waker = Waker::from(Arc::clone(&gate));
    let mut work = pin!(work);
    poll_fn(move |cx| {
        gate.task.register(cx.waker());
        gate.state.store(POLLED, Ordering::Release);
        if let Poll::Ready(value) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Poll::Ready(value);
        }
        if gate.state.swap(IDLE, Ordering::AcqRel) == WOKEN {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::FutureExt;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn polled<T>(work: impl Future<Output = T>) -> (Poll<T>, usize) {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let poll = pin!(work).poll(&mut Context::from_waker(&waker));
        (poll, count.0.load(Ordering::SeqCst))
    }

    #[test]
    fn work_that_ends_with_the_poll_wakes_nobody() {
        let shared = || async { 7 }.shared();
        assert_eq!(
            polled(shared()),
            (Poll::Ready(7), 1),
            "shared futures wake their poller"
        );
        assert_eq!(polled(quietly(shared())), (Poll::Ready(7), 0));
    }

    #[test]
    fn work_that_yields_is_polled_again() {
        let yields = poll_fn(|cx| {
            cx.waker().wake_by_ref();
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!(polled(quietly(yields)), (Poll::Pending, 1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn wake_ups_from_elsewhere_arrive() {
        for _ in 0..1000 {
            let work = async {
                for _ in 0..3 {
                    tokio::task::spawn_blocking(|| ()).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            quietly(work).await;
        }
    }
}
