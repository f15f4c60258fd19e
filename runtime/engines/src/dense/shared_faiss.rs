//! FAISS and the indices that it has open: each once, however many services search it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use routir_content::IdLabels;
use routir_core::Result;
use routir_device::{Device, Element};
use routir_index::faiss::{DenseIndex, Faiss, OpenOptions};

use super::{by_faiss, resident};
use crate::index_place::Held;

/// What an index is opened from, and how. Two equal ones are one index in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct IndexFiles {
    /// The folder with `index.faiss` and `index.ids`.
    pub(super) folder: PathBuf,
    /// Which subset each document belongs to.
    pub(super) subsets: Option<PathBuf>,
    /// Whether vectors stay on disk.
    pub(super) mmap: bool,
    /// On which devices they lie; `None` is in memory, or on disk.
    pub(super) place: Option<OnDevices>,
}

/// How vectors lie on devices.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct OnDevices {
    /// The devices.
    pub(super) numbers: Vec<usize>,
    /// As what; `None` is as the file has them.
    pub(super) element: Option<Element>,
    /// Who searches them.
    pub(super) library: Library,
}

/// What searches vectors on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Library {
    /// The device room's kernels.
    #[default]
    Own,
    /// FAISS's own indices for GPUs.
    Faiss,
}

/// FAISS, loaded for the first index, and indices that are open.
pub struct SharedFaiss {
    folder: Option<PathBuf>,
    library: Mutex<Option<Arc<Faiss>>>,
    /// The one that was built with CUDA, which need not be the same.
    for_gpus: Mutex<Option<Arc<Faiss>>>,
    indices: Mutex<HashMap<IndexFiles, Held<Weak<DenseIndex>>>>,
}

impl SharedFaiss {
    /// FAISS in `folder`; `None` looks where an installation puts it. Loads nothing yet.
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            library: Mutex::default(),
            for_gpus: Mutex::default(),
            indices: Mutex::default(),
        }
    }

    /// FAISS.
    ///
    /// # Errors
    /// As [`Faiss::load`].
    pub(crate) fn library(&self) -> Result<Arc<Faiss>> {
        once(&self.library, || Faiss::load(self.folder.as_deref()))
    }

    /// FAISS with its indices for GPUs.
    ///
    /// # Errors
    /// As [`Faiss::load_for_gpus`].
    pub(super) fn for_gpus(&self) -> Result<Arc<Faiss>> {
        once(&self.for_gpus, || {
            Faiss::load_for_gpus(self.folder.as_deref())
        })
    }

    /// The index of `files`, on `devices` if there are any, and those of them that have a part of it.
    ///
    /// # Errors
    /// When FAISS, the index or its subsets do not open, or the devices cannot take it.
    pub(super) fn index(
        &self,
        files: &IndexFiles,
        devices: &[Arc<Device>],
    ) -> Result<Held<Arc<DenseIndex>>> {
        let mut indices = self.indices.lock();
        if let Some((index, on)) = indices.get(files)
            && let Some(index) = index.upgrade()
        {
            return Ok((index, on.clone()));
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
        let mut on = Vec::new();
        let index = match &files.place {
            None => DenseIndex::open(&self.library()?, &files.folder, options)?,
            Some(place) => DenseIndex::open_with(&files.folder, options, |path| {
                let (nearest, parts) = match place.library {
                    Library::Own => resident::open(devices, path, place.element)?,
                    Library::Faiss => by_faiss::open(&self.for_gpus()?, place, devices, path)?,
                };
                on = parts;
                Ok(nearest)
            })?,
        };
        let index = Arc::new(index);
        indices.insert(files.clone(), (Arc::downgrade(&index), on.clone()));
        Ok((index, on))
    }
}

/// What `library` holds, loaded if it holds nothing yet.
fn once(
    library: &Mutex<Option<Arc<Faiss>>>,
    load: impl FnOnce() -> Result<Arc<Faiss>>,
) -> Result<Arc<Faiss>> {
    let mut library = library.lock();
    if let Some(library) = &*library {
        return Ok(Arc::clone(library));
    }
    let loaded = load()?;
    *library = Some(Arc::clone(&loaded));
    Ok(loaded)
}
