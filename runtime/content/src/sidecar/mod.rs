//! Where each document of a corpus lies: a compact table on disk, sorted by the hash of the id.
//!
//! Layout, after a header of 4 KiB (JSON with the corpus's stamp, see [`crate::header`]):
//! - pages of 4 KiB: a CRC-32 (in 16 bytes), then up to 255 entries of 16 bytes (see `entry`),
//!   sorted; all pages but the last are full;
//! - fences: the first hash of each page, a little-endian `u64` each;
//! - duplicates: the offsets of lines whose id comes again further down, a `u64` each, sorted.
//!
//! A look-up searches the fences, which are held in memory (4 MB for 100 M documents), and then
//! reads one page, by `pread` and not by a memory map: a file that shrinks under a map kills the
//! process, a failed read is an error. Pages are checked when they are read. Those of a small
//! sidecar are read once and held.

mod build;
mod entry;
mod sort;
mod write;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use routir_core::Result;
use serde::{Deserialize, Serialize};

pub(crate) use build::build;
use entry::{ENTRY_BYTES, Entry};

use crate::failure::{corrupt, io_error};
use crate::header::{self, HEADER_BYTES};
use crate::id_hash::IdHash;
use crate::reading::Reading;
use crate::source::Span;
use crate::stamp::SourceStamp;

const MAGIC: &[u8; 8] = b"RTROFFS\n";

/// Grows with every change of the layout or of what counts as a document.
const VERSION: u32 = 1;

const PAGE_BYTES: usize = 4096;
const PAGE_PREFIX: usize = 16;
const PAGE_ENTRIES: u64 = ((PAGE_BYTES - PAGE_PREFIX) / ENTRY_BYTES) as u64;

/// Up to this size a sidecar is checked as a whole when it is opened.
const CHECK_ALL_BYTES: u64 = 64 << 20;

/// Up to this size, a million documents, a sidecar's pages are held in memory.
const HOLD_BYTES: u64 = 16 << 20;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    version: u32,
    /// The corpus when it was indexed.
    pub(crate) source: SourceStamp,
    /// The field that holds the id.
    pub(crate) id_field: String,
    /// The longest line that counts as a document.
    pub(crate) max_line_bytes: u64,
    /// How ids are hashed.
    hash: IdHash,
    /// How many documents there are.
    pub(crate) documents: u64,
    /// How many lines are not a document because their id comes again further down.
    pub(crate) duplicates: u64,
    /// How many lines are malformed.
    pub(crate) malformed: u64,
    fences_crc: u32,
    duplicates_crc: u32,
}

/// What a sidecar must have been built from to be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The corpus as it is now.
    pub(crate) source: &'a SourceStamp,
    /// The field that holds the id.
    pub(crate) id_field: &'a str,
    /// The longest line that counts as a document.
    pub(crate) max_line_bytes: usize,
}

/// An open sidecar.
#[derive(Debug)]
pub(crate) struct Sidecar {
    path: PathBuf,
    file: File,
    head: Head,
    fences: Vec<u64>,
    /// The pages, checked, if they are held.
    held: Option<Box<[[u8; PAGE_BYTES]]>>,
}

/// Why a sidecar is not used.
#[derive(Debug, PartialEq)]
pub(crate) enum Unusable {
    /// It describes another state of the corpus, or another way to read it.
    Stale,
    /// It is not what its checksums say.
    Corrupt(String),
}

impl Sidecar {
    /// Opens the sidecar `file`, which lies at `path`.
    ///
    /// # Errors
    /// Why it must be built anew.
    pub(crate) fn open(path: &Path, file: File, wanted: Wanted<'_>) -> Result<Self, Unusable> {
        let head: Head = header::read(&file, MAGIC).map_err(Unusable::Corrupt)?;
        if head.version != VERSION
            || head.source != *wanted.source
            || head.id_field != wanted.id_field
            || head.max_line_bytes != wanted.max_line_bytes as u64
        {
            return Err(Unusable::Stale);
        }
        Self::check(path, file, head).map_err(Unusable::Corrupt)
    }

    fn check(path: &Path, file: File, head: Head) -> Result<Self, String> {
        let io = |error: io::Error| error.to_string();
        let length = file.metadata().map_err(io)?.len();
        if !head.hash.is_valid() || head.file_bytes() != Some(length) {
            return Err("its length is not what its header says".to_owned());
        }
        let pages = head.documents.div_ceil(PAGE_ENTRIES);
        let mut fences = Vec::with_capacity(usize::try_from(pages).unwrap_or(0));
        let mut keep = |fence| fences.push(fence);
        let crc = read_numbers(&file, head.fences_at(), pages, &mut keep).map_err(io)?;
        if crc != head.fences_crc || !fences.is_sorted() {
            return Err("the checksum of its fences is wrong".to_owned());
        }
        let crc = read_numbers(&file, head.duplicates_at(), head.duplicates, &mut |_| {});
        if crc.map_err(io)? != head.duplicates_crc {
            return Err("the checksum of its duplicates is wrong".to_owned());
        }
        let mut sidecar = Self {
            path: path.to_owned(),
            file,
            head,
            fences,
            held: None,
        };
        if length <= CHECK_ALL_BYTES {
            let mut held = Vec::new();
            let mut page = [0; PAGE_BYTES];
            for index in 0..sidecar.fences.len() {
                sidecar
                    .read_page(index, &mut page, Reading::Patient)
                    .map_err(|error| error.to_string())?;
                if length <= HOLD_BYTES {
                    held.push(page);
                }
            }
            sidecar.held = (length <= HOLD_BYTES).then_some(held.into());
        }
        Ok(sidecar)
    }

    /// What the header says.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the document `id` may lie: every place whose id has the same hash, and the hash.
    ///
    /// # Errors
    /// When the page cannot be read that way, or is corrupt.
    pub(crate) fn find(&self, id: &str, reading: Reading) -> Result<(u64, Vec<Span>)> {
        let hash = self.head.hash.of(id);
        let mut found = Vec::new();
        // Entries of the same hash may start on the page before the first that starts with it.
        let first = self
            .fences
            .partition_point(|&fence| fence < hash)
            .saturating_sub(1);
        let mut read = None;
        for index in first..self.fences.len() {
            if self.fences.get(index).is_none_or(|&fence| fence > hash) {
                break;
            }
            let page = match self.held.as_ref().and_then(|held| held.get(index)) {
                Some(page) => page,
                None => {
                    let page = read.get_or_insert([0; PAGE_BYTES]);
                    self.read_page(index, page, reading)?;
                    page
                }
            };
            let (_, bytes) = page.split_at(PAGE_PREFIX);
            let left = self.head.documents - (index as u64) * PAGE_ENTRIES;
            let filled = left.min(PAGE_ENTRIES) as usize;
            let entries = bytes
                .as_chunks::<ENTRY_BYTES>()
                .0
                .get(..filled)
                .unwrap_or_default();
            let start = entries.partition_point(|entry| Entry::from_bytes(entry).hash() < hash);
            let same = entries.iter().skip(start).map(Entry::from_bytes);
            found.extend(
                same.take_while(|entry| entry.hash() == hash)
                    .map(Entry::span),
            );
        }
        Ok((hash, found))
    }

    /// Whether `id` has this hash.
    pub(crate) fn hashes_to(&self, id: &str, hash: u64) -> bool {
        self.head.hash.of(id) == hash
    }

    /// The offsets of the lines whose id comes again further down, sorted.
    ///
    /// # Errors
    /// When the file cannot be read, or is corrupt.
    pub(crate) fn duplicates(&self) -> Result<Vec<u64>> {
        let mut offsets = Vec::new();
        let mut keep = |offset| offsets.push(offset);
        let crc = read_numbers(
            &self.file,
            self.head.duplicates_at(),
            self.head.duplicates,
            &mut keep,
        )
        .map_err(|error| io_error("reading", &self.path, &error))?;
        if crc != self.head.duplicates_crc {
            return Err(corrupt(
                &self.path,
                "the checksum of its duplicates is wrong",
            ));
        }
        Ok(offsets)
    }

    /// As if it were too large to be held.
    #[cfg(test)]
    pub(crate) fn let_go(&mut self) {
        self.held = None;
    }

    fn read_page(&self, index: usize, page: &mut [u8; PAGE_BYTES], reading: Reading) -> Result<()> {
        let at = HEADER_BYTES + (index as u64) * PAGE_BYTES as u64;
        reading
            .exact_at(&self.file, page, at)
            .map_err(|error| io_error("reading", &self.path, &error))?;
        let (prefix, entries) = page.split_at(PAGE_PREFIX);
        if prefix != u128::from(crc32fast::hash(entries)).to_le_bytes() {
            return Err(corrupt(
                &self.path,
                &format!("the checksum of page {index} is wrong"),
            ));
        }
        Ok(())
    }
}

impl Head {
    fn fences_at(&self) -> u64 {
        self.documents
            .div_ceil(PAGE_ENTRIES)
            .saturating_mul(PAGE_BYTES as u64)
            .saturating_add(HEADER_BYTES)
    }

    fn duplicates_at(&self) -> u64 {
        let pages = self.documents.div_ceil(PAGE_ENTRIES);
        self.fences_at().saturating_add(pages.saturating_mul(8))
    }

    /// How long the file must be; `None` when no file can be that long.
    fn file_bytes(&self) -> Option<u64> {
        self.duplicates_at()
            .checked_add(self.duplicates.checked_mul(8)?)
    }
}

/// Reads a table of numbers piece by piece; returns its checksum.
fn read_numbers(
    file: &File,
    mut at: u64,
    count: u64,
    each: &mut dyn FnMut(u64),
) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = [0; 8 << 10];
    let mut left = count.saturating_mul(8);
    while left > 0 {
        let (piece, _) = buffer.split_at_mut(left.min(8 << 10) as usize);
        file.read_exact_at(piece, at)?;
        hasher.update(piece);
        piece
            .as_chunks()
            .0
            .iter()
            .for_each(|bytes| each(u64::from_le_bytes(*bytes)));
        at += piece.len() as u64;
        left -= piece.len() as u64;
    }
    Ok(hasher.finalize())
}
