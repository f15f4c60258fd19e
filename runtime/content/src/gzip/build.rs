//! Building a seek index: one pass over a gzip file, whose text a reader may follow.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::inflate::{Inflater, Step, WINDOW};
use super::{Head, MAGIC, MAX_SPAN, POINT_BYTES, Point, SPAN, VERSION};
use crate::header::{self, HEADER_BYTES};
use crate::stamp::SourceStamp;

/// zstd's default for the windows.
const LEVEL: i32 = 3;

/// Reads the text of a gzip file and notes on the way where reading can begin again.
pub(crate) struct Indexer<'f> {
    inflater: Inflater<'f>,
    out: &'f File,
    /// Where the next window goes.
    at: u64,
    points: Vec<Point>,
    /// Where the text of the last point starts in what is inflated.
    start: usize,
    /// Up to where it has been handed on.
    handed: usize,
    boundary: bool,
}

impl<'f> Indexer<'f> {
    /// Of `file`; windows are written into `out`.
    pub(crate) fn new(file: &'f File, out: &'f File) -> Self {
        Self {
            inflater: Inflater::new(file),
            out,
            at: HEADER_BYTES,
            points: vec![Point::start()],
            start: 0,
            handed: 0,
            boundary: false,
        }
    }

    /// Inflates what follows what has been handed on; whether there was anything.
    fn more(&mut self) -> io::Result<bool> {
        loop {
            if self.boundary && self.handed - self.start >= SPAN {
                self.cut()?;
            }
            if self.handed - self.start > MAX_SPAN {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it has a compressed block of more than 64 MiB; compress it again with gzip",
                ));
            }
            let step = self.inflater.step(SPAN)?;
            self.boundary = step == Step::Boundary;
            if self.inflater.out().len() > self.handed {
                return Ok(true);
            }
            if step == Step::Ended {
                return Ok(false);
            }
        }
    }

    /// Ends the span and begins another here.
    fn cut(&mut self) -> io::Result<()> {
        let Some(here) = self.inflater.here() else {
            return Ok(());
        };
        let text = self.inflater.out().get(self.start..).unwrap_or_default();
        let (crc, length) = (crc32fast::hash(text), text.len() as u64);
        let Some(last) = self.points.last_mut() else {
            return Ok(());
        };
        last.crc = crc;
        let text_at = last.text + length;
        self.start = self.inflater.shift();
        self.handed = self.start;
        let window = if here.member {
            &[]
        } else {
            self.inflater.out()
        };
        let packed = zstd::bulk::compress(window, LEVEL)?;
        self.out.write_all_at(&packed, self.at)?;
        self.points.push(Point {
            text: text_at,
            resume: here,
            window_at: self.at,
            window_length: u32::try_from(packed.len()).map_err(io::Error::other)?,
            crc: 0,
        });
        self.at += packed.len() as u64;
        debug_assert!(self.start <= WINDOW, "a window has a bound");
        Ok(())
    }

    /// Reads the rest and writes the index.
    ///
    /// # Errors
    /// When the file cannot be read, is cut off or corrupt; when the index cannot be written.
    pub(crate) fn finish(mut self, source: &SourceStamp) -> io::Result<()> {
        loop {
            self.handed = self.inflater.out().len();
            if !self.more()? {
                break;
            }
        }
        let text = self.inflater.out().get(self.start..).unwrap_or_default();
        let length = text.len() as u64;
        let crc = crc32fast::hash(text);
        let last = self.points.last_mut();
        let text_bytes = last.map_or(0, |last| {
            last.crc = crc;
            last.text + length
        });
        let mut table = Vec::with_capacity(self.points.len() * POINT_BYTES);
        for point in &self.points {
            point.write(&mut table);
        }
        self.out.write_all_at(&table, self.at)?;
        let head = Head {
            version: VERSION,
            source: source.clone(),
            text_bytes,
            points: self.points.len() as u64,
            table_at: self.at,
            table_crc: crc32fast::hash(&table),
        };
        header::write(self.out, MAGIC, &head)
    }
}

impl Read for Indexer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.handed == self.inflater.out().len() && !self.more()? {
            return Ok(0);
        }
        let ready = self.inflater.out().get(self.handed..).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        let (into, _) = buffer.split_at_mut(count);
        into.copy_from_slice(ready.get(..count).unwrap_or_default());
        self.handed += count;
        Ok(count)
    }
}
