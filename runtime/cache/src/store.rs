//! What a cache is, wherever it keeps its entries.

use routir_core::BoxFuture;

use crate::Key;

/// A value that a cache keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<V> {
    /// The value; cheap to clone.
    pub value: V,
    /// When it was computed, in seconds since the Unix epoch.
    pub timestamp: f64,
}

/// Keeps values by key for a while.
///
/// A cache is never a reason to fail: one that cannot be reached finds nothing and keeps nothing.
/// Both methods are asynchronous for caches behind a network; to one in memory the box is about
/// 20 nanoseconds.
pub trait Cache<V>: Send + Sync {
    /// The value of `key`, if it is kept and has not expired.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Option<Stored<V>>>;

    /// Keeps a value, in place of any older one.
    fn put(&self, key: Key, stored: Stored<V>) -> BoxFuture<'_, ()>;
}
