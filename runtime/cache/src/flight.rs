//! Single flight: identical calls in flight share one computation.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use parking_lot::Mutex;
use routir_core::{BoxFuture, Error, Result};

use crate::Key;

/// Computations in flight, by key. Clones share them.
///
/// The callers that wait for a computation drive it together. It runs for as long as one of them
/// does and is dropped with the last; that the first one leaves means nothing to the others. Its
/// result, an error too, goes to all that wait and to nobody later.
///
/// A computation must not carry the deadline of the caller that happened to start it, since others
/// with more time may have joined: put deadlines around [`Flight::run`], not inside.
pub struct Flight<V> {
    calls: Arc<Calls<V>>,
}

type Computation<V> = BoxFuture<'static, Result<V>>;

struct Calls<V>(Mutex<HashMap<Key, Call<V>>>);

struct Call<V> {
    computation: WeakShared<Computation<V>>,
    /// Told apart from a later computation under the same key.
    token: Arc<()>,
}

impl<V> Clone for Flight<V> {
    fn clone(&self) -> Self {
        Self {
            calls: Arc::clone(&self.calls),
        }
    }
}

impl<V: Clone + Send + Sync + 'static> Default for Flight<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Clone + Send + Sync + 'static> Flight<V> {
    /// Nothing in flight.
    #[must_use]
    pub fn new() -> Self {
        Self {
            calls: Arc::new(Calls(Mutex::new(HashMap::new()))),
        }
    }

    /// The result of the computation of `key` in flight, or else of `compute`; and whether one was
    /// joined.
    ///
    /// # Errors
    /// The computation's own; [`routir_core::ErrorCode::Internal`] when it panics.
    pub async fn run<F, Fut>(&self, key: Key, compute: F) -> Result<(V, bool)>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V>> + Send + 'static,
    {
        let (computation, joined) = self.join(key, compute);
        Ok((computation.await?, joined))
    }

    /// How many computations are in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calls.0.lock().len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The computation of `key` in flight, or else a new one of `compute`; and whether one was
    /// joined. Runs nothing yet.
    pub(crate) fn join<F, Fut>(&self, key: Key, compute: F) -> (Shared<Computation<V>>, bool)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V>> + Send + 'static,
    {
        let mut calls = self.calls.0.lock();
        if let Some(computation) = calls.get(&key).and_then(|call| call.computation.upgrade()) {
            return (computation, true);
        }
        let token = Arc::new(());
        let entry = Entry {
            calls: Arc::clone(&self.calls),
            key: key.clone(),
            token: Arc::clone(&token),
        };
        let computation = async move {
            // Gone with this future, whether it ends or is dropped.
            let _entry = entry;
            AssertUnwindSafe(async { compute().await })
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(Error::internal("the computation of an answer crashed")))
        };
        let computation = computation.boxed().shared();
        if let Some(weak) = computation.downgrade() {
            calls.insert(
                key,
                Call {
                    computation: weak,
                    token,
                },
            );
        }
        (computation, false)
    }
}

/// A computation's entry among the calls in flight, removed when this is dropped.
struct Entry<V> {
    calls: Arc<Calls<V>>,
    key: Key,
    token: Arc<()>,
}

impl<V> Drop for Entry<V> {
    fn drop(&mut self) {
        let mut calls = self.calls.0.lock();
        if calls
            .get(&self.key)
            .is_some_and(|call| Arc::ptr_eq(&call.token, &self.token))
        {
            calls.remove(&self.key);
        }
    }
}
