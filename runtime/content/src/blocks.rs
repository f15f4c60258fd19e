//! A compressed corpus written anew so that it can be read at random: its text in blocks of equal
//! length, each a zstd frame with a checksum of its own.
//!
//! A gzip or zstd file can only be read from its start, so this copy is made once. It takes about
//! as much disk as the compressed corpus (less than gzip, as a rule). A block is decompressed into
//! a buffer of its known length and never further, so a crafted file costs disk and time while it
//! is unpacked, but no memory.
//!
//! Layout, after a header of 4 KiB (see [`crate::header`]): the frames; then where each starts and
//! where the last ends, a little-endian `u64` each.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moka::sync::Cache;
use routir_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::failure::{corrupt, io_error};
use crate::header::{self, HEADER_BYTES};
use crate::options::{OpenOptions, Phase, Progress};
use crate::sidecar::Unusable;
use crate::source::{Compression, FromStart};
use crate::stamp::SourceStamp;

const MAGIC: &[u8; 8] = b"RTRBLKS\n";

/// Grows with every change of the layout.
const VERSION: u32 = 1;

/// The length of a block's text: a document costs at most so much decompression more than its own.
const BLOCK_BYTES: usize = 128 << 10;

/// zstd's default: most of the gain, at some hundred megabytes a second.
const LEVEL: i32 = 3;

/// How much decompressed text is kept per corpus.
const CACHE_BYTES: u64 = 64 << 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    /// The compressed file.
    source: SourceStamp,
    text_bytes: u64,
    starts_at: u64,
    starts_crc: u32,
}

/// Writes the text of the compressed `source` into `out`.
///
/// # Errors
/// When the source is cut off or corrupt, or the disk is full.
pub(crate) fn unpack(
    source: (&Path, &File, &SourceStamp),
    compression: Compression,
    options: &OpenOptions<'_>,
    (out, dir): (&File, &Path),
) -> Result<()> {
    let (path, file, stamp) = source;
    let writing = |error: io::Error| io_error("unpacking into", dir, &error);
    let reading = |error: io::Error| {
        Error::invalid(format!(
            "decompressing {} failed: {error}; it is cut off or corrupt, fetch it again",
            path.display()
        ))
    };
    let mut input = Input::open(file, compression).map_err(reading)?;
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).map_err(writing)?;
    compressor.include_checksum(true).map_err(writing)?;
    let mut starts = vec![HEADER_BYTES];
    let mut at = HEADER_BYTES;
    let mut text_bytes = 0;
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    loop {
        block.clear();
        let read = input
            .reader()
            .take(BLOCK_BYTES as u64)
            .read_to_end(&mut block);
        if read.map_err(reading)? == 0 {
            break;
        }
        let frame = compressor.compress(&block).map_err(writing)?;
        out.write_all_at(&frame, at).map_err(writing)?;
        at += frame.len() as u64;
        text_bytes += block.len() as u64;
        starts.push(at);
        options.tell(Progress {
            phase: Phase::Unpacking,
            path,
            bytes_done: input.position(),
            bytes_total: stamp.size,
            documents: 0,
        });
    }
    let mut table = Vec::with_capacity(starts.len() * 8);
    starts
        .iter()
        .for_each(|start| table.extend_from_slice(&start.to_le_bytes()));
    out.write_all_at(&table, at).map_err(writing)?;
    let starts_crc = crc32fast::hash(&table);
    let head = Head {
        version: VERSION,
        source: stamp.clone(),
        text_bytes,
        starts_at: at,
        starts_crc,
    };
    header::write(out, MAGIC, &head).map_err(writing)
}

/// The decompressed text of a file that knows how far it has read.
enum Input<'f> {
    Gzip(Box<flate2::read::MultiGzDecoder<FromStart<'f>>>),
    Zstd(Box<zstd::stream::read::Decoder<'f, io::BufReader<FromStart<'f>>>>),
}

impl<'f> Input<'f> {
    fn open(file: &'f File, compression: Compression) -> io::Result<Self> {
        let input = FromStart::new(file);
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(flate2::read::MultiGzDecoder::new(input))),
            Compression::Zstd => Self::Zstd(Box::new(zstd::stream::read::Decoder::new(input)?)),
        })
    }

    fn reader(&mut self) -> &mut dyn Read {
        match self {
            Self::Gzip(input) => input,
            Self::Zstd(input) => input,
        }
    }

    fn position(&self) -> u64 {
        match self {
            Self::Gzip(input) => input.get_ref().position(),
            Self::Zstd(input) => input.get_ref().get_ref().position(),
        }
    }
}

/// A corpus's text in blocks.
pub(crate) struct Blocks {
    path: PathBuf,
    file: File,
    text_bytes: u64,
    starts: Vec<u64>,
    cache: Cache<u64, Arc<Vec<u8>>>,
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Blocks {
    /// Opens the blocks `file`, which lies at `path`, made from a file with the stamp `source`.
    ///
    /// # Errors
    /// Why they must be made anew.
    pub(crate) fn open(path: &Path, file: File, source: &SourceStamp) -> Result<Self, Unusable> {
        let head: Head = header::read(&file, MAGIC).map_err(Unusable::Corrupt)?;
        if head.version != VERSION || head.source != *source {
            return Err(Unusable::Stale);
        }
        Self::check(path, file, &head).map_err(Unusable::Corrupt)
    }

    fn check(path: &Path, file: File, head: &Head) -> Result<Self, String> {
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        let blocks = head.text_bytes.div_ceil(BLOCK_BYTES as u64);
        let table_bytes = blocks.checked_add(1).and_then(|count| count.checked_mul(8));
        let table_bytes = table_bytes
            .filter(|bytes| head.starts_at.checked_add(*bytes) == Some(length))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or("its length is not what its header says")?;
        let mut table = vec![0; table_bytes];
        file.read_exact_at(&mut table, head.starts_at)
            .map_err(|error| error.to_string())?;
        let starts: Vec<_> = table
            .as_chunks()
            .0
            .iter()
            .map(|bytes| u64::from_le_bytes(*bytes))
            .collect();
        if crc32fast::hash(&table) != head.starts_crc
            || !starts.is_sorted()
            || starts.last() != Some(&head.starts_at)
        {
            return Err("the checksum of its table is wrong".to_owned());
        }
        let cache = Cache::builder()
            .max_capacity(CACHE_BYTES)
            .weigher(|_, block: &Arc<Vec<u8>>| u32::try_from(block.len()).unwrap_or(u32::MAX))
            .build();
        Ok(Self {
            path: path.to_owned(),
            file,
            text_bytes: head.text_bytes,
            starts,
            cache,
        })
    }

    /// How long the text is, in bytes.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Fills `into` with the text at `offset`.
    ///
    /// # Errors
    /// When the file cannot be read, is corrupt, or the text ends before.
    pub(crate) fn read(&self, mut offset: u64, mut into: &mut [u8]) -> Result<()> {
        while !into.is_empty() {
            let index = offset / BLOCK_BYTES as u64;
            let block = self
                .cache
                .try_get_with(index, || self.block(index).map(Arc::new))
                .map_err(|error: Arc<Error>| Error::clone(&error))?;
            let skip = (offset % BLOCK_BYTES as u64) as usize;
            let found = block.get(skip..).filter(|found| !found.is_empty());
            let found = found.ok_or_else(|| corrupt(&self.path, "it is too short"))?;
            let (now, later) = into.split_at_mut(found.len().min(into.len()));
            let (found, _) = found.split_at(now.len());
            now.copy_from_slice(found);
            offset += now.len() as u64;
            into = later;
        }
        Ok(())
    }

    /// Decompresses a block; past the last there is nothing.
    fn block(&self, index: u64) -> Result<Vec<u8>> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let starts = self
            .starts
            .get(at..)
            .and_then(|starts| starts.first_chunk::<2>());
        let Some(&[start, end]) = starts else {
            return Ok(Vec::new());
        };
        let wrong = || corrupt(&self.path, &format!("block {index} cannot be decompressed"));
        let length = usize::try_from(end - start).map_err(|_| wrong())?;
        if length > zstd::zstd_safe::compress_bound(BLOCK_BYTES) {
            return Err(wrong());
        }
        let mut frame = vec![0; length];
        self.file
            .read_exact_at(&mut frame, start)
            .map_err(|error| io_error("reading", &self.path, &error))?;
        let left = self.text_bytes - index * BLOCK_BYTES as u64;
        let expected = left.min(BLOCK_BYTES as u64) as usize;
        let block = zstd::bulk::decompress(&frame, expected).map_err(|_| wrong())?;
        if block.len() == expected {
            Ok(block)
        } else {
            Err(wrong())
        }
    }

    /// The text from its start, past the cache.
    pub(crate) fn reader(&self) -> BlockReader<'_> {
        BlockReader {
            blocks: self,
            next: 0,
            block: io::Cursor::new(Vec::new()),
        }
    }
}

/// Reads block after block.
pub(crate) struct BlockReader<'b> {
    blocks: &'b Blocks,
    next: u64,
    block: io::Cursor<Vec<u8>>,
}

impl Read for BlockReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.block.read(buffer)?;
        if read > 0 {
            return Ok(read);
        }
        let block = self
            .blocks
            .block(self.next)
            .map_err(|e| io::Error::other(e.to_string()))?;
        self.next += 1;
        self.block = io::Cursor::new(block);
        self.block.read(buffer)
    }
}
