//! Document ids on disk, by the order in which the corpus was read.
//!
//! Two flat files, mapped into memory: the ids' bytes one after another (`ids.bytes`), and for
//! each where it ends as a little-endian u64 (`ids.ends`). Reading one touches two places, however
//! many documents there are.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use routir_core::{Error, Result};
use tantivy::directory::{Directory, MmapDirectory, OwnedBytes};

use crate::error::{building, damaged};

const BYTES: &str = "ids.bytes";
const ENDS: &str = "ids.ends";
const END_LEN: usize = size_of::<u64>();

/// Writes the ids, in reading order.
pub(crate) struct IdsWriter {
    bytes: BufWriter<File>,
    ends: BufWriter<File>,
    end: u64,
}

impl IdsWriter {
    pub(crate) fn create(dir: &Path) -> io::Result<Self> {
        let file = |name: &str| File::create_new(dir.join(name)).map(BufWriter::new);
        Ok(Self {
            bytes: file(BYTES)?,
            ends: file(ENDS)?,
            end: 0,
        })
    }

    pub(crate) fn push(&mut self, id: &str) -> io::Result<()> {
        self.end += id.len() as u64;
        self.bytes.write_all(id.as_bytes())?;
        self.ends.write_all(&self.end.to_le_bytes())
    }

    pub(crate) fn finish(self, dir: &Path) -> Result<()> {
        for writer in [self.bytes, self.ends] {
            writer
                .into_inner()
                .map_err(io::IntoInnerError::into_error)
                .and_then(|file| file.sync_all())
                .map_err(|e| building(dir, "writing the document ids", e))?;
        }
        Ok(())
    }
}

/// The ids, mapped into memory.
pub(crate) struct Ids {
    bytes: OwnedBytes,
    ends: OwnedBytes,
}

impl Ids {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let open = |name: &str| -> Result<OwnedBytes> {
            let directory = MmapDirectory::open(dir).map_err(|e| damaged(dir, e))?;
            let slice = directory
                .open_read(Path::new(name))
                .map_err(|e| damaged(dir, e))?;
            slice.read_bytes().map_err(|e| damaged(dir, e))
        };
        Ok(Self {
            bytes: open(BYTES)?,
            ends: open(ENDS)?,
        })
    }

    /// How many ids there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len() / END_LEN
    }

    /// Bytes of both files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        (self.bytes.len() + self.ends.len()) as u64
    }

    fn end(&self, index: usize) -> Option<usize> {
        let start = index.checked_mul(END_LEN)?;
        let bytes = self.ends.get(start..start.checked_add(END_LEN)?)?;
        usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
    }

    /// The bytes of the id that was read as number `ordinal`; in byte order, which is the order of
    /// the ids as text. Empty when the files are damaged.
    pub(crate) fn bytes(&self, ordinal: u64) -> &[u8] {
        let range = || {
            let index = usize::try_from(ordinal).ok()?;
            let start = if index == 0 { 0 } else { self.end(index - 1)? };
            self.bytes.get(start..self.end(index)?)
        };
        range().unwrap_or_default()
    }

    /// The id that was read as number `ordinal`.
    pub(crate) fn text(&self, ordinal: u64) -> Result<&str, Error> {
        match std::str::from_utf8(self.bytes(ordinal)) {
            Ok(id) if !id.is_empty() => Ok(id),
            _ => Err(Error::engine(format!(
                "its document ids hold nothing readable for number {ordinal}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_written_and_nothing_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = IdsWriter::create(dir.path()).unwrap();
        for id in ["doc1", "\u{fc}ber", "x"] {
            writer.push(id).unwrap();
        }
        writer.finish(dir.path()).unwrap();
        let ids = Ids::open(dir.path()).unwrap();
        assert_eq!(ids.len(), 3);
        assert_eq!(ids.text(0).unwrap(), "doc1");
        assert_eq!(ids.text(1).unwrap(), "\u{fc}ber");
        assert_eq!(ids.text(2).unwrap(), "x");
        assert!(ids.text(3).is_err());
        assert!(ids.text(u64::MAX).is_err());
    }
}
