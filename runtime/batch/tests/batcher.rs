//! The batcher as its callers and its engine see it, on a stopped clock.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use parking_lot::Mutex;
use routir_batch::{BatchSettings, Batcher, Flow, Policy};
use routir_core::{BoxFuture, Error, ErrorCode, Metrics, QueueMetrics, Result};
use tokio::time::{Instant, sleep, timeout};

const MS: Duration = Duration::from_millis(1);
const WORK: Duration = Duration::from_millis(100);

fn metrics() -> QueueMetrics {
    Metrics::default().queue("toy", "search")
}

fn settings(max_requests: usize, capacity: usize, concurrency: usize) -> BatchSettings {
    let policy = Policy {
        max_requests,
        max_tokens: None,
        max_wait: MS * 20,
    };
    BatchSettings {
        name: "toy".into(),
        policy,
        capacity,
        concurrency,
    }
}

type Batches = Arc<Mutex<Vec<Vec<u32>>>>;
type Work = BoxFuture<'static, Vec<Result<u32>>>;

/// An engine that doubles numbers in `WORK`, refuses 13, and writes down its batches.
fn doubler() -> (Batches, impl Fn(Vec<u32>) -> Work + Send + Sync) {
    let batches = Batches::default();
    let seen = Arc::clone(&batches);
    let engine = move |batch: Vec<u32>| {
        seen.lock().push(batch.clone());
        async move {
            sleep(WORK).await;
            batch
                .into_iter()
                .map(|n| {
                    if n == 13 {
                        Err(Error::invalid("unlucky"))
                    } else {
                        Ok(n * 2)
                    }
                })
                .collect()
        }
        .boxed()
    };
    (batches, engine)
}

#[tokio::test(start_paused = true)]
async fn a_lone_request_leaves_at_once() {
    let (_, engine) = doubler();
    let batcher = Batcher::new(settings(32, 10, 1), metrics(), engine);
    let started = Instant::now();
    let (answer, stats) = batcher.submit(Flow::default(), 21, 1).await.unwrap();
    assert_eq!(answer, 42);
    assert_eq!(started.elapsed(), WORK);
    assert_eq!(
        (stats.queued, stats.service, stats.batch_size),
        (Duration::ZERO, WORK, 1)
    );
    assert!(!stats.cached && !stats.joined);
}

#[tokio::test(start_paused = true)]
async fn batches_form_while_the_engine_works_and_each_caller_gets_its_own_answer() {
    let (batches, engine) = doubler();
    let metrics = metrics();
    let batcher = Batcher::new(settings(3, 10, 1), metrics.clone(), engine);
    let answers = join_all([1, 2, 13, 4, 5].map(|n| batcher.submit(Flow::default(), n, 1))).await;
    let values: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().map(|a| a.0).ok())
        .collect();
    assert_eq!(values, [Some(2), Some(4), None, Some(8), Some(10)]);
    assert_eq!(answers[2].as_ref().unwrap_err().message(), "unlucky");
    assert_eq!(*batches.lock(), [vec![1], vec![2, 13, 4], vec![5]]);
    let last = answers[4].as_ref().unwrap().1;
    assert_eq!((last.queued, last.batch_size), (WORK * 2, 1));
    assert_eq!(metrics.depth.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn with_a_free_slot_requests_wait_for_company_but_not_for_longer_than_max_wait() {
    let (batches, engine) = doubler();
    let batcher = Batcher::new(settings(3, 10, 2), metrics(), engine);
    let answers = join_all([1, 2, 3].map(|n| batcher.submit(Flow::default(), n, 1))).await;
    assert_eq!(*batches.lock(), [vec![1], vec![2, 3]]);
    assert_eq!(answers[1].as_ref().unwrap().1.queued, MS * 20);

    // A full batch does not wait.
    batches.lock().clear();
    let answers = join_all([1, 2, 3, 4].map(|n| batcher.submit(Flow::default(), n, 1))).await;
    assert_eq!(*batches.lock(), [vec![1], vec![2, 3, 4]]);
    assert_eq!(answers[3].as_ref().unwrap().1.queued, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn each_request_gets_its_own_max_wait_whoever_left_and_whatever_runs() {
    let (batches, engine) = doubler();
    let batcher = Batcher::new(settings(3, 10, 4), metrics(), engine);
    let at = |ms, n| {
        let answer = batcher.submit(Flow::default(), n, 1);
        tokio::spawn(async move {
            sleep(MS * ms).await;
            answer.await.unwrap().1.queued
        })
    };
    let (first, leaves, after, later) = (at(0, 1), at(1, 2), at(6, 3), at(40, 4));
    sleep(MS * 10).await;
    leaves.abort();
    let waited = [
        first.await.unwrap(),
        after.await.unwrap(),
        later.await.unwrap(),
    ];
    assert_eq!(waited, [Duration::ZERO, MS * 20, MS * 20]);
    assert_eq!(*batches.lock(), [[1], [3], [4]]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_is_dropped_before_its_batch_forms_and_counted() {
    let (batches, engine) = doubler();
    let metrics = metrics();
    let batcher = Batcher::new(settings(3, 2, 1), metrics.clone(), engine);
    let mut first = Box::pin(batcher.submit(Flow::default(), 1, 1));
    let mut leaves = Box::pin(batcher.submit(Flow::default(), 2, 1));
    let mut stays = Box::pin(batcher.submit(Flow::default(), 3, 1));
    for caller in [&mut first, &mut leaves, &mut stays] {
        assert!(caller.as_mut().now_or_never().is_none());
    }
    assert_eq!((batcher.depth(), metrics.depth.get()), (2, 2));
    drop(leaves);
    assert_eq!(
        (
            batcher.depth(),
            metrics.depth.get(),
            metrics.abandoned.get()
        ),
        (1, 1, 1)
    );
    // Its place is free again.
    let (first, stays, late) = tokio::join!(first, stays, batcher.submit(Flow::default(), 4, 1));
    assert_eq!(
        [first, stays, late].map(|answer| answer.unwrap().0),
        [2, 6, 8]
    );
    assert_eq!(*batches.lock(), [vec![1], vec![3, 4]]);
    assert_eq!((metrics.abandoned.get(), metrics.refused.get()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_says_when_to_come_back() {
    let (_, engine) = doubler();
    let metrics = metrics();
    let batcher = Batcher::new(settings(1, 30, 1), metrics.clone(), engine);
    batcher.submit(Flow::default(), 0, 1).await.unwrap();
    let callers: Vec<_> = (101..=131)
        .map(|n| tokio::spawn(batcher.submit(Flow::default(), n, 1)))
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(batcher.depth(), 30);
    let error = batcher.submit(Flow::default(), 99, 1).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Overloaded);
    assert_eq!(
        error.message(),
        "service `toy` is overloaded: 30 requests wait already; come back in about 3 s"
    );
    // 30 requests at 100 ms each.
    let wait = error.retry_after().unwrap();
    assert!(wait.abs_diff(Duration::from_secs(3)) < MS, "{wait:?}");
    assert_eq!(metrics.refused.get(), 1);
    for (n, caller) in (101..).zip(callers) {
        assert_eq!(caller.await.unwrap().unwrap().0, n * 2);
    }
}

/// Counts how many of an engine's futures were dropped before their end.
struct Unfinished(Arc<AtomicUsize>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_batch_is_cancelled_when_its_last_caller_leaves_and_not_before() {
    let cancelled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&cancelled);
    let batcher = Batcher::new(settings(3, 10, 1), metrics(), move |batch: Vec<u32>| {
        let guard = Unfinished(Arc::clone(&count));
        async move {
            let guard = guard;
            match batch.as_slice() {
                [0] => sleep(WORK).await,
                [7] => {}
                _ => pending().await,
            }
            std::mem::forget(guard);
            batch.into_iter().map(Ok).collect()
        }
        .boxed()
    });
    let opener = tokio::spawn(batcher.submit(Flow::default(), 0, 1));
    tokio::task::yield_now().await;
    let mut callers: Vec<_> = (1..=3)
        .map(|n| tokio::spawn(batcher.submit(Flow::default(), n, 1)))
        .collect();
    opener.await.unwrap().unwrap();
    assert_eq!(batcher.depth(), 0);
    for caller in callers.drain(..) {
        assert_eq!(cancelled.load(Ordering::SeqCst), 0);
        caller.abort();
        sleep(MS).await;
    }
    assert_eq!(cancelled.load(Ordering::SeqCst), 1);
    // The slot is free again.
    assert_eq!(batcher.submit(Flow::default(), 7, 1).await.unwrap().0, 7);
}

#[tokio::test(start_paused = true)]
async fn a_crash_or_a_wrong_number_of_answers_fails_that_batch_only() {
    let batcher = Batcher::new(settings(4, 10, 1), metrics(), |batch: Vec<u32>| {
        assert!(batch != [1], "at once");
        async move {
            sleep(WORK).await;
            assert!(!batch.contains(&2), "with {}", batch.len());
            batch.into_iter().filter(|n| *n != 4).map(Ok).collect()
        }
        .boxed()
    });
    let message = |answer: Result<_>| {
        let error = answer.map(|_| ()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::EngineFailure);
        error.message().to_owned()
    };
    let crash = message(batcher.submit(Flow::default(), 1, 1).await);
    assert_eq!(crash, "service `toy` crashed on a batch of 1: at once");

    let (first, two, three) = tokio::join!(
        batcher.submit(Flow::default(), 0, 1),
        batcher.submit(Flow::default(), 2, 1),
        batcher.submit(Flow::default(), 3, 1)
    );
    assert_eq!(first.unwrap().0, 0);
    let crash = "service `toy` crashed on a batch of 2: with 2";
    assert_eq!([message(two), message(three)], [crash, crash]);

    let wrong = message(batcher.submit(Flow::default(), 4, 1).await);
    assert_eq!(
        wrong,
        "service `toy` answered 0 results to a batch of 1, so none can be trusted"
    );
    assert_eq!(batcher.submit(Flow::default(), 5, 1).await.unwrap().0, 5);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_batcher_answers_what_runs_and_fails_what_waits() {
    let (_, engine) = doubler();
    let metrics = metrics();
    let batcher = Batcher::new(settings(3, 10, 1), metrics.clone(), engine);
    let runs = tokio::spawn(batcher.submit(Flow::default(), 1, 1));
    tokio::task::yield_now().await;
    let waits = tokio::spawn(batcher.submit(Flow::default(), 2, 1));
    tokio::task::yield_now().await;
    let late = batcher.submit(Flow::default(), 3, 1);
    drop(batcher);
    assert_eq!(runs.await.unwrap().unwrap().0, 2);
    for failed in [waits.await.unwrap(), late.await] {
        assert_eq!(failed.unwrap_err().code(), ErrorCode::Unavailable);
    }
    assert_eq!((metrics.depth.get(), metrics.abandoned.get()), (0, 0));
}

#[test]
fn a_runtime_that_shuts_down_leaves_no_caller_waiting() {
    let (_, engine) = doubler();
    let batcher = Batcher::new(settings(1, 100, 1), metrics(), engine);
    let mut callers: Vec<_> = (0..50)
        .map(|n| Box::pin(batcher.submit(Flow::default(), n, 1)))
        .collect();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    runtime().block_on(async {
        for caller in &mut callers {
            assert!(caller.as_mut().now_or_never().is_none());
        }
    });
    // Another runtime: the callers learn of it, and the queue works on.
    runtime().block_on(async {
        for caller in callers {
            assert_eq!(caller.await.unwrap_err().code(), ErrorCode::Unavailable);
        }
        let answer = timeout(MS * 60_000, batcher.submit(Flow::default(), 1, 1))
            .await
            .expect("a slot is free");
        assert_eq!(answer.unwrap().0, 2);
    });
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_nobody_polls_holds_up_nobody() {
    let batcher = Batcher::new(settings(1, 10, 1), metrics(), |batch: Vec<u32>| {
        async move {
            tokio::task::yield_now().await;
            batch.into_iter().map(Ok).collect()
        }
        .boxed()
    });
    let mut stalled = Box::pin(batcher.submit(Flow::default(), 1, 1));
    assert!(stalled.as_mut().now_or_never().is_none());
    let other = timeout(WORK, batcher.submit(Flow::default(), 2, 1))
        .await
        .expect("the slot is not held");
    assert_eq!(other.unwrap().0, 2);
    assert_eq!(stalled.await.unwrap().0, 1);
}

#[tokio::test]
async fn an_engine_that_never_waits_needs_no_task() {
    let batcher = Batcher::new(settings(8, 10, 1), metrics(), |batch: Vec<u32>| {
        async move { batch.into_iter().map(Ok).collect() }.boxed()
    });
    let answer = batcher
        .submit(Flow::default(), 5, 1)
        .now_or_never()
        .expect("answered on the first poll");
    assert_eq!(answer.unwrap().0, 5);
}

#[tokio::test(start_paused = true)]
async fn a_noisy_tenant_is_refused_and_a_quiet_one_is_served_soon() {
    let (_, engine) = doubler();
    let batcher = Batcher::new(settings(1, 30, 1), metrics(), engine);
    let tenant = |name: &str| Flow {
        key: Some(name.into()),
        ..Flow::default()
    };
    let noise: Vec<_> = (100..131)
        .map(|n| tokio::spawn(batcher.submit(tenant("noisy"), n, 1)))
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(batcher.depth(), 30);
    let start = Instant::now();
    let quiet = tokio::spawn(batcher.submit(tenant("quiet"), 77, 1));
    tokio::task::yield_now().await;
    let error = batcher.submit(tenant("noisy"), 99, 1).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Overloaded);
    assert!(error.retry_after().is_some());
    assert!(
        error
            .message()
            .contains("30 of your requests wait already, your share while others' wait too"),
        "{error}"
    );
    // What runs ends, and at most one of the noisy tenant's goes before it.
    assert_eq!(quiet.await.unwrap().unwrap().0, 154);
    assert!(start.elapsed() <= WORK * 3, "{:?}", start.elapsed());
    for (n, caller) in (100..).zip(noise) {
        assert_eq!(caller.await.unwrap().unwrap().0, n * 2);
    }
}
