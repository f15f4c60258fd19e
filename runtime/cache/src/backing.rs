//! Where a cache keeps its entries, before it is said of what.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::redis::RedisSpace;
use crate::{Cache, Codec, MemoryCache, RedisCache};

/// Where a cache keeps its entries, how many and for how long.
#[derive(Clone, Debug)]
pub enum Backing {
    /// In this process.
    Memory {
        /// How many.
        capacity: NonZeroUsize,
        /// For how long.
        ttl: Duration,
    },
    /// In a Redis, which bounds its memory itself.
    Redis(RedisSpace),
}

impl Backing {
    /// A cache of values that `codec` can write.
    #[must_use]
    pub fn open<V, C>(&self, codec: C) -> Arc<dyn Cache<V>>
    where
        V: Clone + Send + Sync + 'static,
        C: Codec<V>,
    {
        match self {
            Self::Memory { capacity, ttl } => Arc::new(MemoryCache::new(*capacity, Some(*ttl))),
            Self::Redis(space) => Arc::new(RedisCache::new(space.clone(), codec)),
        }
    }

    /// As [`Backing::open`], for values that may be large: in this process at most `max_bytes` of them
    /// are kept, by their `size`.
    #[must_use]
    pub fn open_weighing<V, C>(
        &self,
        codec: C,
        max_bytes: u64,
        size: fn(&V) -> usize,
    ) -> Arc<dyn Cache<V>>
    where
        V: Clone + Send + Sync + 'static,
        C: Codec<V>,
    {
        match self {
            Self::Memory { capacity, ttl } => {
                let ttl = Some(*ttl);
                Arc::new(MemoryCache::weighing(*capacity, max_bytes, ttl, size))
            }
            Self::Redis(_) => self.open(codec),
        }
    }

    /// Whether other processes see the entries, so that keys may say nothing that only this one
    /// understands.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Redis(_))
    }
}
