//! An HTTP/2 connection and one of its calls in the same task.
//!
//! Hyper gives each call a task of its own. A client that asks one thing at a time then pays for a
//! task and for turns between two of them with each call. Here a call that finds its connection
//! otherwise idle is driven by the connection's task; calls beside it get their own, so that they
//! run side by side as before.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
use parking_lot::Mutex;

use crate::cork::Cork;
use crate::serve::Cause;

/// How often the connection and its call are looked at in turn before other tasks have theirs.
const ROUNDS: usize = 4;

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a connection's calls run: the first here, those beside it in tasks of their own.
#[derive(Clone)]
pub(crate) struct Lane(Arc<Mutex<Place>>);

enum Place {
    Free,
    /// Its call is being polled.
    Busy,
    Waiting(Call),
    /// The connection is gone.
    Closed,
}

impl Lane {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Place::Free)))
    }

    /// Polls the call that is here, if there is one. One that panics is over, and nothing else.
    fn poll(&self, cx: &mut Context<'_>) {
        let mut place = self.0.lock();
        let mut call = match std::mem::replace(&mut *place, Place::Busy) {
            Place::Waiting(call) => call,
            other => {
                *place = other;
                return;
            }
        };
        drop(place);
        let polled = AssertUnwindSafe(|| match call.as_mut().poll(cx) {
            Poll::Pending => Some(call),
            Poll::Ready(()) => None,
        });
        let left = catch_unwind(polled).unwrap_or_default();
        *self.0.lock() = left.map_or(Place::Free, Place::Waiting);
    }

    fn close(&self) {
        let last = std::mem::replace(&mut *self.0.lock(), Place::Closed);
        // Whose end may do anything, with nothing locked.
        drop(last);
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Lane {
    fn execute(&self, call: F) {
        let mut place = self.0.lock();
        if matches!(*place, Place::Free) {
            *place = Place::Waiting(Box::pin(call));
        } else {
            drop(place);
            tokio::spawn(call);
        }
    }
}

/// A connection with its lane and its cork: what its call says is written when both have nothing
/// more to say.
pub(crate) struct Driven<C> {
    connection: Pin<Box<C>>,
    end: fn(Pin<&mut C>),
    lane: Lane,
    cork: Cork,
    bell: Arc<Bell>,
    /// Rings the bell.
    waker: Waker,
}

impl<C> Driven<C> {
    /// `connection`, which runs its calls in `lane`, writes through `cork` and is asked to end by
    /// `end`.
    pub(crate) fn new(connection: C, end: fn(Pin<&mut C>), lane: Lane, cork: Cork) -> Self {
        let bell = Arc::new(Bell::default());
        Self {
            connection: Box::pin(connection),
            end,
            lane,
            cork,
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }

    /// Asks it to end when its calls have.
    pub(crate) fn graceful_shutdown(mut self: Pin<&mut Self>) {
        let end = self.end;
        end(self.connection.as_mut());
    }
}

impl<C> Drop for Driven<C> {
    fn drop(&mut self) {
        // The call knows its lane, so neither would go by itself.
        self.lane.close();
    }
}

impl<C, E> Future for Driven<C>
where
    C: Future<Output = Result<(), E>>,
    E: Into<Cause>,
{
    type Output = Result<(), Cause>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.bell.begin(cx.waker());
        let mut inner = Context::from_waker(&this.waker);
        let mut rounds = 0;
        let more = loop {
            if let Poll::Ready(ended) = this.connection.as_mut().poll(&mut inner) {
                // Its last words, if the client takes them in.
                let _ = this.cork.drain(cx);
                return Poll::Ready(ended.map_err(Into::into));
            }
            this.lane.poll(&mut inner);
            rounds += 1;
            match this.bell.rest() {
                true => break false,
                false if rounds == ROUNDS => break true,
                false => {}
            }
        };
        if let Poll::Ready(Err(why)) = this.cork.drain(cx) {
            return Poll::Ready(Err(why.into()));
        }
        if more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Wakes the task, unless it is at work: then it sees by itself that it was rung for, which saves
/// a turn for each answer that its call gives.
#[derive(Default)]
struct Bell {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Bell {
    /// The task is at work.
    const BUSY: u8 = 1;
    /// Somebody rang.
    const RUNG: u8 = 2;

    /// The task, whose waker this is, begins to work.
    fn begin(&self, task: &Waker) {
        self.task.register(task);
        self.state.swap(Self::BUSY, Ordering::AcqRel);
    }

    /// Lets the task rest, or tells it that somebody rang since it began.
    fn rest(&self) -> bool {
        let rests = self
            .state
            .compare_exchange(Self::BUSY, 0, Ordering::AcqRel, Ordering::Acquire);
        if rests.is_err() {
            self.state.swap(Self::BUSY, Ordering::AcqRel);
        }
        rests.is_ok()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(Self::RUNG, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::Patient;
    use crate::cork::corked;

    /// What a connection does here: begins calls that it is sent, until nobody sends any.
    async fn connection(lane: Lane, mut calls: mpsc::Receiver<Call>) -> Result<(), Cause> {
        while let Some(call) = calls.recv().await {
            lane.execute(call);
        }
        Ok(())
    }

    /// A connection in a task of its own.
    async fn driven() -> (
        mpsc::Sender<Call>,
        tokio::task::JoinHandle<Result<(), Cause>>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        drop(client);
        let stream = Patient::new(accepted.unwrap().0, Duration::from_secs(10));
        let (_, cork) = corked(stream);
        let lane = Lane::new();
        let (call, calls) = mpsc::channel(8);
        let connection = connection(lane.clone(), calls);
        let driven = Driven::new(connection, |_| {}, lane, cork);
        (call, tokio::spawn(driven))
    }

    #[tokio::test]
    async fn a_call_that_waits_holds_up_no_other_and_goes_on_when_it_is_woken() {
        let (calls, ended) = driven().await;
        let (release, released) = oneshot::channel();
        let (tell, mut told) = mpsc::channel(8);
        let (first, second) = (tell.clone(), tell);
        let waits = async move {
            released.await.unwrap();
            first.send("first").await.unwrap();
        };
        calls.send(Box::pin(waits)).await.unwrap();
        let beside = async move { second.send("second").await.unwrap() };
        calls.send(Box::pin(beside)).await.unwrap();
        assert_eq!(told.recv().await, Some("second"));
        release.send(()).unwrap();
        assert_eq!(told.recv().await, Some("first"));
        drop(calls);
        ended.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_call_that_panics_is_over_and_the_connection_is_not() {
        let (calls, ended) = driven().await;
        let (tell, mut told) = mpsc::channel(8);
        calls
            .send(Box::pin(async { panic!("a mistake") }))
            .await
            .unwrap();
        calls
            .send(Box::pin(async move { tell.send(()).await.unwrap() }))
            .await
            .unwrap();
        assert!(told.recv().await.is_some());
        drop(calls);
        ended.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_ends_takes_its_call_along() {
        let (calls, ended) = driven().await;
        let (kept, dropped) = oneshot::channel::<()>();
        let never = async move {
            let _kept = kept;
            pending::<()>().await;
        };
        calls.send(Box::pin(never)).await.unwrap();
        drop(calls);
        ended.await.unwrap().unwrap();
        assert!(dropped.await.is_err());
    }

    #[tokio::test]
    async fn a_call_that_always_has_more_to_do_lets_others_have_their_turn() {
        let (calls, ended) = driven().await;
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let busy = poll_fn(move |cx| {
            cx.waker().wake_by_ref();
            match counted.fetch_add(1, Ordering::Relaxed) {
                1000.. => Poll::Ready(()),
                _ => Poll::Pending,
            }
        });
        calls.send(Box::pin(busy)).await.unwrap();
        // This test runs between its turns, on the same thread.
        while polls.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(polls.load(Ordering::Relaxed) < 1000);
        while polls.load(Ordering::Relaxed) <= 1000 {
            tokio::task::yield_now().await;
        }
        drop(calls);
        ended.await.unwrap().unwrap();
    }
}
