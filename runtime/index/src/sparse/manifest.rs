//! What an index on disk says of itself, and the folder that it lies in.
//!
//! ```text
//! <folder>/manifest.json         what follows, written last
//!          terms.u32             the terms that documents have, ascending
//!          scales.f32            for each what an impact of 1 stands for
//!          rows.ends.u64         for each where its row ends
//!          rows.bin              the rows
//!          ids.bytes, ids.ends   the documents' ids, in the order of the rows' lists
//! ```
//! All numbers are little-endian.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use routir_core::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

use super::{BLOCK, MAX_VOCABULARY};
use crate::manifest::{self, Kind};

const KIND: Kind = Kind {
    name: "sparse",
    format: "routir-sparse",
    version: 1,
    max_bytes: 1 << 20,
    absent,
};

/// What an index was made of and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Documents of a block.
    pub(crate) block: usize,
    /// Ids of terms are below.
    pub(crate) vocabulary: u32,
    /// Terms that documents have.
    pub(crate) terms: u32,
    pub(crate) documents: u32,
    /// Weights of all documents.
    pub(crate) postings: u64,
    /// Bytes of all rows.
    pub(crate) bytes: u64,
    /// The model that made the weights.
    pub(crate) model: String,
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
        if self.block != BLOCK {
            return Err("its blocks have another size");
        }
        if self.vocabulary as usize > MAX_VOCABULARY || self.terms > self.vocabulary {
            return Err("the number of terms is out of range");
        }
        if self.postings > u64::from(self.documents) * u64::from(self.terms) {
            return Err("there are more weights than can be");
        }
        Ok(())
    }
}

/// There is no index in `dir`: perhaps another program's.
fn absent(dir: &Path) -> Error {
    let shown = dir.display();
    let lucene = fs::read_dir(dir).is_ok_and(|mut entries| {
        entries
            .any(|it| it.is_ok_and(|it| it.file_name().to_string_lossy().starts_with("segments_")))
    });
    if lucene {
        return Error::new(
            ErrorCode::Unsupported,
            format!(
                "`{shown}` holds an index of Lucene (Anserini, Pyserini), which is not read here; \
                 build one with `routir-rt index sparse` from the JSON files of term weights that it \
                 was made of, or from the documents"
            ),
        );
    }
    let what = if dir.is_dir() {
        "there is no sparse index in"
    } else {
        "there is no folder"
    };
    Error::new(
        ErrorCode::Unavailable,
        format!("{what} `{shown}`; build one with `routir-rt index sparse`"),
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
