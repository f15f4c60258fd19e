//! What is expensive to open is opened once and lives as long as somebody uses it.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use routir_core::{Error, Result};

/// Open things of any kind, by what they were opened with.
#[derive(Default)]
pub(crate) struct Shared {
    /// For each pair of kinds a [`Table`].
    tables: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
}

/// Places by key. A place is locked while its thing is opened, so that others wait for it.
type Table<K, T> = HashMap<K, Arc<Mutex<Weak<T>>>>;

impl Shared {
    /// The thing of `key`, opened by `open` unless somebody has it. Keys are what a configuration
    /// names, so their places are never given up.
    ///
    /// # Errors
    /// Those of `open`; the next call tries again.
    pub(crate) fn get<K, T>(&self, key: &K, open: impl FnOnce() -> Result<T>) -> Result<Arc<T>>
    where
        K: Clone + Eq + Hash + Send + 'static,
        T: Send + Sync + 'static,
    {
        let place = {
            let mut tables = self.tables.lock();
            let table = tables
                .entry(TypeId::of::<Table<K, T>>())
                .or_insert_with(|| Box::new(Table::<K, T>::new()));
            let table = table.downcast_mut::<Table<K, T>>();
            let table = table.ok_or_else(|| Error::internal("a table of another kind"))?;
            Arc::clone(table.entry(key.clone()).or_default())
        };
        let mut held = place.lock();
        if let Some(open) = held.upgrade() {
            return Ok(open);
        }
        let opened = Arc::new(open()?);
        *held = Arc::downgrade(&opened);
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_is_the_same_thing_while_somebody_has_it() {
        let shared = Shared::default();
        let one = shared.get(&"a", || Ok(1_u32)).unwrap();
        let same = shared.get(&"a", || Ok(2_u32)).unwrap();
        assert!(Arc::ptr_eq(&one, &same));
        let other_kind = shared.get(&"a", || Ok(3_u64)).unwrap();
        assert_eq!((*one, *other_kind), (1, 3));
        drop((one, same));
        assert_eq!(*shared.get(&"a", || Ok(4_u32)).unwrap(), 4);
    }

    #[test]
    fn what_does_not_open_is_tried_again() {
        let shared = Shared::default();
        let failing = shared.get(&1, || Err::<u32, _>(Error::engine("no")));
        assert!(failing.is_err());
        assert_eq!(*shared.get(&1, || Ok(5_u32)).unwrap(), 5);
    }

    #[test]
    fn threads_that_want_the_same_open_it_once() {
        let shared = Shared::default();
        let opened = std::sync::atomic::AtomicUsize::new(0);
        let all: Vec<Arc<usize>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let open = || Ok(opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
                        shared.get(&"model", open).unwrap()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(all.iter().all(|one| **one == 0));
    }
}
