//! Where each member of an archive lies: a table on disk, sorted by name.
//!
//! Layout, after a header of 4 KiB (JSON with the archive's stamp, see [`crate::header`]): blocks of
//! some 4 KiB, each a run of members in the order of their names (offset and size, `u64` each; the
//! checksum of the header and the length of the name, `u32` each; the name); then a table with
//! where each block lies, its checksum and its first name. The table is held in memory, about a
//! hundredth of the members; a look-up reads one block by `pread`, or as many as hold the names with
//! a given beginning.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use routir_core::Result;
use serde::{Deserialize, Serialize};

use super::members::Span;
use crate::failure::{corrupt, io_error};
use crate::header::{self, HEADER_BYTES};
use crate::sidecar::Unusable;
use crate::stamp::SourceStamp;

const MAGIC: &[u8; 8] = b"RTRTARX\n";

/// Grows with every change of the layout, or of what counts as a member.
const VERSION: u32 = 1;

/// From which length on a block is over.
const BLOCK_BYTES: usize = 4096;

/// What comes before a name.
const PREFIX: usize = 24;

/// A block cannot be longer: it ends with the member that makes it long enough.
const MAX_BLOCK_BYTES: u32 = (BLOCK_BYTES + PREFIX + (1 << 20)) as u32;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Head {
    version: u32,
    /// The archive when it was indexed.
    source: SourceStamp,
    /// How many members there are.
    members: u64,
    table_at: u64,
    table_bytes: u64,
    table_crc: u32,
}

#[derive(Debug)]
struct Fence {
    at: u64,
    length: u32,
    crc: u32,
    first: Box<[u8]>,
}

/// An open index.
#[derive(Debug)]
pub(super) struct Index {
    path: PathBuf,
    file: File,
    fences: Vec<Fence>,
}

impl Index {
    /// Opens the index `file`, which lies at `path`, of an archive with the stamp `source`.
    ///
    /// # Errors
    /// Why it must be built anew.
    pub(super) fn open(path: &Path, file: File, source: &SourceStamp) -> Result<Self, Unusable> {
        let head: Head = header::read(&file, MAGIC).map_err(Unusable::Corrupt)?;
        if head.version != VERSION || head.source != *source {
            return Err(Unusable::Stale);
        }
        let fences = table(&file, &head).map_err(Unusable::Corrupt)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            fences,
        })
    }

    /// Calls `each` with the members whose name starts with `prefix`, by name, until it says that
    /// it has enough.
    ///
    /// # Errors
    /// When the index cannot be read, or is corrupt; what `each` answers.
    pub(super) fn find(
        &self,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], Span) -> Result<()>,
    ) -> Result<()> {
        let first = self.fences.partition_point(|fence| *fence.first < *prefix);
        for fence in self.fences.iter().skip(first.saturating_sub(1)) {
            if *fence.first > *prefix && !fence.first.starts_with(prefix) {
                break;
            }
            let mut block = vec![0; fence.length as usize];
            self.file
                .read_exact_at(&mut block, fence.at)
                .map_err(|error| io_error("reading", &self.path, &error))?;
            let wrong = || corrupt(&self.path, &format!("the block at byte {} is", fence.at));
            if crc32fast::hash(&block) != fence.crc {
                return Err(wrong());
            }
            let mut rest = block.as_slice();
            while !rest.is_empty() {
                let (name, span, after) = member(rest).ok_or_else(wrong)?;
                rest = after;
                if name.starts_with(prefix) {
                    each(name, span)?;
                } else if name > prefix {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// The first member in `bytes`, and what follows it.
fn member(bytes: &[u8]) -> Option<(&[u8], Span, &[u8])> {
    let (numbers, rest) = bytes.split_first_chunk::<PREFIX>()?;
    let [offset, size, other] = *numbers.as_chunks::<8>().0.first_chunk::<3>()?;
    let [header_crc, length] = *other.as_chunks::<4>().0.first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(u32::from_le_bytes(length) as usize)?;
    let span = Span {
        offset: u64::from_le_bytes(offset),
        size: u64::from_le_bytes(size),
        header_crc: u32::from_le_bytes(header_crc),
    };
    Some((name, span, rest))
}

fn table(file: &File, head: &Head) -> Result<Vec<Fence>, String> {
    let wrong = || "its table makes no sense".to_owned();
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    if head.table_at.checked_add(head.table_bytes) != Some(length) {
        return Err("its length is not what its header says".to_owned());
    }
    let mut table = vec![0; usize::try_from(head.table_bytes).map_err(|_| wrong())?];
    file.read_exact_at(&mut table, head.table_at)
        .map_err(|error| error.to_string())?;
    if crc32fast::hash(&table) != head.table_crc {
        return Err("the checksum of its table is wrong".to_owned());
    }
    let mut fences: Vec<Fence> = Vec::new();
    let mut rest = table.as_slice();
    while let Some((numbers, after)) = rest.split_first_chunk::<20>() {
        let (at, others) = numbers.split_first_chunk::<8>().ok_or_else(wrong)?;
        let [length, crc, name] = *others.as_chunks::<4>().0.first_chunk().ok_or_else(wrong)?;
        let name = u32::from_le_bytes(name) as usize;
        let (first, after) = after.split_at_checked(name).ok_or_else(wrong)?;
        let fence = Fence {
            at: u64::from_le_bytes(*at),
            length: u32::from_le_bytes(length),
            crc: u32::from_le_bytes(crc),
            first: first.into(),
        };
        if fence.length > MAX_BLOCK_BYTES {
            return Err(wrong());
        }
        fences.push(fence);
        rest = after;
    }
    if rest.is_empty() && fences.is_sorted_by(|one, other| one.first < other.first) {
        Ok(fences)
    } else {
        Err(wrong())
    }
}

/// Writes an index, member after member in the order of their names.
pub(super) struct Writer<'f> {
    file: &'f File,
    at: u64,
    block: Vec<u8>,
    first: Vec<u8>,
    table: Vec<u8>,
    members: u64,
}

impl<'f> Writer<'f> {
    /// Starts behind the header of `file`.
    pub(super) fn new(file: &'f File) -> Self {
        Self {
            file,
            at: HEADER_BYTES,
            block: Vec::new(),
            first: Vec::new(),
            table: Vec::new(),
            members: 0,
        }
    }

    /// Writes the next member.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn push(&mut self, name: &[u8], span: Span) -> io::Result<()> {
        if self.block.is_empty() {
            self.first = name.to_vec();
        }
        let length = u32::try_from(name.len()).map_err(io::Error::other)?;
        self.block.extend_from_slice(&span.offset.to_le_bytes());
        self.block.extend_from_slice(&span.size.to_le_bytes());
        self.block.extend_from_slice(&span.header_crc.to_le_bytes());
        self.block.extend_from_slice(&length.to_le_bytes());
        self.block.extend_from_slice(name);
        self.members += 1;
        if self.block.len() >= BLOCK_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(&self.block, self.at)?;
        let length = u32::try_from(self.block.len()).map_err(io::Error::other)?;
        let name = u32::try_from(self.first.len()).map_err(io::Error::other)?;
        self.table.extend_from_slice(&self.at.to_le_bytes());
        for number in [length, crc32fast::hash(&self.block), name] {
            self.table.extend_from_slice(&number.to_le_bytes());
        }
        self.table.extend_from_slice(&self.first);
        self.at += u64::from(length);
        self.block.clear();
        Ok(())
    }

    /// Writes the table and the header; returns how many members there are.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn finish(mut self, source: &SourceStamp) -> io::Result<u64> {
        self.flush()?;
        self.file.write_all_at(&self.table, self.at)?;
        let head = Head {
            version: VERSION,
            source: source.clone(),
            members: self.members,
            table_at: self.at,
            table_bytes: self.table.len() as u64,
            table_crc: crc32fast::hash(&self.table),
        };
        header::write(self.file, MAGIC, &head)?;
        Ok(self.members)
    }
}
