//! Cache and single flight together.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use routir_cache::{Cache, Cached, Key, MemoryCache, Stored};
use routir_core::{Answer, CacheMetrics, CallStats, Error, Metrics, Result};
use tokio::sync::Semaphore;

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

fn key(name: &str) -> Key {
    Key::builder(name).build()
}

fn capacity(entries: usize) -> NonZeroUsize {
    NonZeroUsize::new(entries).unwrap()
}

fn counts(metrics: &CacheMetrics) -> [u64; 3] {
    [
        metrics.hits.get(),
        metrics.misses.get(),
        metrics.joined.get(),
    ]
}

/// Counts how often it is asked; computes at second 17 of the epoch, once its gate is open.
#[derive(Clone)]
struct Source {
    asked: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Source {
    fn new(open: bool) -> Self {
        let gate = Semaphore::new(usize::from(open));
        Self {
            asked: Arc::default(),
            gate: Arc::new(gate),
        }
    }

    fn open(&self) {
        self.gate.add_permits(1);
    }

    async fn answer(self) -> Result<Answer<usize>> {
        let value = self.asked.fetch_add(1, Ordering::SeqCst);
        let _open = self.gate.acquire().await;
        let stats = CallStats {
            queued: Duration::from_secs(1),
            service: Duration::from_secs(2),
            batch_size: 3,
            ..CallStats::default()
        };
        Ok(Answer {
            value,
            timestamp: 17.0,
            stats,
        })
    }

    async fn ask(&self, cached: &Cached<usize>, name: &str) -> Answer<usize> {
        let source = self.clone();
        cached
            .get_or_compute(key(name), || source.answer())
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_hit_says_so_and_keeps_the_first_answers_time() {
    let metrics = Metrics::default().cache("toy");
    let cached = Cached::in_memory(capacity(8), HOUR, metrics.clone());
    let source = Source::new(true);
    let first = source.ask(&cached, "a").await;
    assert_eq!(
        (first.value, first.stats.cached, first.stats.batch_size),
        (0, false, 3)
    );
    let again = source.ask(&cached, "a").await;
    assert_eq!((again.value, again.timestamp), (0, 17.0));
    assert_eq!(
        again.stats,
        CallStats {
            cached: true,
            ..CallStats::default()
        }
    );
    assert_eq!(source.ask(&cached, "b").await.value, 1);
    assert_eq!(counts(&metrics), [1, 2, 0]);
}

#[tokio::test]
async fn calls_in_flight_are_joined_with_and_without_a_cache() {
    let (with, without) = (
        Metrics::default().cache("with"),
        Metrics::default().cache("without"),
    );
    for (cached, metrics, expected) in [
        (
            Cached::in_memory(capacity(8), HOUR, with.clone()),
            with,
            [1, 1, 2],
        ),
        (Cached::new(None, without.clone()), without, [0, 0, 2]),
    ] {
        let source = Source::new(false);
        let ask = || source.ask(&cached, "a");
        let (a, b, c, ()) = tokio::join!(ask(), ask(), ask(), async { source.open() });
        assert_eq!([a.value, b.value, c.value], [0; 3]);
        assert_eq!(
            [a.stats.joined, b.stats.joined, c.stats.joined],
            [false, true, true]
        );
        assert_eq!((b.stats.batch_size, b.stats.cached), (3, false));
        let later = source.ask(&cached, "a").await;
        assert_eq!(later.stats.cached, expected[0] == 1);
        assert_eq!(
            source.asked.load(Ordering::SeqCst),
            2 - expected[0] as usize
        );
        assert_eq!(counts(&metrics), expected);
    }
}

#[tokio::test]
async fn an_error_is_never_kept() {
    let cached = Cached::in_memory(capacity(8), HOUR, Metrics::default().cache("toy"));
    let failed = cached
        .get_or_compute(key("a"), || async { Err(Error::engine("broken")) })
        .await;
    assert_eq!(failed.unwrap_err().message(), "broken");
    let answer = Source::new(true).ask(&cached, "a").await;
    assert!(!answer.stats.cached && !answer.stats.joined);
}

#[tokio::test]
async fn an_answer_that_nobody_waited_for_is_not_kept() {
    let cached = Cached::in_memory(capacity(8), HOUR, Metrics::default().cache("toy"));
    let source = Source::new(false);
    {
        let mut call = Box::pin(source.ask(&cached, "a"));
        assert!(call.as_mut().now_or_never().is_none());
    }
    source.open();
    assert!(!source.ask(&cached, "a").await.stats.cached);
}

#[tokio::test]
async fn entries_expire() {
    let cached = Cached::in_memory(
        capacity(8),
        Some(Duration::from_millis(20)),
        Metrics::default().cache("toy"),
    );
    let source = Source::new(true);
    source.ask(&cached, "a").await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    let later = source.ask(&cached, "a").await;
    assert_eq!((later.value, later.stats.cached), (1, false));
}

#[tokio::test]
async fn the_least_recently_used_entry_makes_room() {
    let cache = MemoryCache::new(capacity(3), None);
    assert!(cache.is_empty());
    let put = |name: &str, value| {
        cache.put(
            key(name),
            Stored {
                value,
                timestamp: 0.0,
            },
        )
    };
    for (name, value) in [("a", 1), ("b", 2), ("c", 3)] {
        put(name, value).await;
    }
    assert_eq!(cache.len(), 3);
    assert!(cache.get(&key("a")).await.is_some());
    assert_eq!(cache.len(), 3);
    put("d", 4).await;
    assert_eq!(cache.len(), 3);
    let mut kept = Vec::new();
    for name in ["a", "b", "c", "d"] {
        kept.extend(cache.get(&key(name)).await.map(|stored| stored.value));
    }
    assert_eq!(kept, [1, 3, 4]);
}

#[test]
fn the_bound_holds_against_a_flood_and_any_ttl_is_accepted() {
    let cache = MemoryCache::new(capacity(100), Some(Duration::MAX));
    for n in 0..20_000_usize {
        let key = Key::builder("n").count("n", n).build();
        drop(cache.put(
            key,
            Stored {
                value: n,
                timestamp: 0.0,
            },
        ));
    }
    assert_eq!(cache.len(), 100);
}
