//! The cache over the client: keys, values, counts.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use routir_core::BoxFuture;

use super::client::{MAX_VALUE, RedisClient, Trouble};
use super::envelope::{FORMAT, Identity, identity, seal, unseal};
use crate::{Cache, Codec, Key, Stored};

/// A part of a Redis for the answers of one service, or of whatever else.
///
/// Who shares a Redis shares answers if and only if their `identity` is equal: it must say
/// everything about the service that its answers depend on and that keys do not say.
#[derive(Clone)]
pub struct RedisSpace {
    /// The Redis.
    pub client: RedisClient,
    /// Whose answers these are.
    pub identity: Arc<str>,
    /// How long one is kept.
    pub ttl: Duration,
}

impl fmt::Debug for RedisSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSpace")
            .field("identity", &self.identity)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// A cache in a Redis, shared with all who have the same space of the same Redis.
///
/// Never fails and never stalls: see [`RedisClient`]. A value that is larger than 1 MiB is not kept.
/// Keeping one happens in the background.
pub struct RedisCache<V, C> {
    space: RedisSpace,
    codec: Arc<C>,
    value: PhantomData<fn() -> V>,
}

impl<V, C: Codec<V>> RedisCache<V, C> {
    /// The values in `space` that `codec` writes.
    #[must_use]
    pub fn new(space: RedisSpace, codec: C) -> Self {
        Self {
            space,
            codec: Arc::new(codec),
            value: PhantomData,
        }
    }

    /// What `key` stands for here, and its name in Redis: the prefix, the form of values, a hash.
    fn place(&self, key: &Key) -> (Identity, String) {
        let identity = identity(&[self.codec.kind(), &self.space.identity, key.as_str()]);
        let format = String::from_utf8_lossy(FORMAT);
        let mut name = format!("{}{format}:", self.space.client.prefix());
        for byte in identity {
            name.push_str(&format!("{byte:02x}"));
        }
        (identity, name)
    }
}

impl<V, C> Cache<V> for RedisCache<V, C>
where
    V: Clone + Send + Sync + 'static,
    C: Codec<V>,
{
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Option<Stored<V>>> {
        Box::pin(async move {
            let client = &self.space.client;
            let metrics = client.metrics();
            if !client.is_connected() {
                metrics.get_unreachable.inc();
                return None;
            }
            let (identity, name) = self.place(key);
            let counter = match client.get(&name).await {
                Ok(bytes) if bytes.is_empty() => &metrics.get_miss,
                Ok(bytes) if bytes.len() > MAX_VALUE => &metrics.get_corrupt,
                Ok(bytes) => match unseal(&identity, &bytes, &*self.codec) {
                    Some(stored) => {
                        metrics.get_hit.inc();
                        return Some(stored);
                    }
                    None => &metrics.get_corrupt,
                },
                Err(Trouble::Unreachable) => &metrics.get_unreachable,
                Err(Trouble::Timeout) => &metrics.get_timeout,
                Err(Trouble::Error) => &metrics.get_error,
            };
            counter.inc();
            None
        })
    }

    fn put(&self, key: Key, stored: Stored<V>) -> BoxFuture<'_, ()> {
        let (identity, name) = self.place(&key);
        let (codec, ttl) = (Arc::clone(&self.codec), self.space.ttl);
        self.space.client.later(move || {
            let sealed = seal(&identity, &stored, &*codec);
            (sealed.len() <= MAX_VALUE).then_some((name, sealed, ttl))
        });
        Box::pin(std::future::ready(()))
    }
}
