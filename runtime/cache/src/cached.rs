//! A cache and single flight before one computation: what a service's callers go through.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use routir_core::{Answer, CacheMetrics, CallStats, Result};

use crate::{Cache, Flight, Key, MemoryCache, Stored};

/// Answers from the cache, from a computation in flight, or from a new one whose success is kept.
///
/// Without a cache, identical calls in flight still share one computation. Clones are one.
pub struct Cached<V> {
    store: Option<Arc<dyn Cache<V>>>,
    flight: Flight<Answer<V>>,
    metrics: CacheMetrics,
}

impl<V> Clone for Cached<V> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            flight: self.flight.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

impl<V: Clone + Send + Sync + 'static> Cached<V> {
    /// Before a cache, or before none.
    #[must_use]
    pub fn new(store: Option<Arc<dyn Cache<V>>>, metrics: CacheMetrics) -> Self {
        Self {
            store,
            flight: Flight::new(),
            metrics,
        }
    }

    /// Before a [`MemoryCache`] of its own.
    #[must_use]
    pub fn in_memory(capacity: NonZeroUsize, ttl: Option<Duration>, metrics: CacheMetrics) -> Self {
        Self::new(Some(Arc::new(MemoryCache::new(capacity, ttl))), metrics)
    }

    /// The answer to `key`.
    ///
    /// One from the cache keeps the time at which it was computed and says nothing of queue or
    /// engine, which it never met. One that was joined tells how the shared computation went.
    /// `compute` must not carry its caller's deadline (see [`Flight`]). It runs again for a call
    /// that looked into the cache just before an earlier computation stored its answer.
    ///
    /// # Errors
    /// The computation's own, shared by all who wait for it and never kept;
    /// [`routir_core::ErrorCode::Internal`] when it panics.
    pub async fn get_or_compute<F, Fut>(&self, key: Key, compute: F) -> Result<Answer<V>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Answer<V>>> + Send + 'static,
    {
        let Some(store) = &self.store else {
            let (computation, joined) = self.flight.join(key, compute);
            return self.finish(computation, joined).await;
        };
        if let Some(Stored { value, timestamp }) = store.get(&key).await {
            self.metrics.hits.inc();
            let stats = CallStats {
                cached: true,
                ..CallStats::default()
            };
            return Ok(Answer {
                value,
                timestamp,
                stats,
            });
        }
        let kept = (Arc::clone(store), key.clone());
        let (computation, joined) = self.flight.join(key, move || async move {
            let answer = compute().await?;
            let (store, key) = kept;
            let stored = Stored {
                value: answer.value.clone(),
                timestamp: answer.timestamp,
            };
            store.put(key, stored).await;
            Ok(answer)
        });
        if !joined {
            self.metrics.misses.inc();
        }
        self.finish(computation, joined).await
    }

    async fn finish(
        &self,
        computation: impl Future<Output = Result<Answer<V>>>,
        joined: bool,
    ) -> Result<Answer<V>> {
        if joined {
            self.metrics.joined.inc();
        }
        let mut answer = computation.await?;
        answer.stats.joined |= joined;
        Ok(answer)
    }
}
