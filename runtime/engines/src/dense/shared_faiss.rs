//! FAISS and the indices that it has open: each once, however many services search it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use routir_content::IdLabels;
use routir_core::Result;
use routir_device::{Device, Element};
use routir_index::faiss::{DenseIndex, Faiss, OpenOptions};

use super::resident;

/// What an index is opened from, and how. Two equal ones are one index in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct IndexFiles {
    /// The folder with `index.faiss` and `index.ids`.
    pub(super) folder: PathBuf,
    /// Which subset each document belongs to.
    pub(super) subsets: Option<PathBuf>,
    /// Whether vectors stay on disk.
    pub(super) mmap: bool,
    /// On which device they lie, as what; `None` is in memory, or on disk.
    pub(super) place: Option<(usize, Option<Element>)>,
}

/// FAISS, loaded for the first index, and indices that are open.
pub struct SharedFaiss {
    folder: Option<PathBuf>,
    library: Mutex<Option<Arc<Faiss>>>,
    indices: Mutex<HashMap<IndexFiles, Weak<DenseIndex>>>,
}

impl SharedFaiss {
    /// FAISS in `folder`; `None` looks where an installation puts it. Loads nothing yet.
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            library: Mutex::default(),
            indices: Mutex::default(),
        }
    }

    /// FAISS.
    ///
    /// # Errors
    /// As [`Faiss::load`].
    pub(crate) fn library(&self) -> Result<Arc<Faiss>> {
        let mut library = self.library.lock();
        if let Some(library) = &*library {
            return Ok(Arc::clone(library));
        }
        let loaded = Faiss::load(self.folder.as_deref())?;
        *library = Some(Arc::clone(&loaded));
        Ok(loaded)
    }

    /// The index of `files`; on `device`, if that is what they say.
    ///
    /// # Errors
    /// When FAISS, the index or its subsets do not open, or the device cannot take it.
    pub(super) fn index(
        &self,
        files: &IndexFiles,
        device: Option<&Arc<Device>>,
    ) -> Result<Arc<DenseIndex>> {
        let mut indices = self.indices.lock();
        if let Some(index) = indices.get(files).and_then(Weak::upgrade) {
            return Ok(index);
        }
        let labels = files.subsets.as_deref().map(IdLabels::open).transpose()?;
        let subset = labels
            .as_ref()
            .map(|labels| |id: &str| labels.get(id).cloned());
        let options = OpenOptions {
            mmap: files.mmap,
            subsets: subset.as_ref().map(|subset| subset as _),
            threads: 1,
        };
        let index = match device {
            None => DenseIndex::open(&self.library()?, &files.folder, options)?,
            Some(device) => {
                let element = files.place.and_then(|(_, element)| element);
                DenseIndex::open_with(&files.folder, options, |path| {
                    resident::open(device, path, element)
                })?
            }
        };
        let index = Arc::new(index);
        indices.insert(files.clone(), Arc::downgrade(&index));
        Ok(index)
    }
}
