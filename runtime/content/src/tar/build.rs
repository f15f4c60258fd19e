//! Building the index of an archive: one walk over its headers, or, compressed, over all of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use routir_core::{Error, Result};

use super::index::Writer;
use super::members::{Archive, Member, Span, Tally, walk};
use crate::failure::io_error;
use crate::gzip::{Indexer, drain};
use crate::options::{OpenOptions, Phase, Progress};
use crate::stamp::SourceStamp;

/// The most members of one archive, and the most bytes of their names: what is held while they are
/// sorted is 1 GiB or so.
const MAX_MEMBERS: usize = 16 << 20;
const MAX_NAMES: usize = 512 << 20;

/// After how many members the progress is told.
const TELL: u64 = 4096;

/// A plain archive.
pub(super) struct Plain<'f> {
    pub(super) file: &'f File,
    pub(super) size: u64,
}

impl Archive for Plain<'_> {
    fn fill(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.file.read_at(room, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn reaches(&mut self, length: u64) -> io::Result<bool> {
        Ok(length <= self.size)
    }
}

/// The text of a compressed archive, as it comes.
pub(super) struct Inflated<'i, 'f> {
    pub(super) indexer: &'i mut Indexer<'f>,
    pub(super) at: u64,
}

impl Archive for Inflated<'_, '_> {
    fn fill(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.reaches(offset)? {
            return Ok(0);
        }
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.indexer.read(room)? {
                0 => break,
                read => filled += read,
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    fn reaches(&mut self, length: u64) -> io::Result<bool> {
        let ahead = length.saturating_sub(self.at);
        self.at += drain(&mut self.indexer.by_ref().take(ahead))?;
        Ok(self.at >= length)
    }
}

/// The members of an archive while they are gathered.
#[derive(Default)]
struct Gathered {
    names: Vec<u8>,
    files: Vec<(Name, Span)>,
    links: Vec<(Name, Name)>,
}

/// Where a name lies among the names.
#[derive(Clone, Copy)]
struct Name {
    at: usize,
    length: usize,
}

impl Gathered {
    fn name(&self, name: Name) -> &[u8] {
        let end = name.at + name.length;
        self.names.get(name.at..end).unwrap_or_default()
    }

    fn keep(&mut self, name: &[u8]) -> Result<Name, String> {
        if self.files.len() + self.links.len() >= MAX_MEMBERS
            || self.names.len() + name.len() > MAX_NAMES
        {
            return Err(format!(
                "it has more than {MAX_MEMBERS} members, or more than 512 MiB of names; \
                 split it into shards"
            ));
        }
        let at = self.names.len();
        self.names.extend_from_slice(name);
        Ok(Name {
            at,
            length: name.len(),
        })
    }

    /// By name; of several of a name the last, as programs that unpack leave it. A link is what the
    /// file of that name is; returns how many lead nowhere.
    fn settle(&mut self) -> u64 {
        self.order();
        let links = std::mem::take(&mut self.links);
        let mut nowhere = 0;
        let mut found = Vec::new();
        for (name, target) in &links {
            let target = self.name(*target);
            let at = self
                .files
                .binary_search_by(|(name, _)| self.name(*name).cmp(target));
            match at.ok().and_then(|at| self.files.get(at)) {
                Some((_, span)) => found.push((*name, *span)),
                None => nowhere += 1,
            }
        }
        self.files.extend(found);
        self.order();
        nowhere
    }

    fn order(&mut self) {
        let names = &self.names;
        let text = |name: Name| {
            names
                .get(name.at..name.at + name.length)
                .unwrap_or_default()
        };
        // The later one lies later among the names.
        self.files.sort_unstable_by(|(one, _), (other, _)| {
            text(*one).cmp(text(*other)).then(other.at.cmp(&one.at))
        });
        self.files
            .dedup_by(|(one, _), (other, _)| text(*one) == text(*other));
    }
}

/// Walks `archive`, which lies at `path`, and writes its index into `out`.
///
/// # Errors
/// When it is no archive, cut off, corrupt or too large; when the index cannot be written.
pub(super) fn build(
    (path, source): (&Path, &SourceStamp),
    archive: &mut dyn Archive,
    out: &File,
    options: &OpenOptions<'_>,
) -> Result<()> {
    let mut gathered = Gathered::default();
    let mut progress = Progress {
        phase: Phase::Indexing,
        path,
        bytes_done: 0,
        bytes_total: source.size,
        documents: 0,
    };
    let mut each = |name: &[u8], member: Member<'_>| {
        let name = gathered.keep(name)?;
        match member {
            Member::File(span) => {
                gathered.files.push((name, span));
                progress.bytes_done = span.offset;
            }
            Member::Link(target) => {
                let target = gathered.keep(target)?;
                gathered.links.push((name, target));
            }
        }
        progress.documents += 1;
        if progress.documents.is_multiple_of(TELL) {
            options.tell(progress.clone());
        }
        Ok(())
    };
    let tally = walk(archive, &mut each).map_err(|why| unreadable(path, &why))?;
    let nowhere = gathered.settle();
    report(path, &tally, nowhere);
    let writing = |error: io::Error| io_error("writing the index of", path, &error);
    let mut writer = Writer::new(out);
    for (name, span) in &gathered.files {
        writer.push(gathered.name(*name), *span).map_err(writing)?;
    }
    let members = writer.finish(source).map_err(writing)?;
    tracing::info!("{}: {members} members indexed", path.display());
    Ok(())
}

/// What is wrong with an archive.
pub(super) fn unreadable(path: &Path, why: &str) -> Error {
    Error::invalid(format!(
        "the archive {} cannot be read: {why}; make or fetch it again",
        path.display()
    ))
}

fn report(path: &Path, tally: &Tally, nowhere: u64) {
    let path = path.display();
    if !tally.ended {
        tracing::warn!("{path} does not say where it ends; members may be missing");
    }
    if tally.skipped > 0 {
        let skipped = tally.skipped;
        tracing::warn!("{path}: {skipped} members are no plain files and are passed over");
    }
    if nowhere > 0 {
        tracing::warn!("{path}: {nowhere} hard links lead to nothing and are passed over");
    }
}
