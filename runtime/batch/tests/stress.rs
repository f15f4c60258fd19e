//! Many callers on many threads, some of whom leave: nobody is lost, mixed up or answered twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use routir_batch::{BatchSettings, Batcher, Flow, Policy};
use routir_core::{ErrorCode, Metrics};
use tokio::task::{JoinSet, yield_now};

const CALLERS: u64 = 200;
const CALLS: u64 = 50;

/// Spreads numbers; the same run every time, as far as threads allow.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

async fn stress(concurrency: usize, capacity: usize) {
    let metrics = Metrics::default().queue("toy", "search");
    let asked = Arc::new(AtomicU64::new(0));
    let in_flight = Arc::new(AtomicUsize::new(0));
    let policy = Policy {
        max_requests: 8,
        max_tokens: Some(20),
        max_wait: Duration::from_micros(200),
    };
    let settings = BatchSettings {
        name: "toy".into(),
        policy,
        capacity,
        concurrency,
    };
    let engine = {
        let (asked, in_flight) = (Arc::clone(&asked), Arc::clone(&in_flight));
        move |batch: Vec<u64>| {
            let (asked, in_flight) = (Arc::clone(&asked), InFlight::enter(&in_flight, concurrency));
            async move {
                let _in_flight = in_flight;
                assert!(batch.len() <= 8);
                asked.fetch_add(batch.len() as u64, Ordering::SeqCst);
                for _ in 0..mix(batch[0]) % 4 {
                    yield_now().await;
                }
                assert!(!mix(batch[0]).is_multiple_of(97), "a crash now and then");
                batch.into_iter().map(|n| Ok(n * 3)).collect()
            }
            .boxed()
        }
    };
    let batcher = Arc::new(Batcher::new(settings, metrics.clone(), engine));

    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let batcher = Arc::clone(&batcher);
        callers.spawn(async move {
            let (mut refused, mut left) = (0, 0);
            for call in 0..CALLS {
                let n = caller * CALLS + call;
                let answer = batcher.submit(Flow::default(), n, (mix(n + 1) % 30) as usize);
                // Some leave after having been polled a few times.
                let patience = mix(n + 2) % 8;
                let answer = if patience < 4 {
                    let mut answer = Box::pin(answer);
                    let mut answered = None;
                    for _ in 0..patience {
                        answered = answer.as_mut().now_or_never();
                        if answered.is_some() {
                            break;
                        }
                        yield_now().await;
                    }
                    answered
                } else {
                    Some(answer.await)
                };
                match answer {
                    None => left += 1,
                    Some(Ok((value, stats))) => {
                        assert_eq!(value, n * 3);
                        assert!((1..=8).contains(&stats.batch_size));
                    }
                    Some(Err(error)) if error.code() == ErrorCode::Overloaded => refused += 1,
                    Some(Err(error)) => assert_eq!(error.code(), ErrorCode::EngineFailure),
                }
            }
            (refused, left)
        });
    }
    let mut refused = 0;
    let mut left = 0;
    while let Some(done) = callers.join_next().await {
        let (more_refused, more_left) = done.unwrap();
        refused += more_refused;
        left += more_left;
    }
    // Batches that everybody left end by themselves.
    while in_flight.load(Ordering::SeqCst) > 0 || batcher.depth() > 0 {
        yield_now().await;
    }
    assert_eq!(metrics.refused.get(), refused);
    assert_eq!(metrics.depth.get(), 0);
    // Of all calls, each was refused, taken out while it waited, asked of the engine, or never
    // polled at all.
    let known = refused + metrics.abandoned.get() + asked.load(Ordering::SeqCst);
    assert!(
        known <= CALLERS * CALLS && known + left >= CALLERS * CALLS,
        "{known} {left}"
    );
    // The batcher still works.
    assert_eq!(batcher.submit(Flow::default(), 2, 1).await.unwrap().0, 6);
}

/// Checks that no more batches run than there are slots.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn enter(count: &Arc<AtomicUsize>, most: usize) -> Self {
        assert!(
            count.fetch_add(1, Ordering::SeqCst) < most,
            "more batches than slots"
        );
        Self(Arc::clone(count))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_come_and_go_with_one_slot() {
    stress(1, 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_come_and_go_with_three_slots_and_a_short_queue() {
    stress(3, 16).await;
}
