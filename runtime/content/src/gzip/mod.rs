//! Reading a gzip file at random, without a copy of it: a seek index beside it says where inflating
//! can begin again.
//!
//! Every half megabyte of text or so, at the end of a compressed block, the index keeps the place in
//! the file (to the bit), the 32 KiB of text before it, to which the next block may refer, and a
//! checksum of the text up to the next place. To read is to inflate from the place before and to
//! check what comes out; so a file that changed under the index gives an error and never another
//! text. What is inflated is kept for a while.
//!
//! A look-up inflates 256 KiB more than it needs on average, and the windows are up to a sixteenth of
//! the text on disk, before they are compressed. For corpora of JSON lines the server writes blocks of
//! zstd instead (see [`crate::blocks`]): smaller ones, since a rerank reads a hundred documents. What
//! lies in `.tar.gz` is images and recordings, which no copy makes smaller.
//!
//! Layout, after a header of 4 KiB (see [`crate::header`]): the windows, a zstd frame each; then a
//! table of points, 40 bytes each, little-endian.

mod build;
mod inflate;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use routir_core::{Error, Result};
use serde::{Deserialize, Serialize};

pub(crate) use build::Indexer;
use inflate::{Inflater, Resume, Step, WINDOW};

use crate::failure::{changed, corrupt, io_error};
use crate::header;
use crate::sidecar::Unusable;
use crate::stamp::SourceStamp;

const MAGIC: &[u8; 8] = b"RTRGZIP\n";

/// Grows with every change of the layout.
const VERSION: u32 = 1;

/// After how much text a point is wanted.
const SPAN: usize = 512 << 10;

/// The most text between two points: what one look-up may have to hold.
const MAX_SPAN: usize = 64 << 20;

const POINT_BYTES: usize = 40;

/// How much inflated text is kept, by all that share a cache.
const CACHE_BYTES: u64 = 64 << 20;

/// Inflated text by file and point.
pub(crate) type Spans = Cache<(u64, usize), Arc<Vec<u8>>>;

/// A cache of inflated text, for files that are read together.
pub(crate) fn spans() -> Spans {
    Cache::builder()
        .max_capacity(CACHE_BYTES)
        .weigher(|_, text: &Arc<Vec<u8>>| u32::try_from(text.len()).unwrap_or(u32::MAX))
        .build()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    /// The compressed file.
    source: SourceStamp,
    text_bytes: u64,
    points: u64,
    table_at: u64,
    table_crc: u32,
}

/// A place where inflating can begin, and the text from there to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    /// Its offset in the text.
    text: u64,
    resume: Resume,
    /// Where the window lies in the index, and how long it is there.
    window_at: u64,
    window_length: u32,
    /// The checksum of the text up to the next point.
    crc: u32,
}

impl Point {
    fn start() -> Self {
        let resume = Resume {
            input: 0,
            bits: 0,
            bit_buf: 0,
            member: true,
        };
        Self {
            text: 0,
            resume,
            window_at: 0,
            window_length: 0,
            crc: 0,
        }
    }

    fn write(&self, table: &mut Vec<u8>) {
        let Resume {
            input,
            bits,
            bit_buf,
            member,
        } = self.resume;
        for number in [self.text, input, self.window_at] {
            table.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.window_length, self.crc] {
            table.extend_from_slice(&number.to_le_bytes());
        }
        table.extend_from_slice(&[bits, bit_buf, u8::from(member), 0, 0, 0, 0, 0]);
    }

    fn read(bytes: &[u8; POINT_BYTES]) -> Option<Self> {
        let (numbers, rest) = bytes.split_first_chunk::<24>()?;
        let [text, input, window_at] = *numbers.as_chunks().0.first_chunk::<3>()?;
        let [window_length, crc, flags, _] = *rest.as_chunks::<4>().0.first_chunk::<4>()?;
        let [bits, bit_buf, member, _] = flags;
        (bits < 8).then_some(Self {
            text: u64::from_le_bytes(text),
            resume: Resume {
                input: u64::from_le_bytes(input),
                bits,
                bit_buf,
                member: member != 0,
            },
            window_at: u64::from_le_bytes(window_at),
            window_length: u32::from_le_bytes(window_length),
            crc: u32::from_le_bytes(crc),
        })
    }
}

/// A gzip file with its seek index.
pub(crate) struct Gzip {
    /// The gzip file.
    path: PathBuf,
    file: File,
    index_path: PathBuf,
    index: File,
    text_bytes: u64,
    points: Vec<Point>,
    /// What tells its text from others' in the cache.
    number: u64,
    spans: Spans,
}

impl fmt::Debug for Gzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gzip")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Gzip {
    /// Opens `index`, which lies at `index_path`, of the gzip file at `path` with this stamp.
    ///
    /// # Errors
    /// Why the index must be made anew.
    pub(crate) fn open(
        (path, file, stamp): (&Path, File, &SourceStamp),
        (index_path, index): (&Path, File),
        spans: &Spans,
    ) -> Result<Self, Unusable> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let head: Head = header::read(&index, MAGIC).map_err(Unusable::Corrupt)?;
        if head.version != VERSION || head.source != *stamp {
            return Err(Unusable::Stale);
        }
        let points = table(&index, &head).map_err(Unusable::Corrupt)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            index_path: index_path.to_owned(),
            index,
            text_bytes: head.text_bytes,
            points,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            spans: spans.clone(),
        })
    }

    /// The gzip file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// How long the text is, in bytes.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Fills `into` with the text at `offset`.
    ///
    /// # Errors
    /// When the text ends before, or is not what it was when it was indexed.
    pub(crate) fn read(&self, mut offset: u64, mut into: &mut [u8]) -> Result<()> {
        while !into.is_empty() {
            let next = self.points.partition_point(|point| point.text <= offset);
            let index = next.saturating_sub(1);
            let span = self
                .spans
                .try_get_with((self.number, index), || self.span(index).map(Arc::new));
            let span = span.map_err(|error: Arc<Error>| Error::clone(&error))?;
            let start = self.points.get(index).map_or(0, |point| point.text);
            let found = usize::try_from(offset - start).ok();
            let found = found.and_then(|skip| span.get(skip..));
            let found = found.filter(|found| !found.is_empty());
            let found = found.ok_or_else(|| changed(&self.path, "its text is too short"))?;
            let (now, later) = into.split_at_mut(found.len().min(into.len()));
            let (found, _) = found.split_at(now.len());
            now.copy_from_slice(found);
            offset += now.len() as u64;
            into = later;
        }
        Ok(())
    }

    /// Inflates the text from a point to the next.
    fn span(&self, index: usize) -> Result<Vec<u8>> {
        let missing = || changed(&self.path, "its text is too short");
        let point = self.points.get(index).ok_or_else(missing)?;
        let next = self.points.get(index + 1);
        let length = next.map_or(self.text_bytes, |next| next.text) - point.text;
        let length = usize::try_from(length).map_err(|_| missing())?;
        let window = self.window(point)?;
        let mut inflater = Inflater::resume(&self.file, point.resume, &window);
        let end = window.len() + length;
        while inflater.out().len() < end {
            let room = end - inflater.out().len();
            let step = inflater.step(room).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                    changed(&self.path, &error.to_string())
                }
                _ => io_error("reading", &self.path, &error),
            })?;
            if step == Step::Ended {
                return Err(missing());
            }
        }
        let mut text = inflater.into_out();
        text.drain(..window.len());
        if crc32fast::hash(&text) == point.crc {
            Ok(text)
        } else {
            Err(changed(&self.path, "its text"))
        }
    }

    fn window(&self, point: &Point) -> Result<Vec<u8>> {
        if point.window_length == 0 {
            return Ok(Vec::new());
        }
        let mut packed = vec![0; point.window_length as usize];
        self.index
            .read_exact_at(&mut packed, point.window_at)
            .map_err(|error| io_error("reading", &self.index_path, &error))?;
        zstd::bulk::decompress(&packed, WINDOW)
            .map_err(|_| corrupt(&self.index_path, "a window cannot be decompressed"))
    }
}

/// The points, checked: what they say can be held, and leads forward.
fn table(index: &File, head: &Head) -> Result<Vec<Point>, String> {
    let length = index.metadata().map_err(|error| error.to_string())?.len();
    let bytes = head.points.checked_mul(POINT_BYTES as u64);
    let bytes = bytes
        .filter(|bytes| head.table_at.checked_add(*bytes) == Some(length))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or("its length is not what its header says")?;
    let mut table = vec![0; bytes];
    index
        .read_exact_at(&mut table, head.table_at)
        .map_err(|error| error.to_string())?;
    if crc32fast::hash(&table) != head.table_crc {
        return Err("the checksum of its table is wrong".to_owned());
    }
    let points = table.as_chunks().0.iter().map(Point::read);
    let points: Option<Vec<_>> = points.collect();
    let points = points.ok_or("its table makes no sense")?;
    let mut starts = points.iter().map(|point| point.text);
    let mut ends = points.iter().skip(1).map(|point| point.text);
    let fits = |start: u64| {
        let end = ends.next().unwrap_or(head.text_bytes);
        end.checked_sub(start)
            .is_some_and(|length| length <= (MAX_SPAN + SPAN) as u64)
    };
    let windows = points
        .iter()
        .all(|point| point.window_length as usize <= zstd::zstd_safe::compress_bound(WINDOW));
    if points.first().is_some_and(|point| point.text == 0) && starts.all(fits) && windows {
        Ok(points)
    } else {
        Err("its table makes no sense".to_owned())
    }
}

/// Reads what is left of `input` and forgets it.
pub(crate) fn drain(input: &mut dyn Read) -> io::Result<u64> {
    io::copy(input, &mut io::sink())
}
