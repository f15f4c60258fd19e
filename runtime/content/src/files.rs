//! Views of bytes over files, one or several per document.
//!
//! Whoever asks chooses the id, and so a part of the path. Under a `base_dir` nothing leads out of
//! it, be it `..`, a link or a path from the root: the real path must lie below it, and is opened
//! from there with the kernel's promise not to follow a link on the way. Without a `base_dir` an id
//! with `..` or from the root is refused, and links are the operator's own.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use routir_core::{BytesParts, Error, Result};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use crate::bytes_view::{BytesSource, MAX_ID, Room, mime_of};
use crate::failure::{fault, io_error};
use crate::glob_walk::matching;
use crate::store::unknown;
use crate::template::Template;

/// Where a document's files are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// One file.
    Template(Template),
    /// All that match, sorted by name.
    Glob(Template),
}

/// What a view over files is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FilesParts {
    /// Where the files are.
    pub(crate) place: Place,
    /// What no path may leave.
    pub(crate) base_dir: Option<PathBuf>,
    /// The media type of all files.
    pub(crate) mime: Option<String>,
}

/// A view over files.
#[derive(Debug)]
pub(crate) struct FilesView {
    parts: FilesParts,
    base: Option<Base>,
}

/// The directory that no path may leave.
#[derive(Debug)]
struct Base {
    real: PathBuf,
    directory: OwnedFd,
}

impl FilesView {
    /// Opens a view.
    ///
    /// # Errors
    /// When `base_dir` is no directory that can be opened.
    pub(crate) fn open(parts: FilesParts) -> Result<Self> {
        let base = parts.base_dir.as_deref().map(Base::open).transpose()?;
        Ok(Self { parts, base })
    }

    /// The paths of a document's files.
    fn paths(&self, id: &str, room: &mut Room<'_>) -> Result<Vec<PathBuf>> {
        let template = match &self.parts.place {
            Place::Template(template) => return Ok(vec![template.fill(id)?.into()]),
            Place::Glob(template) => template,
        };
        let pattern = template.fill(&glob::Pattern::escape(id))?;
        matching(&pattern, id, room)
    }

    /// Opens a file; `None` when there is none.
    fn open_file(&self, id: &str, path: &Path) -> Result<Option<File>> {
        let opened = match &self.base {
            Some(base) => base.open_below(id, path)?,
            None => plain(path),
        };
        match opened {
            Ok(file) => Ok(Some(file)),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(fault(io_error("opening", path, &error))),
        }
    }
}

impl BytesSource for FilesView {
    fn read(&self, id: &str, mut room: Room<'_>) -> Result<BytesParts> {
        if id.len() > MAX_ID || id.contains('\0') {
            return Err(unknown(id));
        }
        let one = matches!(self.parts.place, Place::Template(_));
        // A glob lists directories before any path is looked at.
        if (self.base.is_none() || !one) && leads_out(id) {
            return Err(outside(id));
        }
        let mut parts = Vec::new();
        let mut names = Vec::new();
        for path in self.paths(id, &mut room)? {
            let Some(file) = self.open_file(id, &path)? else {
                continue;
            };
            let reading = |error: io::Error| fault(io_error("reading", &path, &error));
            let meta = file.metadata().map_err(reading)?;
            if !meta.is_file() {
                // A glob may match directories, too.
                if one && !meta.is_dir() {
                    return Err(Error::invalid(format!("document {id} is no plain file")));
                }
                continue;
            }
            parts.push(
                contents(id, &file, &meta, &mut room).map_err(|error| match error {
                    Failure::Refused(error) => error,
                    Failure::Io(error) => reading(error),
                })?,
            );
            names.push(path.to_string_lossy().into_owned());
        }
        if parts.is_empty() {
            return Err(unknown(id));
        }
        let parts: Vec<_> = parts.into_iter().map(Into::into).collect();
        let mime = mime_of(self.parts.mime.as_deref(), names.iter().map(String::as_str));
        Ok(BytesParts {
            parts: parts.into(),
            mime: Some(mime.into()),
        })
    }
}

enum Failure {
    Refused(Error),
    Io(io::Error),
}

/// All bytes of a file, and no more than there is room for, whatever it grows to meanwhile.
fn contents(
    id: &str,
    file: &File,
    meta: &Metadata,
    room: &mut Room<'_>,
) -> Result<Vec<u8>, Failure> {
    // What it is said to have must fit before any of it is held.
    let mut fits = *room;
    fits.take(id, meta.len()).map_err(Failure::Refused)?;
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    let most = room.bytes.saturating_add(1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(Failure::Io)?;
    room.take(id, bytes.len() as u64)
        .map_err(Failure::Refused)?;
    Ok(bytes)
}

impl Base {
    fn open(path: &Path) -> Result<Self> {
        let wrong = |error: io::Error| io_error("opening the base directory", path, &error);
        let real = fs::canonicalize(path).map_err(wrong)?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let directory = open(&real, flags, Mode::empty());
        let directory = directory.map_err(|error| wrong(error.into()))?;
        Ok(Self { real, directory })
    }

    /// Opens `path` if it really lies below the base.
    fn open_below(&self, id: &str, path: &Path) -> Result<io::Result<File>> {
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            // Of what leads out of the base nothing is told, not even that it is absent.
            Err(_) if leads_out(id) => return Err(outside(id)),
            Err(error) => return Ok(Err(error)),
        };
        let below = real.strip_prefix(&self.real).map_err(|_| outside(id))?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(&self.directory, below, flags, Mode::empty(), resolve);
        Ok(match opened {
            Ok(file) => Ok(File::from(file)),
            // An old kernel, or a sandbox that knows no such call: the real path once more, after
            // the file is open.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => match plain(&real) {
                Ok(file) if fs::canonicalize(&real).is_ok_and(|now| now == real) => Ok(file),
                Ok(_) => return Err(outside(id)),
                Err(error) => Err(error),
            },
            Err(Errno::LOOP | Errno::XDEV) => return Err(outside(id)),
            Err(error) => Err(error.into()),
        })
    }
}

fn plain(path: &Path) -> io::Result<File> {
    // A pipe that nobody writes to is not waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

pub(crate) fn is_absence(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error())
}

/// Whether an id leads elsewhere than below where it is put.
fn leads_out(id: &str) -> bool {
    let path = Path::new(id);
    path.components()
        .any(|part| matches!(part, Component::ParentDir | Component::RootDir))
}

fn outside(id: &str) -> Error {
    Error::invalid(format!(
        "document {id} lies outside of the directory that this view may read"
    ))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
