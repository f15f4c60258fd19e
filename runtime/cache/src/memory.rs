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

/// Says how many bytes a value has.
type Size<V> = fn(&V) -> usize;

/// Entries are weighed in kilobytes, since a weight has 32 bits.
const GRAIN: u32 = 10;

/// Keeps the entries that were used last, each for a limited time.
#[derive(Clone, Debug)]
pub struct MemoryCache<V: Clone + Send + Sync + 'static> {
    entries: sync::Cache<Key, Stored<V>>,
    /// The size of an entry and the largest that is kept.
    fits: Option<(Size<V>, u64)>,
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
            fits: None,
        }
    }

    /// As [`MemoryCache::new`], bounded by `max_bytes` besides: `size` says how many an entry has. One
    /// that has more than an eighth of that is not kept.
    #[must_use]
    pub fn weighing(
        capacity: NonZeroUsize,
        max_bytes: u64,
        ttl: Option<Duration>,
        size: Size<V>,
    ) -> Self {
        // One bound for both: an entry weighs its share of the room at least.
        let share = (max_bytes / capacity.get() as u64).max(1);
        let mut entries = sync::Cache::builder()
            .max_capacity(max_bytes >> GRAIN)
            .weigher(move |_: &Key, stored: &Stored<V>| {
                let bytes = (size(&stored.value) as u64).max(share);
                u32::try_from(bytes.div_ceil(1 << GRAIN)).unwrap_or(u32::MAX)
            })
            .eviction_policy(EvictionPolicy::lru());
        if let Some(ttl) = ttl {
            entries = entries.time_to_live(ttl.min(LONGEST));
        }
        Self {
            entries: entries.build(),
            fits: Some((size, max_bytes / 8)),
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
        let fits = |(size, most): (Size<V>, u64)| size(&stored.value) as u64 <= most;
        if self.fits.is_none_or(fits) {
            self.entries.insert(key, stored);
        }
        Box::pin(ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &MemoryCache<Vec<u8>>, name: &str, size: usize) {
        let key = Key::builder("test").text("name", name).build();
        let stored = Stored {
            value: vec![0; size],
            timestamp: 0.0,
        };
        futures_util::FutureExt::now_or_never(cache.put(key, stored)).unwrap();
    }

    #[test]
    fn what_is_weighed_is_bounded_by_bytes_and_by_number() {
        let entries = NonZeroUsize::new(4).unwrap();
        let cache = MemoryCache::weighing(entries, 1 << 20, None, Vec::len);
        put(&cache, "more than an eighth", (1 << 17) + 1);
        assert_eq!(cache.len(), 0);
        for name in 0..20 {
            put(&cache, &name.to_string(), 10);
        }
        assert!((1..=4).contains(&cache.len()), "{}", cache.len());
        let entries = NonZeroUsize::new(1000).unwrap();
        let cache = MemoryCache::weighing(entries, 1 << 20, None, Vec::len);
        for name in 0..40 {
            put(&cache, &name.to_string(), 1 << 17);
        }
        assert!((1..=8).contains(&cache.len()), "{}", cache.len());
    }
}
