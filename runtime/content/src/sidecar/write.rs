//! Writing the tables of a sidecar.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::entry::Entry;
use super::{PAGE_BYTES, PAGE_PREFIX};
use crate::header::HEADER_BYTES;

/// How much is written at once, in bytes.
const WRITE: usize = 1 << 20;

/// Writes sorted entries as pages and, after them, the first hash of each page.
pub(super) struct PageWriter<'f> {
    file: &'f File,
    at: u64,
    buffer: Vec<u8>,
    page: Vec<u8>,
    fences: Vec<u64>,
    entries: u64,
}

impl<'f> PageWriter<'f> {
    /// Starts behind the header of `file`.
    pub(super) fn new(file: &'f File) -> Self {
        Self {
            file,
            at: HEADER_BYTES,
            buffer: Vec::with_capacity(WRITE),
            page: Vec::with_capacity(PAGE_BYTES),
            fences: Vec::new(),
            entries: 0,
        }
    }

    /// Writes the next entry.
    pub(super) fn push(&mut self, entry: Entry) -> io::Result<()> {
        if self.page.is_empty() {
            self.fences.push(entry.hash());
            self.page.resize(PAGE_PREFIX, 0);
        }
        self.page.extend_from_slice(&entry.to_bytes());
        self.entries += 1;
        if self.page.len() == PAGE_BYTES {
            self.end_page()
        } else {
            Ok(())
        }
    }

    fn end_page(&mut self) -> io::Result<()> {
        if self.page.is_empty() {
            return Ok(());
        }
        self.page.resize(PAGE_BYTES, 0);
        if let Some((prefix, entries)) = self.page.split_first_chunk_mut::<PAGE_PREFIX>() {
            let crc = u128::from(crc32fast::hash(entries));
            *prefix = crc.to_le_bytes();
        }
        self.buffer.append(&mut self.page);
        if self.buffer.len() >= WRITE {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is left, then the fences, then `duplicates`. Returns how many entries there
    /// are, and the checksums of the two tables.
    pub(super) fn finish(mut self, duplicates: &[u64]) -> io::Result<(u64, [u32; 2])> {
        self.end_page()?;
        let fences = std::mem::take(&mut self.fences);
        let mut crcs = [0; 2];
        for (table, crc) in [fences.as_slice(), duplicates].into_iter().zip(&mut crcs) {
            let mut hasher = crc32fast::Hasher::new();
            for number in table {
                let bytes = number.to_le_bytes();
                hasher.update(&bytes);
                self.buffer.extend_from_slice(&bytes);
                if self.buffer.len() >= WRITE {
                    self.flush()?;
                }
            }
            *crc = hasher.finalize();
        }
        self.flush()?;
        Ok((self.entries, crcs))
    }
}
