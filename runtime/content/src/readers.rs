//! How many look-ups read at once: there are 512 threads for everything that blocks, and whoever waits
//! for an archive that is being indexed holds one.

use std::sync::Arc;

use routir_core::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// So many of one collection.
pub(crate) const READERS: usize = 64;

/// So many of all.
const ALL_READERS: usize = 256;

static ALL: Semaphore = Semaphore::const_new(ALL_READERS);

/// The places of one collection.
pub(crate) struct Readers(Arc<Semaphore>);

/// A place, to be held for as long as the reading goes on, also after its caller left.
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    _of_all: SemaphorePermit<'static>,
}

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READERS)))
    }
}

impl Readers {
    /// A place, when there is one.
    ///
    /// # Errors
    /// Never, as long as nobody closes the semaphores.
    pub(crate) async fn place(&self) -> Result<Place> {
        let gone = |_| Error::internal("the places of readers were taken away");
        let own = Arc::clone(&self.0).acquire_owned().await.map_err(gone)?;
        let of_all = ALL.acquire().await.map_err(gone)?;
        Ok(Place {
            _own: own,
            _of_all: of_all,
        })
    }
}
