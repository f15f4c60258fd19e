//! The directory of an index: what lies where, what makes it complete, who may touch it when.
//!
//! ```text
//! <dir>/lock        held shared while opening, exclusively while building
//! <dir>/building/   an index in the making; renamed when it is complete
//! <dir>/index/      a complete index: stamp.json, ids.*, and tantivy's own files in postings/
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use routir_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::analyzer::EnglishAnalyzer;
use crate::error::{building, damaged};

/// Changes whenever files of older versions can no longer be read.
const FORMAT: u32 = 1;
const STAMP: &str = "stamp.json";

/// What an index was made of and how; written last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    format: u32,
    analyzer: String,
    /// The corpus's own stamp.
    corpus: String,
    pub(crate) documents: u64,
    /// The longest document, in terms.
    pub(crate) longest: u32,
    /// Every other file with its size, to notice a truncated one before it is read.
    files: Vec<(PathBuf, u64)>,
}

/// The paths of an index.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    pub(crate) fn building(&self) -> PathBuf {
        self.root.join("building")
    }

    /// Where tantivy's files lie in an index directory.
    pub(crate) fn postings(index: &Path) -> PathBuf {
        index.join("postings")
    }

    /// Keeps builders away while an index is opened. `None` where no lock file can be made, as on
    /// a read-only disk: nobody builds there.
    pub(crate) fn lock_shared(&self) -> Result<Option<File>> {
        let Ok(file) = self.lock_file() else {
            return Ok(None);
        };
        file.lock_shared()
            .map_err(|e| building(&self.root, "waiting for its lock", e))?;
        Ok(Some(file))
    }

    /// Waits until nobody else builds or opens.
    pub(crate) fn lock_exclusive(&self) -> Result<File> {
        let locked = || -> io::Result<File> {
            fs::create_dir_all(&self.root)?;
            let file = self.lock_file()?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    tracing::info!(dir = %self.root.display(), "another process works on the index; waiting for it");
                    file.lock()?;
                }
                Err(TryLockError::Error(e)) => return Err(e),
            }
            Ok(file)
        };
        locked().map_err(|e| building(&self.root, "locking it", e))
    }

    fn lock_file(&self) -> io::Result<File> {
        File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(self.root.join("lock"))
    }

    /// The complete index's stamp; `None` when there is no complete index.
    pub(crate) fn stamp(&self) -> Result<Option<Stamp>> {
        let path = self.index().join(STAMP);
        match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(stamp) => Ok(Some(stamp)),
                // Another version wrote it, or a disk failed; either way it is not our index.
                Err(e) => {
                    tracing::warn!(path = %path.display(), error = %e, "the index's stamp cannot be read");
                    Ok(None)
                }
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(damaged(&self.root, e)),
        }
    }

    /// Puts the finished index in `building` in place of the one that is there.
    pub(crate) fn publish(&self, corpus: String, documents: u64, longest: u32) -> Result<Stamp> {
        let dir = self.building();
        let publish = || -> io::Result<Stamp> {
            let stamp = Stamp {
                format: FORMAT,
                analyzer: EnglishAnalyzer::NAME.to_owned(),
                corpus,
                documents,
                longest,
                files: sizes(&dir)?,
            };
            let mut file = File::create_new(dir.join(STAMP))?;
            file.write_all(&serde_json::to_vec_pretty(&stamp)?)?;
            file.sync_all()?;
            File::open(&dir)?.sync_all()?;
            remove(&self.index())?;
            fs::rename(&dir, self.index())?;
            File::open(&self.root)?.sync_all()?;
            Ok(stamp)
        };
        publish().map_err(|e| building(&self.root, "putting it in place", e))
    }

    /// Makes an empty `building`, without what an interrupted build left there.
    pub(crate) fn start(&self) -> Result<PathBuf> {
        let dir = self.building();
        remove(&dir)
            .and_then(|()| fs::create_dir_all(Self::postings(&dir)))
            .map_err(|e| building(&self.root, "clearing the way", e))?;
        Ok(dir)
    }
}

impl Stamp {
    /// Whether this is an index of that corpus, made as this version makes it.
    pub(crate) fn fits(&self, corpus: &str) -> bool {
        self.corpus == corpus && self.readable()
    }

    /// Whether this version can read it.
    pub(crate) fn readable(&self) -> bool {
        self.format == FORMAT && self.analyzer == EnglishAnalyzer::NAME
    }

    /// Checks that every file is there and as long as it was.
    pub(crate) fn check_files(&self, index: &Path) -> Result<(), Error> {
        for (name, size) in &self.files {
            let path = index.join(name);
            let found = fs::metadata(&path)
                .map_err(|e| damaged(index, format!("`{}`: {e}", path.display())))?;
            if found.len() != *size {
                let why = format!("`{}` has {} bytes, not {size}", path.display(), found.len());
                return Err(damaged(index, why));
            }
        }
        Ok(())
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// The files of `dir` and of tantivy's folder in it, with sizes, by name.
fn sizes(dir: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for folder in [dir.to_owned(), Layout::postings(dir)] {
        for entry in fs::read_dir(folder)? {
            let (entry, path) = entry.map(|entry| (entry.metadata(), entry.path()))?;
            let (metadata, name) = (entry?, path.strip_prefix(dir).unwrap_or(&path).to_owned());
            // Lock files of tantivy's writer come and go.
            if metadata.is_file() && name.extension().is_none_or(|e| e != "lock") {
                files.push((name, metadata.len()));
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}
