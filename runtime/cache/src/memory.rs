//! A cache in this process's memory.

use std::future::ready;
use std::num::NonZeroUsize;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync;
use routir_core::BoxFuture;

use crate::{Cache, Key, Stored};

/// Longer than any process lives; the library refuses to hear of more than a thousand years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Keeps the entries that were used last, each for a limited time.
#[derive(Clone, Debug)]
pub struct MemoryCache<V: Clone + Send + Sync + 'static> {
    entries: sync::Cache<Key, Stored<V>>,
}

impl<V: Clone + Send + Sync + 'static> MemoryCache<V> {
    /// A cache of `capacity` entries, each kept for `ttl` after it was stored; `None` is for as
    /// long as there is room. What was used least recently makes room. The bound is enforced with
    /// a short delay: bursts of new entries may exceed it by some hundreds for a moment.
    #[must_use]
    pub fn new(capacity: NonZeroUsize, ttl: Option<Duration>) -> Self {
        let mut entries = sync::Cache::builder()
            .max_capacity(capacity.get() as u64)
            .eviction_policy(EvictionPolicy::lru());
        if let Some(ttl) = ttl {
            entries = entries.time_to_live(ttl.min(LONGEST));
        }
        Self {
            entries: entries.build(),
        }
    }

    /// How many entries are kept, once what has expired or is over the bound is gone.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.run_pending_tasks();
        usize::try_from(self.entries.entry_count()).unwrap_or(usize::MAX)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<V: Clone + Send + Sync + 'static> Cache<V> for MemoryCache<V> {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Option<Stored<V>>> {
        Box::pin(ready(self.entries.get(key)))
    }

    fn put(&self, key: Key, stored: Stored<V>) -> BoxFuture<'_, ()> {
        self.entries.insert(key, stored);
        Box::pin(ready(()))
    }
}
