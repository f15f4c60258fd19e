//! What an index on disk says of itself, and the folder that it lies in.
//!
//! ```text
//! <folder>/manifest.json     what follows, written last
//!          centroids.f32     centroids × dim values
//!          residuals.f32     dim spreads, then the levels of the differences
//!          ends.u64          for each passage where its token vectors end
//!          codes.u32         for each token vector its centroid
//!          residuals.bin     for each token vector its difference, in whole bytes
//!          lists.ends.u64    for each centroid where its list ends
//!          lists.u32         for each centroid the passages that have vectors there, ascending
//!          ids.bytes, ids.ends   the passages' document ids
//! ```
//! All numbers are little-endian.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use routir_core::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

use super::residual::LateBits;

/// What the format is called.
const FORMAT: &str = "routir-late";
/// Changes whenever files of older versions can no longer be read.
const VERSION: u32 = 1;
const NAME: &str = "manifest.json";
/// Largest manifest that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// Longest stamp, in bytes; escaped it still fits a manifest.
pub(crate) const MAX_STAMP: usize = 8 << 20;
/// Largest dimension of a token vector.
pub(crate) const MAX_DIM: usize = 1 << 16;
/// Most centroids of an index.
pub(crate) const MAX_CENTROIDS: usize = 1 << 22;

/// What an index was made of and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: String,
    version: u32,
    /// Values of a token vector.
    pub(crate) dim: usize,
    pub(crate) bits: LateBits,
    pub(crate) centroids: usize,
    pub(crate) passages: u32,
    /// Token vectors of all passages.
    pub(crate) tokens: u64,
    /// Entries of all inverted lists.
    pub(crate) postings: u64,
    /// Whether all token vectors have length 1.
    pub(crate) unit: bool,
    /// What the builder was told that the index is made of.
    pub(crate) stamp: String,
}

/// What a manifest is made from.
pub(crate) struct Facts {
    pub(crate) dim: usize,
    pub(crate) bits: LateBits,
    pub(crate) centroids: usize,
    pub(crate) passages: u32,
    pub(crate) tokens: u64,
    pub(crate) postings: u64,
    pub(crate) unit: bool,
    pub(crate) stamp: String,
}

impl Manifest {
    pub(crate) fn new(facts: Facts) -> Self {
        let Facts {
            dim,
            bits,
            centroids,
            passages,
            tokens,
            postings,
            unit,
            stamp,
        } = facts;
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            dim,
            bits,
            centroids,
            passages,
            tokens,
            postings,
            unit,
            stamp,
        }
    }

    /// Writes it, and with it makes the files in `dir` an index.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let mut file = File::create_new(dir.join(NAME))?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        File::open(dir)?.sync_all()
    }

    /// Reads and checks it.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(NAME);
        let bytes = match fs::metadata(&path) {
            Ok(found) if found.len() <= MAX_BYTES => fs::read(&path),
            Ok(_) => Err(io::Error::other("it is too large to be one")),
            Err(error) => Err(error),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(absent(dir)),
            Err(error) => return Err(damaged(dir, NAME, error)),
        };
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        match serde_json::from_slice::<Head>(&bytes) {
            Ok(head) if head.format != FORMAT => {
                let why = format!("it says `{}`, not `{FORMAT}`", head.format);
                return Err(damaged(dir, NAME, why));
            }
            Ok(head) if head.version != VERSION => {
                return Err(Error::new(
                    ErrorCode::Unsupported,
                    format!(
                        "the late-interaction index in `{}` has version {} of the format and this \
                         program reads version {VERSION}; build it again with `routir-rt index`",
                        dir.display(),
                        head.version
                    ),
                ));
            }
            _ => {}
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|e| damaged(dir, NAME, e))?;
        manifest.check().map_err(|why| damaged(dir, NAME, why))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), &'static str> {
        let passages = u64::from(self.passages);
        if self.dim == 0 || self.dim > MAX_DIM {
            return Err("the dimension is out of range");
        }
        if self.centroids > MAX_CENTROIDS || (self.centroids == 0 && self.tokens > 0) {
            return Err("the number of centroids is out of range");
        }
        if self.postings > self.tokens
            || self.postings > passages.saturating_mul(self.centroids as u64)
        {
            return Err("the lists are longer than they can be");
        }
        Ok(())
    }
}

/// There is no index in `dir`: perhaps another program's.
fn absent(dir: &Path) -> Error {
    let foreign = ["centroids.pt", "ivf.pid.pt", "0.codes.pt", "buckets.pt"];
    let shown = dir.display();
    if foreign.iter().any(|name| dir.join(name).exists()) {
        return Error::new(
            ErrorCode::Unsupported,
            format!(
                "`{shown}` holds an index of ColBERT or PLAID-X, whose PyTorch files are not read \
                 here; build one of the same collection with `routir-rt index late`"
            ),
        );
    }
    let what = if dir.is_dir() {
        "there is no late-interaction index in"
    } else {
        "there is no folder"
    };
    Error::new(
        ErrorCode::Unavailable,
        format!("{what} `{shown}`; build one with `routir-rt index late`, or set `build` to true"),
    )
}

/// An index that cannot be read.
pub(crate) fn damaged(dir: &Path, file: &str, why: impl std::fmt::Display) -> Error {
    Error::engine(format!(
        "the late-interaction index in `{}` is damaged: `{file}`: {why}; delete that folder and \
         build it again",
        dir.display()
    ))
}

/// An index that could not be written.
pub(crate) fn unwritten(dir: &Path, step: &str, why: impl std::fmt::Display) -> Error {
    Error::engine(format!(
        "building the late-interaction index in `{}`: {step}: {why}; check that the folder above it \
         is writable and has space",
        dir.display()
    ))
}

/// Whether the folder holds an index, or one that was damaged or made by another version, which may be
/// replaced; an empty folder holds nothing that could be lost.
pub(crate) fn is_index(dir: &Path) -> bool {
    let empty = || fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    Manifest::read(dir).is_ok()
        || (dir.join(NAME).is_file() && dir.join("ends.u64").is_file())
        || empty()
}

/// The folder beside `dir` that an index is written to.
pub(crate) fn aside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    dir.with_file_name(name)
}
