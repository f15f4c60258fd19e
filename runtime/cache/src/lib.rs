//! Answers that are kept, and calls that share one computation.
//!
//! Guards: a key says everything that an answer depends on and two different keys are never taken
//! for one another; errors are never kept; a kept answer keeps the time of its computation;
//! identical calls in flight run once, for as long as anybody waits and no longer; a Redis that is
//! down, slow or lying is never a reason to fail, to wait or to answer wrong. Must never know: what
//! a value is (but for [`codecs`], which write some down), services, pipelines.

mod backing;
mod cached;
mod codec;
pub mod codecs;
mod flight;
mod key;
mod memory;
mod redis;
mod store;

pub use self::redis::{RedisCache, RedisClient, RedisProblem, RedisSettings, RedisSpace};
pub use backing::Backing;
pub use cached::Cached;
pub use codec::{Codec, Reader, Writer};
pub use flight::Flight;
pub use key::{Key, KeyBuilder, digest, write_canonical};
pub use memory::MemoryCache;
pub use store::{Cache, Stored};
