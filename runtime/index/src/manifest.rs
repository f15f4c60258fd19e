//! What an index on disk says of itself, in a file that is written last: with it the files in a folder
//! are an index. What else it says is each kind's own.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use routir_core::{Error, ErrorCode, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The file.
pub(crate) const NAME: &str = "manifest.json";

/// A kind of index on disk.
pub(crate) struct Kind {
    /// What people call it.
    pub(crate) name: &'static str,
    /// What its format is called.
    pub(crate) format: &'static str,
    /// Changes whenever files of older versions can no longer be read.
    pub(crate) version: u32,
    /// Largest manifest that is read, in bytes.
    pub(crate) max_bytes: u64,
    /// Why there is none in a folder.
    pub(crate) absent: fn(&Path) -> Error,
}

impl Kind {
    /// Writes `own` as the manifest of the files in `dir`.
    pub(crate) fn write(&self, dir: &Path, own: &impl Serialize) -> io::Result<()> {
        #[derive(Serialize)]
        struct Whole<'a, T> {
            format: &'a str,
            version: u32,
            #[serde(flatten)]
            own: &'a T,
        }
        let whole = Whole {
            format: self.format,
            version: self.version,
            own,
        };
        let mut file = File::create_new(dir.join(NAME))?;
        file.write_all(&serde_json::to_vec_pretty(&whole)?)?;
        file.sync_all()
    }

    /// Reads what such a manifest says besides.
    ///
    /// # Errors
    /// When there is none, or one of another format or version, or it cannot be read.
    pub(crate) fn read<T: DeserializeOwned>(&self, dir: &Path) -> Result<T> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let path = dir.join(NAME);
        let bytes = match fs::metadata(&path) {
            Ok(found) if found.len() <= self.max_bytes => fs::read(&path),
            Ok(_) => Err(io::Error::other("it is too large to be one")),
            Err(error) => Err(error),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err((self.absent)(dir));
            }
            Err(error) => return Err(self.damaged(dir, NAME, error)),
        };
        let unread = |error: serde_json::Error| self.damaged(dir, NAME, error);
        let head: Head = serde_json::from_slice(&bytes).map_err(unread)?;
        if head.format != self.format {
            let why = format!("it says `{}`, not `{}`", head.format, self.format);
            return Err(self.damaged(dir, NAME, why));
        }
        if head.version != self.version {
            return Err(Error::new(
                ErrorCode::Unsupported,
                format!(
                    "the {} index in `{}` has version {} of the format and this program reads \
                     version {}; build it again with `routir-rt index`",
                    self.name,
                    dir.display(),
                    head.version,
                    self.version
                ),
            ));
        }
        serde_json::from_slice(&bytes).map_err(unread)
    }

    /// An index that cannot be read.
    pub(crate) fn damaged(&self, dir: &Path, file: &str, why: impl fmt::Display) -> Error {
        Error::engine(format!(
            "the {} index in `{}` is damaged: `{file}`: {why}; delete that folder and build it again",
            self.name,
            dir.display()
        ))
    }

    /// An index that could not be written.
    pub(crate) fn unwritten(&self, dir: &Path, step: &str, why: impl fmt::Display) -> Error {
        Error::engine(format!(
            "building the {} index in `{}`: {step}: {why}; check that the folder above it is \
             writable and has space",
            self.name,
            dir.display()
        ))
    }
}
