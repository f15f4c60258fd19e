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

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use routir_core::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

use super::residual::LateBits;
use crate::manifest::{self, Kind};

const KIND: Kind = Kind {
    name: "late-interaction",
    format: "routir-late",
    version: 1,
    max_bytes: 64 << 20,
    absent,
};
/// Longest stamp, in bytes; escaped it still fits a manifest.
pub(crate) const MAX_STAMP: usize = 8 << 20;
/// Largest dimension of a token vector.
pub(crate) const MAX_DIM: usize = 1 << 16;
/// Most centroids of an index.
pub(crate) const MAX_CENTROIDS: usize = 1 << 22;

/// What an index was made of and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
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

impl Manifest {
    /// Writes it, and with it makes the files in `dir` an index.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        KIND.write(dir, self)
    }

    /// Reads and checks it.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let manifest: Self = KIND.read(dir)?;
        let wrong = |why| damaged(dir, manifest::NAME, why);
        manifest.check().map_err(wrong)?;
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
pub(crate) fn damaged(dir: &Path, file: &str, why: impl fmt::Display) -> Error {
    KIND.damaged(dir, file, why)
}

/// An index that could not be written.
pub(crate) fn unwritten(dir: &Path, step: &str, why: impl fmt::Display) -> Error {
    KIND.unwritten(dir, step, why)
}

/// Whether the folder holds an index, or one that was damaged or made by another version, which may be
/// replaced; an empty folder holds nothing that could be lost.
pub(crate) fn is_index(dir: &Path) -> bool {
    let empty = || fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    Manifest::read(dir).is_ok()
        || (dir.join(manifest::NAME).is_file() && dir.join("ends.u64").is_file())
        || empty()
}
