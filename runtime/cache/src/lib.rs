//! Answers that are kept, and calls that share one computation.
//!
//! Guards: a key says everything that an answer depends on and two different keys are never taken
//! for one another; errors are never kept; a kept answer keeps the time of its computation;
//! identical calls in flight run once, for as long as anybody waits and no longer. Must never
//! know: what a value is, services, pipelines.

mod cached;
mod flight;
mod key;
mod memory;
mod store;

pub use cached::Cached;
pub use flight::Flight;
pub use key::{Key, KeyBuilder, write_canonical};
pub use memory::MemoryCache;
pub use store::{Cache, Stored};
