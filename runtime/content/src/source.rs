//! The text of a corpus, by offset or from end to end, plain or compressed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use routir_core::{Error, Result};

use crate::blocks::Blocks;
use crate::failure::{changed, io_error};
use crate::reading::Reading;

/// A part of the text: offsets count decompressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    /// Where it starts.
    pub(crate) offset: u64,
    /// How long it is.
    pub(crate) length: u32,
}

/// How a corpus file is compressed, told by its first bytes and not by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// With gzip, in one member or several.
    Gzip,
    /// With zstd, in one frame or several.
    Zstd,
}

impl Compression {
    /// How `file` is compressed; `None` when it is not.
    ///
    /// # Errors
    /// When it cannot be read, or is compressed in a way that is not supported.
    pub(crate) fn of(file: &File, path: &Path) -> Result<Option<Self>> {
        let mut magic = [0; 6];
        let mut known = 0;
        while let Some(room) = magic.get_mut(known..).filter(|room| !room.is_empty()) {
            match file.read_at(room, known as u64) {
                Ok(0) => break,
                Ok(n) => known += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error("reading", path, &error)),
            }
        }
        let other = match magic {
            [0x1f, 0x8b, ..] => return Ok(Some(Self::Gzip)),
            // A frame, or a skippable frame before one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                return Ok(Some(Self::Zstd));
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => "bzip2",
            _ => return Ok(None),
        };
        Err(Error::invalid(format!(
            "{} is compressed with {other}, which is not supported; decompress it, or compress it \
             with gzip or zstd",
            path.display()
        )))
    }
}

/// The text of a corpus.
#[derive(Debug)]
pub(crate) enum Source {
    /// The file itself.
    Plain {
        /// Where it lies.
        path: PathBuf,
        /// The file.
        file: File,
        /// Its length when it was opened.
        size: u64,
    },
    /// Blocks made from a compressed file.
    Blocks {
        /// Where the compressed file lies.
        path: PathBuf,
        /// The compressed file.
        file: File,
        /// Its text.
        blocks: Blocks,
    },
}

impl Source {
    /// Where the corpus lies.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Plain { path, .. } | Self::Blocks { path, .. } => path,
        }
    }

    /// The corpus file.
    pub(crate) fn file(&self) -> &File {
        match self {
            Self::Plain { file, .. } | Self::Blocks { file, .. } => file,
        }
    }

    /// How long the text is, in bytes.
    pub(crate) fn text_bytes(&self) -> u64 {
        match self {
            Self::Plain { size, .. } => *size,
            Self::Blocks { blocks, .. } => blocks.text_bytes(),
        }
    }

    /// A part of the text. Blocks are never at hand: they must be decompressed.
    ///
    /// # Errors
    /// When it cannot be read that way, or the file is not what it was.
    pub(crate) fn read(&self, span: Span, reading: Reading) -> Result<Vec<u8>> {
        let end = span.offset.checked_add(u64::from(span.length));
        if end.is_none_or(|end| end > self.text_bytes()) {
            return Err(changed(self.path(), "it is too short"));
        }
        let mut bytes = vec![0; span.length as usize];
        match self {
            Self::Plain { path, file, .. } => {
                reading
                    .exact_at(file, &mut bytes, span.offset)
                    .map_err(|error| {
                        if error.kind() == io::ErrorKind::UnexpectedEof {
                            changed(path, "it is too short")
                        } else {
                            io_error("reading", path, &error)
                        }
                    })?;
            }
            Self::Blocks { path, blocks, .. } => match reading {
                Reading::Patient => blocks.read(span.offset, &mut bytes)?,
                Reading::AtHand => {
                    let error = io::ErrorKind::WouldBlock.into();
                    return Err(io_error("reading", path, &error));
                }
            },
        }
        Ok(bytes)
    }

    /// The text from its start.
    pub(crate) fn reader(&self) -> Box<dyn Read + Send + '_> {
        match self {
            Self::Plain { file, .. } => Box::new(FromStart::new(file)),
            Self::Blocks { blocks, .. } => Box::new(blocks.reader()),
        }
    }
}

/// Reads a file from its start without moving the cursor that all its users share.
pub(crate) struct FromStart<'f> {
    file: &'f File,
    at: u64,
}

impl<'f> FromStart<'f> {
    /// At the start of `file`.
    pub(crate) fn new(file: &'f File) -> Self {
        Self { file, at: 0 }
    }

    /// How many bytes have been read.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
