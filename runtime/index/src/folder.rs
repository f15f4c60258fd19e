//! The folder of an index: written aside under a lock, and put in its place when it is complete.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// A folder that is being written. Dropped without [`Folder::publish`], it leaves nothing.
pub(crate) struct Folder {
    target: PathBuf,
    temporary: PathBuf,
    /// Held while this lives; the lock file stays, empty.
    _lock: File,
}

impl Folder {
    /// Starts a folder that is to be `target`. Waits while another process writes it; what one that
    /// broke off has left is removed.
    pub(crate) fn create(target: &Path) -> io::Result<Self> {
        // A folder that is named with a slash at its end has the same name without.
        let target: PathBuf = target.components().collect();
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        let lock = lock(&target)?;
        let temporary = aside(&target, ".building");
        remove(&temporary)?;
        fs::create_dir(&temporary)?;
        Ok(Self {
            target,
            temporary,
            _lock: lock,
        })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// What it is to be.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Puts it in its place, whose old content goes; answers the bytes of its files.
    pub(crate) fn publish(&self) -> io::Result<u64> {
        File::open(&self.temporary)?.sync_all()?;
        let mut bytes = 0;
        for entry in fs::read_dir(&self.temporary)? {
            bytes += entry?.metadata()?.len();
        }
        let old = aside(&self.target, ".old");
        remove(&old)?;
        match fs::rename(&self.target, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&self.temporary, &self.target)?;
        if let Some(parent) = self.target.parent().filter(|it| !it.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        remove(&old)?;
        Ok(bytes)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // After `publish` it is gone already; otherwise nobody can use what is there.
        let _ = remove(&self.temporary);
    }
}

fn lock(target: &Path) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(aside(target, ".lock"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            tracing::info!(dir = %target.display(), "another process builds the index; waiting for it");
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(file)
}

fn aside(target: &Path, suffix: &str) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    target.with_file_name(name)
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
