//! Views of bytes over tar archives, plain or compressed with gzip, one or many.
//!
//! Each archive has an index of its members beside it, stamped like that of a corpus, and a
//! compressed one a seek index, too. An archive is opened when it is first asked for, and looked at
//! again before each answer: one that was replaced is indexed anew, and the header before a member's
//! data is checked against the index, so that nothing else is ever answered in its place.

mod build;
mod index;
mod matcher;
mod members;
mod shards;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routir_core::{BytesParts, Error, ErrorCode, Result};

pub(crate) use matcher::Matcher;
pub(crate) use shards::Shards;

use build::{Inflated, Plain};
use index::Index;
use members::{Archive, BLOCK, Span};
use shards::Resolver;

use crate::bytes_view::{BytesSource, MAX_ID, Room, mime_of};
use crate::failure::{changed, io_error};
use crate::gzip::{Gzip, Indexer, Spans, spans};
use crate::opening::{Opened, State};
use crate::options::OpenOptions;
use crate::place::{create, sidecars};
use crate::sidecar::Unusable;
use crate::source::Compression;
use crate::stamp::SourceStamp;
use crate::store::{reuse_or_make, unknown};
use crate::template::Template;

/// How many archives are held open.
const OPEN: u64 = 256;

/// What a view over archives is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TarParts {
    /// Where the archives are.
    pub(crate) template: Template,
    /// Which of them holds an id.
    pub(crate) shards: Shards,
    /// Which members belong to it.
    pub(crate) matcher: Matcher,
    /// The media type of all members.
    pub(crate) mime: Option<String>,
    /// The directory for indices; `None` is beside the archive, or else the user's.
    pub(crate) cache_dir: Option<PathBuf>,
}

/// A view over archives.
pub(crate) struct TarView {
    parts: TarParts,
    resolver: Resolver,
    open: Opened<Shard>,
    spans: Spans,
}

impl fmt::Debug for TarView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TarView").finish_non_exhaustive()
    }
}

impl TarView {
    /// Opens a view: the only archive, if there is one, and others when they are first asked for,
    /// or, with `options.all_shards`, all that are known.
    ///
    /// # Errors
    /// When the manifest or an archive cannot be read, or an index cannot be written.
    pub(crate) fn open(parts: TarParts, options: &OpenOptions<'_>) -> Result<Self> {
        let resolver = Resolver::open(&parts.shards)?;
        let view = Self {
            resolver,
            open: Opened::new(OPEN),
            spans: spans(),
            parts,
        };
        if options.all_shards || parts_is_one(&view.parts) {
            for shard in view.resolver.all() {
                let path = view.path(&shard)?;
                let opened = Shard::open(&path, &view, options)?;
                view.open.insert(shard, opened);
            }
        }
        Ok(view)
    }

    fn path(&self, shard: &str) -> Result<PathBuf> {
        self.parts.template.fill(shard).map(PathBuf::from)
    }

    /// The archive of a shard as it lies there now; `None` when there is none and need not be.
    fn shard(&self, name: &str) -> Result<Option<Arc<Shard>>> {
        let path = self.path(name)?;
        let now = fs::metadata(&path);
        if let Some(shard) = self.open.get(name) {
            match &now {
                Ok(now) if State::of(now) != shard.state => self.open.invalidate(name),
                // One that is gone is still there for those who hold it open.
                _ => return Ok(Some(shard)),
            }
        } else if self.resolver.guesses()
            && matches!(&now, Err(error) if error.kind() == io::ErrorKind::NotFound)
        {
            return Ok(None);
        }
        let options = OpenOptions {
            cache_dir: self.parts.cache_dir.as_deref(),
            ..OpenOptions::default()
        };
        let state = now.ok().map(|now| State::of(&now));
        let open = || Shard::open(&path, self, &options);
        self.open.get_or(name, state, open).map(Some)
    }

    fn read_now(&self, id: &str, mut room: Room<'_>) -> Result<BytesParts> {
        let shard = self.resolver.shard(id).ok_or_else(|| unknown(id))?;
        let shard = self.shard(&shard)?.ok_or_else(|| unknown(id))?;
        let names = self.parts.matcher.names(id)?;
        let mut found: Vec<(String, Span)> = Vec::new();
        shard.index.find(&names.prefix, &mut |name, span| {
            room.take(id, 0)?;
            if names.hold(name) {
                room.take(id, span.size)?;
                found.push((String::from_utf8_lossy(name).into_owned(), span));
                Room::check_parts(id, found.len())?;
            }
            Ok(())
        })?;
        if found.is_empty() {
            return Err(unknown(id));
        }
        let mut parts = Vec::with_capacity(found.len());
        for (_, span) in &found {
            room.take(id, 0)?;
            parts.push(shard.member(*span)?.into());
        }
        let names = found.iter().map(|(name, _)| name.as_str());
        let mime = mime_of(self.parts.mime.as_deref(), names);
        Ok(BytesParts {
            parts: parts.into(),
            mime: Some(mime.into()),
        })
    }
}

fn parts_is_one(parts: &TarParts) -> bool {
    parts.shards == Shards::One
}

impl BytesSource for TarView {
    fn read(&self, id: &str, room: Room<'_>) -> Result<BytesParts> {
        if id.len() > MAX_ID {
            return Err(unknown(id));
        }
        match self.read_now(id, room) {
            // An archive that is being replaced is another a moment later.
            Err(error) if error.code() == ErrorCode::EngineFailure => {
                if let Some(shard) = self.resolver.shard(id) {
                    self.open.invalidate(&shard);
                }
                self.read_now(id, room)
            }
            read => read,
        }
    }
}

/// One archive with its index.
#[derive(Debug)]
struct Shard {
    path: PathBuf,
    state: State,
    data: Data,
    index: Index,
}

#[derive(Debug)]
enum Data {
    Plain(File),
    Gzip(Gzip),
}

impl Shard {
    fn open(path: &Path, view: &TarView, options: &OpenOptions<'_>) -> Result<Self> {
        let file = File::open(path).map_err(|error| io_error("opening", path, &error))?;
        let reading = |error: io::Error| io_error("reading", path, &error);
        let meta = file.metadata().map_err(reading)?;
        if !meta.is_file() {
            return Err(Error::invalid(format!("{} is no file", path.display())));
        }
        let state = State::of(&meta);
        let stamp = SourceStamp::of(&file).map_err(reading)?;
        let cache_dir = view.parts.cache_dir.as_deref().or(options.cache_dir);
        let targets = |suffix| sidecars(path, cache_dir, suffix);
        let members = targets(".routir-members");
        let data = match Compression::of(&file, path)? {
            None => Data::Plain(file),
            Some(Compression::Gzip) => {
                let open = &mut |index_path: &Path, index: File| {
                    let file = file.try_clone();
                    let file = file.map_err(|error| Unusable::Corrupt(error.to_string()))?;
                    Gzip::open((path, file, &stamp), (index_path, index), &view.spans)
                };
                // Both indices are made in one pass, since inflating is what takes long.
                let make = &mut |out: &File, _: &Path| {
                    let mut indexer = Indexer::new(&file, out);
                    let (made, _) = create(&members, &mut |out, _| {
                        let mut archive = Inflated {
                            indexer: &mut indexer,
                            at: 0,
                        };
                        build::build((path, &stamp), &mut archive, out, options)
                    })?;
                    indexer.finish(&stamp).map_err(|error| {
                        // Of an archive that is damaged further on nothing is left behind.
                        let _ = fs::remove_file(&made);
                        build::unreadable(path, &error.to_string())
                    })
                };
                Data::Gzip(reuse_or_make(
                    &targets(".routir-gzip"),
                    options,
                    open,
                    make,
                )?)
            }
            Some(Compression::Zstd) => {
                return Err(Error::invalid(format!(
                    "{} is compressed with zstd, and archives may be plain or compressed with gzip",
                    path.display()
                )));
            }
        };
        let open = &mut |path: &Path, file| Index::open(path, file, &stamp);
        let make = &mut |out: &File, _: &Path| {
            build::build((path, &stamp), &mut *data.archive(stamp.size), out, options)
        };
        // What was just made with the seek index is not made again.
        let options = &OpenOptions {
            rebuild: options.rebuild && matches!(data, Data::Plain(_)),
            ..*options
        };
        let index = reuse_or_make(&members, options, open, make)?;
        let after = SourceStamp::of(data.file()).map_err(reading)?;
        if after != stamp {
            return Err(changed(path, "while it was indexed"));
        }
        Ok(Self {
            path: path.to_owned(),
            state,
            data,
            index,
        })
    }

    /// The data at `span`.
    fn member(&self, span: Span) -> Result<Vec<u8>> {
        let wrong = |what: &str| changed(&self.path, what);
        let start = span.offset.checked_sub(BLOCK as u64);
        let start = start.ok_or_else(|| wrong("its index makes no sense"))?;
        let size = usize::try_from(span.size).map_err(|_| wrong("a member is too long"))?;
        let mut bytes = vec![0; BLOCK + size];
        match &self.data {
            Data::Plain(file) => file.read_exact_at(&mut bytes, start).map_err(|error| {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    wrong("it is too short")
                } else {
                    io_error("reading", &self.path, &error)
                }
            })?,
            Data::Gzip(gzip) => gzip.read(start, &mut bytes)?,
        }
        let after = self.data.file().metadata();
        let after = after.map_err(|error| io_error("reading", &self.path, &error))?;
        let header = bytes.get(..BLOCK).unwrap_or_default();
        if crc32fast::hash(header) != span.header_crc || State::of(&after) != self.state {
            return Err(wrong("a member is not where it was"));
        }
        Ok(bytes.split_off(BLOCK))
    }
}

impl Data {
    fn file(&self) -> &File {
        match self {
            Self::Plain(file) => file,
            Self::Gzip(gzip) => gzip.file(),
        }
    }

    fn archive(&self, size: u64) -> Box<dyn Archive + '_> {
        match self {
            Self::Plain(file) => Box::new(Plain { file, size }),
            Self::Gzip(gzip) => Box::new(Packed(gzip)),
        }
    }
}

/// A compressed archive whose seek index is there.
struct Packed<'g>(&'g Gzip);

impl Archive for Packed<'_> {
    fn fill(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.0.text_bytes().saturating_sub(offset);
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let (into, _) = buffer.split_at_mut(count);
        let read = self.0.read(offset, into);
        read.map_err(|error| io::Error::other(error.message().to_owned()))?;
        Ok(count)
    }

    fn reaches(&mut self, length: u64) -> io::Result<bool> {
        Ok(length <= self.0.text_bytes())
    }
}
