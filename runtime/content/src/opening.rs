//! Archives and shards that are opened when they are first asked for: each by one caller, while the
//! others wait, and one that could not be opened not at once again.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use routir_core::{Error, Result};

use crate::failure::fault;

/// For how long a failure is the answer, unless the file changes.
const FAILED_FOR: Duration = Duration::from_secs(5);

/// How many failures are remembered.
const FAILED: u64 = 256;

/// What tells one state of a file from another at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    device: u64,
    inode: u64,
    size: u64,
    mtime: (i64, i64),
}

impl State {
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

/// What is open, by name.
pub(crate) struct Opened<T> {
    open: Cache<String, Arc<T>>,
    /// What could not be opened, in which state.
    failed: Cache<String, (Option<State>, Error)>,
}

impl<T> fmt::Debug for Opened<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Opened<T> {
    /// Of which at most `most` are held open.
    pub(crate) fn new(most: u64) -> Self {
        Self {
            open: Cache::new(most),
            failed: Cache::builder()
                .max_capacity(FAILED)
                .time_to_live(FAILED_FOR)
                .build(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<T>> {
        self.open.get(name)
    }

    pub(crate) fn insert(&self, name: String, opened: T) {
        self.open.insert(name, Arc::new(opened));
    }

    /// Forgets what is open.
    pub(crate) fn invalidate(&self, name: &str) {
        self.open.invalidate(name);
    }

    /// What is open under `name`, or what `open` makes of the file, which is in `state` now (`None`
    /// when it is not there). Blocking.
    ///
    /// # Errors
    /// Why it could not be opened, now or a moment ago: whoever asks for a document has no part in
    /// that, so it is never said to be the request's fault.
    pub(crate) fn get_or(
        &self,
        name: &str,
        state: Option<State>,
        open: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>> {
        let open = || {
            // Those who waited for one that failed do not try it one after the other.
            if let Some((failed, error)) = self.failed.get(name)
                && failed == state
            {
                return Err(error);
            }
            open().map(Arc::new).map_err(|error| {
                let error = fault(error);
                self.failed.insert(name.to_owned(), (state, error.clone()));
                error
            })
        };
        let opened = self.open.try_get_with(name.to_owned(), open);
        opened.map_err(|error: Arc<Error>| Error::clone(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use routir_core::ErrorCode;

    use super::*;

    #[test]
    fn what_could_not_be_opened_is_not_tried_again_until_it_changes() {
        let opened = Opened::<u32>::new(4);
        let state = |size| {
            Some(State {
                device: 1,
                inode: 1,
                size,
                mtime: (0, 0),
            })
        };
        let tries = AtomicUsize::new(0);
        let fails = || {
            tries.fetch_add(1, Ordering::SeqCst);
            Err(Error::invalid("no archive"))
        };
        for _ in 0..5 {
            let error = opened.get_or("a", state(7), fails).unwrap_err();
            assert_eq!(error.code(), ErrorCode::EngineFailure);
        }
        assert_eq!(tries.load(Ordering::SeqCst), 1);
        assert!(opened.get_or("b", state(7), fails).is_err());
        assert_eq!(tries.load(Ordering::SeqCst), 2);
        assert_eq!(*opened.get_or("a", state(8), || Ok(3)).unwrap(), 3);
        assert_eq!(*opened.get_or("a", state(8), fails).unwrap(), 3);
        assert_eq!(tries.load(Ordering::SeqCst), 2);
    }
}
