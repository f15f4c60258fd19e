//! Records on disk.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use routir_core::Result;

use super::{Record, Store, TEMPORARY, failed};
use crate::name::is_name;

/// The largest record that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// A record that lies ready and only needs its name.
pub(crate) struct Staged {
    temporary: PathBuf,
    target: PathBuf,
    dir: PathBuf,
}

/// A record that cannot be used. It stays where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) tenant: String,
    pub(crate) name: String,
    pub(crate) why: String,
}

impl Store {
    /// Writes a record aside. Everything that usually fails, fails here.
    ///
    /// # Errors
    /// A disk that is full or fails. Nothing has changed then.
    pub(crate) fn stage(&self, record: &Record) -> Result<Staged> {
        let dir = self.tenant_dir(&record.tenant);
        let target = self.record_path(&record.tenant, &record.name);
        let text = record.to_text();
        let text = text.map_err(|error| failed("write", &target, &io::Error::other(error)))?;
        let temporary = self.temporary(&dir);
        let made = self
            .disk
            .create_dir(&dir)
            .and_then(|()| self.disk.create(&temporary, text.as_bytes()));
        if let Err(error) = made {
            let _ = self.disk.remove(&temporary);
            return Err(failed("write", &target, &error));
        }
        Ok(Staged {
            temporary,
            target,
            dir,
        })
    }

    /// Makes a staged record the record.
    ///
    /// # Errors
    /// A disk that fails: the record is then the new one or the one before; which, is not known.
    pub(crate) fn commit(&self, staged: &Staged) -> Result<()> {
        let renamed = self.disk.rename(&staged.temporary, &staged.target);
        if renamed.is_err() {
            let _ = self.disk.remove(&staged.temporary);
        }
        renamed
            .and_then(|()| self.disk.sync_dir(&staged.dir))
            .map_err(|error| failed("write", &staged.target, &error))
    }

    /// Forgets a staged record.
    pub(crate) fn discard(&self, staged: &Staged) {
        let _ = self.disk.remove(&staged.temporary);
    }

    /// Removes a record.
    ///
    /// # Errors
    /// A disk that fails: the record is then there or not; which, is not known.
    pub(crate) fn remove(&self, tenant: &str, name: &str) -> Result<()> {
        let path = self.record_path(tenant, name);
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.disk.sync_dir(&self.tenant_dir(tenant)),
        }
        .map_err(|error| failed("remove", &path, &error))
    }

    /// The records of a tenant, and what cannot be read; removes unfinished files.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub(crate) fn records(&self, tenant: &str) -> Result<(Vec<Record>, Vec<Damage>)> {
        let (mut records, mut damages) = (Vec::new(), Vec::new());
        self.clear(&self.components_dir(tenant))?;
        for path in self.clear(&self.tenant_dir(tenant))? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let Some(name) = name.strip_suffix(".json") else {
                continue;
            };
            let read = if is_name(name) {
                read(&path).and_then(|text| Record::from_text(&text, tenant, name))
            } else {
                Err("its name is no extension's".to_owned())
            };
            match read {
                Ok(record) => records.push(record),
                Err(why) => damages.push(Damage {
                    tenant: tenant.to_owned(),
                    name: name.to_owned(),
                    why: format!("the record `{}` cannot be used: {why}", path.display()),
                }),
            }
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((records, damages))
    }

    /// The files in `dir`, once those are removed that a crash left unfinished. A directory that is
    /// not there is empty.
    fn clear(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed("read", dir, &error))?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", dir, &error))?;
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(TEMPORARY) {
                let _ = self.disk.remove(&entry.path());
            } else {
                files.push(entry.path());
            }
        }
        Ok(files)
    }

    fn record_path(&self, tenant: &str, name: &str) -> PathBuf {
        self.tenant_dir(tenant).join(format!("{name}.json"))
    }
}

fn read(path: &Path) -> std::result::Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    let read = file.take(LARGEST).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    Ok(text)
}
