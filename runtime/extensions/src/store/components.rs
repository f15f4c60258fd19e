//! Component files by the hash of their content.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use routir_core::{Error, Result};

use super::record::sha256;
use super::{Store, failed};

/// Keeps a component from being removed before a record names it.
pub(crate) struct Pin {
    pins: Arc<Mutex<HashMap<(String, String), usize>>>,
    key: (String, String),
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.lock();
        if let Some(count) = pins.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                pins.remove(&self.key);
            }
        }
    }
}

impl Store {
    /// Keeps a component, until the pin is dropped or longer if a record names it.
    ///
    /// # Errors
    /// A disk that is full or fails.
    pub(crate) fn put(&self, tenant: &str, hash: &str, bytes: &[u8]) -> Result<Pin> {
        let key = (tenant.to_owned(), hash.to_owned());
        *self.pins.lock().entry(key.clone()).or_insert(0) += 1;
        let pin = Pin {
            pins: Arc::clone(&self.pins),
            key,
        };
        let dir = self.components_dir(tenant);
        let target = component_path(&dir, hash);
        if read(&target, bytes.len() as u64).is_ok_and(|kept| kept == bytes) {
            return Ok(pin);
        }
        let temporary = self.temporary(&dir);
        let made = self
            .disk
            .create_dir(&dir)
            .and_then(|()| self.disk.create(&temporary, bytes))
            .and_then(|()| self.disk.rename(&temporary, &target))
            .and_then(|()| self.disk.sync_dir(&dir));
        if let Err(error) = made {
            let _ = self.disk.remove(&temporary);
            return Err(failed("write", &target, &error));
        }
        Ok(pin)
    }

    /// A component of at most `largest` bytes.
    ///
    /// # Errors
    /// A file that is not there, or not what it was.
    pub(crate) fn component(&self, tenant: &str, hash: &str, largest: u64) -> Result<Vec<u8>> {
        let path = component_path(&self.components_dir(tenant), hash);
        let bytes = read(&path, largest).map_err(|error| failed("read", &path, &error))?;
        if sha256(&bytes) == hash {
            return Ok(bytes);
        }
        let path = path.display();
        Err(Error::internal(format!(
            "the kept component `{path}` was changed; publish the extension again"
        )))
    }

    /// Removes the components that are neither pinned nor `named`.
    pub(crate) fn collect(&self, tenant: &str, named: impl Fn(&str) -> bool) {
        let Ok(entries) = std::fs::read_dir(self.components_dir(tenant)) else {
            return;
        };
        for entry in entries.flatten() {
            let file = entry.file_name();
            let Some(hash) = file.to_str().and_then(|name| name.strip_suffix(".wasm")) else {
                continue;
            };
            let pins = self.pins.lock();
            if pins.contains_key(&(tenant.to_owned(), hash.to_owned())) || named(hash) {
                continue;
            }
            // With the pins held, nobody can find the file there and rely on it.
            if let Err(error) = self.disk.remove(&entry.path()) {
                tracing::warn!(%error, tenant, hash, "an unused component was not removed");
            }
        }
    }
}

fn component_path(dir: &Path, hash: &str) -> PathBuf {
    dir.join(format!("{hash}.wasm"))
}

fn read(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(largest.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::other(format!(
            "it is larger than {largest} bytes"
        )));
    }
    Ok(bytes)
}
