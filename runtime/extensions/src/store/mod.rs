//! Published components of tenants on disk, so that they come back when the server starts anew.
//!
//! In `<state directory>/tenants/<tenant>/`: `<name>.json`, a small record per extension, replaced as
//! a whole (written aside, synced, renamed), and `components/<sha256>.wasm`, files that are never
//! changed. A record is written after the components that it names and a component is removed after
//! the records that name it, so that at each moment every record can be read with all that it needs.

mod components;
mod disk;
mod record;
mod records;

pub(crate) use disk::{Disk, LocalDisk};
pub(crate) use record::{FileOrigin, Record, Source, Version, sha256};

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use routir_core::{Error, ErrorCode, Result};

/// The store. All of it blocks.
pub(crate) struct Store {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// Components that must stay though no record names them yet, by tenant and hash.
    pins: Arc<Mutex<HashMap<(String, String), usize>>>,
    temporary: AtomicU64,
    /// Held as long as the store is open.
    _lock: File,
}

impl Store {
    /// Opens the store in `state_dir`, making it if it is not there.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when another server has it open, [`ErrorCode::Internal`] when it
    /// cannot be made.
    pub(crate) fn open(state_dir: &Path, disk: Arc<dyn Disk>) -> Result<Self> {
        let root = state_dir.join("tenants");
        disk.create_dir(&root)
            .map_err(|error| failed("make", &root, &error))?;
        let lock = lock(state_dir)?;
        Ok(Self {
            root,
            disk,
            pins: Arc::default(),
            temporary: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// The tenant's directory. The name was checked when the tenant was made known.
    fn tenant_dir(&self, tenant: &str) -> PathBuf {
        self.root.join(tenant)
    }

    fn components_dir(&self, tenant: &str) -> PathBuf {
        self.tenant_dir(tenant).join("components")
    }

    /// A name in `dir` that nothing else has.
    fn temporary(&self, dir: &Path) -> PathBuf {
        let n = self.temporary.fetch_add(1, Ordering::Relaxed);
        dir.join(format!("{TEMPORARY}{}-{n}", std::process::id()))
    }
}

/// How names of unfinished files start.
const TEMPORARY: &str = ".tmp-";

/// Two servers in one directory would each undo what the other does.
fn lock(state_dir: &Path) -> Result<File> {
    let path = state_dir.join("lock");
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| failed("open", &path, &error))?;
    file.try_lock().map_err(|error| {
        let dir = state_dir.display();
        Error::new(
            ErrorCode::Unavailable,
            format!(
                "the state directory `{dir}` is in use by another server ({error}); give each \
                 server its own `rt.extensions.state_dir`"
            ),
        )
    })?;
    Ok(file)
}

/// A failure of the disk.
fn failed(what: &str, path: &Path, error: &std::io::Error) -> Error {
    let path = path.display();
    Error::internal(format!("cannot {what} `{path}`: {error}"))
}
