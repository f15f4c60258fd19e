//! Documents on disk while an index is built: read once as they come, then in any order.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::ids::{Ids, IdsWriter};
use crate::map::Mapped;
use routir_core::{Error, Result};

const FOLDER: &str = "spill";
const WEIGHTS: &str = "weights.u64";
const ENDS: &str = "ends.u64";

/// A term and its weight in one number.
fn pack((term, weight): (u32, f32)) -> u64 {
    u64::from(term) | u64::from(weight.to_bits()) << 32
}

fn unpack(packed: u64) -> (u32, f32) {
    (packed as u32, f32::from_bits((packed >> 32) as u32))
}

/// Writes documents.
pub(crate) struct SpillWriter {
    dir: PathBuf,
    weights: BufWriter<File>,
    ends: BufWriter<File>,
    ids: IdsWriter,
    documents: u32,
    end: u64,
}

impl SpillWriter {
    /// In a folder of its own within `dir`.
    pub(crate) fn create(dir: &Path) -> io::Result<Self> {
        let dir = dir.join(FOLDER);
        fs::create_dir(&dir)?;
        Ok(Self {
            weights: BufWriter::with_capacity(1 << 18, File::create_new(dir.join(WEIGHTS))?),
            ends: BufWriter::new(File::create_new(dir.join(ENDS))?),
            ids: IdsWriter::create(&dir)?,
            dir,
            documents: 0,
            end: 0,
        })
    }

    pub(crate) fn push(&mut self, id: &str, weights: &[(u32, f32)]) -> io::Result<()> {
        for weight in weights {
            self.weights.write_all(&pack(*weight).to_le_bytes())?;
        }
        self.end += weights.len() as u64;
        self.ends.write_all(&self.end.to_le_bytes())?;
        self.documents += 1;
        self.ids.push(id)
    }

    pub(crate) fn len(&self) -> u32 {
        self.documents
    }

    /// Ends writing, and maps what was written.
    pub(crate) fn finish(mut self) -> Result<Spill> {
        self.ids.finish(&self.dir)?;
        let mut open = || -> io::Result<_> {
            self.weights.flush()?;
            self.ends.flush()?;
            let weights = Mapped::open(&self.dir.join(WEIGHTS), self.end)?;
            let ends = Mapped::open(&self.dir.join(ENDS), u64::from(self.documents))?;
            Ok((weights, ends))
        };
        let (weights, ends) = open().map_err(|error| Error::engine(error.to_string()))?;
        Ok(Spill {
            weights,
            ends,
            ids: Ids::open(&self.dir)?,
            dir: self.dir,
        })
    }
}

/// Documents that were written, by number as they came.
pub(crate) struct Spill {
    dir: PathBuf,
    weights: Mapped<u64>,
    ends: Mapped<u64>,
    ids: Ids,
}

impl Spill {
    /// How many documents there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.all().len()
    }

    /// A document's weights, by term.
    pub(crate) fn weights(&self, document: u32) -> impl Iterator<Item = (u32, f32)> {
        let ends = self.ends.all();
        let end = ends.get(document as usize).copied();
        let start = (document as usize)
            .checked_sub(1)
            .map_or(Some(0), |at| ends.get(at).copied());
        let weights = start
            .zip(end)
            .and_then(|(start, end)| self.weights.range(start, end));
        weights
            .unwrap_or_default()
            .iter()
            .map(|packed| unpack(*packed))
    }

    pub(crate) fn id(&self, document: u32) -> Result<&str> {
        self.ids.text(u64::from(document))
    }

    /// Removes the files.
    pub(crate) fn remove(self) -> io::Result<()> {
        let dir = self.dir.clone();
        drop(self);
        fs::remove_dir_all(dir)
    }
}
