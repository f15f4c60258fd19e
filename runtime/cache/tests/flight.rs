//! Single flight: one computation for as long as anybody waits.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use routir_cache::{Flight, Key};
use routir_core::{Error, ErrorCode};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::yield_now;

fn key(name: &str) -> Key {
    Key::builder(name).build()
}

#[tokio::test]
async fn identical_calls_run_once_and_others_for_themselves() {
    let flight = Flight::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let call = |name: &str| {
        let (runs, gate) = (Arc::clone(&runs), Arc::clone(&gate));
        flight.run(key(name), move || async move {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            let _open = gate.acquire().await;
            Ok(run)
        })
    };
    let open = async { gate.add_permits(1) };
    let (a1, a2, b, a3, ()) = tokio::join!(call("a"), call("a"), call("b"), call("a"), open);
    let answers = [a1, a2, b, a3].map(Result::unwrap);
    assert_eq!(answers, [(0, false), (0, true), (1, false), (0, true)]);
    assert!(flight.is_empty());
    // Nothing is kept.
    assert_eq!(call("a").await.unwrap(), (2, false));
}

#[tokio::test]
async fn a_leader_that_leaves_does_not_fail_those_who_follow() {
    let flight = Flight::new();
    let (open, gate) = oneshot::channel::<u32>();
    let leading = flight.clone();
    let leader = tokio::spawn(async move {
        leading
            .run(key("a"), || async move {
                gate.await.map_err(|_| Error::internal("gone"))
            })
            .await
    });
    yield_now().await;
    let following = flight.clone();
    let follower = tokio::spawn(async move {
        following
            .run(key("a"), || async { unreachable!("a second computation") })
            .await
    });
    yield_now().await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    assert_eq!(flight.len(), 1);
    open.send(7).unwrap();
    assert_eq!(follower.await.unwrap().unwrap(), (7, true));
    assert!(flight.is_empty());
}

#[tokio::test]
async fn when_everybody_leaves_the_computation_is_dropped_and_forgotten() {
    let flight = Flight::<u32>::new();
    let (alive, mut dropped) = oneshot::channel::<()>();
    let mut one = Box::pin(flight.run(key("a"), move || async move {
        let _alive = alive;
        pending().await
    }));
    let mut two = Box::pin(flight.run(key("a"), || async { Ok(0) }));
    assert!(one.as_mut().now_or_never().is_none());
    assert!(two.as_mut().now_or_never().is_none());
    drop(one);
    assert!(two.as_mut().now_or_never().is_none());
    assert_eq!(flight.len(), 1);
    assert!(
        dropped
            .try_recv()
            .is_err_and(|e| e == oneshot::error::TryRecvError::Empty)
    );
    drop(two);
    assert!(
        dropped
            .try_recv()
            .is_err_and(|e| e == oneshot::error::TryRecvError::Closed)
    );
    assert!(flight.is_empty());
    assert_eq!(
        flight.run(key("a"), || async { Ok(5) }).await.unwrap(),
        (5, false)
    );
}

#[tokio::test]
async fn a_call_that_was_never_polled_leaves_nothing_behind() {
    let flight = Flight::<u32>::new();
    drop(flight.run(key("a"), || async { Ok(1) }));
    assert!(flight.is_empty());
}

#[tokio::test]
async fn an_error_goes_to_all_who_wait_and_to_nobody_later() {
    let flight = Flight::<u32>::new();
    let fail = || {
        flight.run(key("a"), || async {
            yield_now().await;
            Err(Error::engine("it broke"))
        })
    };
    for result in join_all([fail(), fail()]).await {
        assert_eq!(result.unwrap_err().message(), "it broke");
    }
    assert_eq!(
        flight.run(key("a"), || async { Ok(1) }).await.unwrap(),
        (1, false)
    );
}

#[tokio::test]
async fn a_crash_is_an_error_for_all_who_wait() {
    let flight = Flight::<u32>::new();
    let crash = || {
        flight.run(key("a"), || async {
            yield_now().await;
            panic!("on purpose")
        })
    };
    for result in join_all([crash(), crash()]).await {
        assert_eq!(result.unwrap_err().code(), ErrorCode::Internal);
    }
    assert!(flight.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_come_and_go_leave_nothing_behind() {
    let flight = Flight::new();
    let running = Arc::new(AtomicUsize::new(0));
    let callers = (0..200_u64).map(|caller| {
        let (flight, running) = (flight.clone(), Arc::clone(&running));
        tokio::spawn(async move {
            for call in 0..50_u64 {
                let n = (caller * 31 + call * 17) % 5;
                let running = Arc::clone(&running);
                let name = n.to_string();
                let mut answer = Box::pin(flight.run(key(&name), move || async move {
                    running.fetch_add(1, Ordering::SeqCst);
                    let _ends = Ends(running);
                    for _ in 0..n {
                        yield_now().await;
                    }
                    Ok(n)
                }));
                if (caller + call) % 3 == 0 {
                    // Leaves after one poll.
                    if let Some(result) = answer.as_mut().now_or_never() {
                        assert_eq!(result.unwrap().0, n);
                    }
                } else {
                    assert_eq!(answer.await.unwrap().0, n);
                }
            }
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    assert!(flight.is_empty());
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

struct Ends(Arc<AtomicUsize>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
