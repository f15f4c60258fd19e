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

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use routir_core::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

use super::{BLOCK, MAX_VOCABULARY};

/// What the format is called.
const FORMAT: &str = "routir-sparse";
/// Changes whenever files of older versions can no longer be read.
const VERSION: u32 = 1;
/// The manifest's file.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Largest manifest that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What an index was made of and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: String,
    version: u32,
    /// Documents of a block.
    block: usize,
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

/// What a manifest is made from; as in [`Manifest`].
pub(crate) struct Facts {
    pub(crate) vocabulary: u32,
    pub(crate) terms: u32,
    pub(crate) documents: u32,
    pub(crate) postings: u64,
    pub(crate) bytes: u64,
    pub(crate) model: String,
    pub(crate) stamp: String,
}

impl Manifest {
    pub(crate) fn new(facts: Facts) -> Self {
        let Facts {
            vocabulary,
            terms,
            documents,
            postings,
            bytes,
            model,
            stamp,
        } = facts;
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            block: BLOCK,
            vocabulary,
            terms,
            documents,
            postings,
            bytes,
            model,
            stamp,
        }
    }

    /// Writes it, and with it makes the files in `dir` an index.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let mut file = File::create_new(dir.join(MANIFEST))?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()
    }

    /// Reads and checks it.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let bytes = match fs::metadata(&path) {
            Ok(found) if found.len() <= MAX_BYTES => fs::read(&path),
            Ok(_) => Err(io::Error::other("it is too large to be one")),
            Err(error) => Err(error),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(absent(dir)),
            Err(error) => return Err(damaged(dir, MANIFEST, error)),
        };
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        match serde_json::from_slice::<Head>(&bytes) {
            Ok(head) if head.format != FORMAT => {
                let why = format!("it says `{}`, not `{FORMAT}`", head.format);
                return Err(damaged(dir, MANIFEST, why));
            }
            Ok(head) if head.version != VERSION => {
                return Err(Error::new(
                    ErrorCode::Unsupported,
                    format!(
                        "the sparse index in `{}` has version {} of the format and this program \
                         reads version {VERSION}; build it again with `routir-rt index`",
                        dir.display(),
                        head.version
                    ),
                ));
            }
            _ => {}
        }
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|error| damaged(dir, MANIFEST, error))?;
        manifest
            .check()
            .map_err(|why| damaged(dir, MANIFEST, why))?;
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
pub(crate) fn damaged(dir: &Path, file: &str, why: impl std::fmt::Display) -> Error {
    Error::engine(format!(
        "the sparse index in `{}` is damaged: `{file}`: {why}; delete that folder and build it again",
        dir.display()
    ))
}

/// An index that could not be written.
pub(crate) fn unwritten(dir: &Path, step: &str, why: impl std::fmt::Display) -> Error {
    Error::engine(format!(
        "building the sparse index in `{}`: {step}: {why}; check that the folder above it is writable \
         and has space",
        dir.display()
    ))
}
