//! One corpus file under one id field: its text, and where each document lies in it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use routir_core::{Error, ErrorCode, Result};

use crate::blocks::{self, Blocks};
use crate::failure::{changed, io_error};
use crate::id_hash::IdHash;
use crate::options::{Location, OpenOptions};
use crate::place::{Place, create, places};
use crate::reading::Reading;
use crate::sidecar::{self, Sidecar, Unusable, Wanted};
use crate::source::{Compression, Source, Span};
use crate::stamp::SourceStamp;

/// One corpus file under one id field.
#[derive(Debug)]
pub(crate) struct Store {
    id_field: String,
    source: Source,
    sidecar: Sidecar,
}

impl Store {
    /// Opens the corpus at `location` with what was built for it before, or builds that.
    ///
    /// # Errors
    /// When the corpus cannot be read or is no such corpus, when there is no place for its index,
    /// or when it changes meanwhile.
    pub(crate) fn open(location: &Location, options: &OpenOptions<'_>) -> Result<Self> {
        Self::open_hashed(location, options, IdHash::random())
    }

    /// As [`Store::open`] with the hash that a new sidecar gets.
    pub(crate) fn open_hashed(
        location: &Location,
        options: &OpenOptions<'_>,
        hash: IdHash,
    ) -> Result<Self> {
        let path = &location.doc_path;
        let file = File::open(path).map_err(|error| io_error("opening", path, &error))?;
        let stamp_of =
            |file: &File| SourceStamp::of(file).map_err(|error| io_error("reading", path, &error));
        let stamp = stamp_of(&file)?;
        let places = places(location);
        let source = match Compression::of(&file, path)? {
            None => Source::Plain {
                path: path.clone(),
                file,
                size: stamp.size,
            },
            Some(compression) => {
                let blocks = open_blocks(path, &file, &stamp, compression, &places, options)?;
                Source::Blocks {
                    path: path.clone(),
                    file,
                    blocks,
                }
            }
        };
        let wanted = Wanted {
            source: &stamp,
            id_field: &location.id_field,
            max_line_bytes: options.max_line_bytes,
        };
        let targets: Vec<_> = places.iter().map(|place| place.offsets.clone()).collect();
        let open = &mut |path: &Path, file| Sidecar::open(path, file, wanted);
        let build = &mut |file: &File, dir: &Path| {
            sidecar::build(&source, wanted, hash, options, file, dir)?;
            if stamp_of(source.file())? == stamp {
                Ok(())
            } else {
                Err(unsteady(path))
            }
        };
        let sidecar = reuse_or_make(&targets, options, open, build)?;
        tracing::debug!("{} uses {}", path.display(), sidecar.path().display());
        Ok(Self {
            id_field: location.id_field.clone(),
            source,
            sidecar,
        })
    }

    /// The text.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Where each document lies.
    pub(crate) fn sidecar(&self) -> &Sidecar {
        &self.sidecar
    }

    /// The field that holds the id.
    pub(crate) fn id_field(&self) -> &str {
        &self.id_field
    }

    /// Reads the documents `ids`, in the order in which they lie in the corpus, and hands what
    /// `parse` makes of each one's line, or why there is none, to `each` with its index. Stops when
    /// `cancelled`. Blocking.
    pub(crate) fn read<T>(
        &self,
        ids: &[&str],
        cancelled: &AtomicBool,
        parse: Parse<'_, T>,
        each: &mut dyn FnMut(usize, Result<T>),
    ) {
        let mut reads: Vec<(Span, u64, usize)> = Vec::with_capacity(ids.len());
        let mut open = vec![true; ids.len()];
        let mut settle = |index: usize, document| {
            if let Some(open) = open.get_mut(index)
                && std::mem::take(open)
            {
                each(index, document);
            }
        };
        for (index, id) in ids.iter().enumerate() {
            if cancelled.load(Ordering::Relaxed) {
                return;
            }
            match self.sidecar.find(id, Reading::Patient) {
                Ok((hash, spans)) => {
                    reads.extend(spans.into_iter().map(|span| (span, hash, index)));
                }
                Err(error) => settle(index, Err(error)),
            }
        }
        reads.sort_unstable();
        for (span, hash, index) in reads {
            if cancelled.load(Ordering::Relaxed) {
                return;
            }
            let Some(id) = ids.get(index) else { continue };
            match self.document(span, hash, id, parse, Reading::Patient) {
                Ok(None) => {}
                Ok(Some(document)) => settle(index, Ok(document)),
                Err(error) => settle(index, Err(error)),
            }
        }
        for (index, id) in ids.iter().enumerate() {
            settle(index, Err(unknown(id)));
        }
    }

    /// The document `id` as far as nothing must be waited for, and how many bytes its line has;
    /// `None` when it must, when the line is longer than `most` bytes, and when there is no such
    /// document or any trouble with it: [`Store::read`] says which.
    pub(crate) fn at_hand<T>(&self, id: &str, most: u32, parse: Parse<'_, T>) -> Option<(T, u32)> {
        if most == 0 {
            return None;
        }
        let (hash, spans) = self.sidecar.find(id, Reading::AtHand).ok()?;
        spans.into_iter().find_map(|span| {
            if span.length > most {
                return None;
            }
            let document = self.document(span, hash, id, parse, Reading::AtHand).ok()?;
            Some((document?, span.length))
        })
    }

    /// What `parse` makes of the line at `span` if it is the document `id`; `None` when it is
    /// another document whose id has the same hash.
    fn document<T>(
        &self,
        span: Span,
        hash: u64,
        id: &str,
        parse: Parse<'_, T>,
        reading: Reading,
    ) -> Result<Option<T>> {
        let line = self.source.read(span, reading)?;
        match parse(&line) {
            Ok((found, document)) if found == id => Ok(Some(document)),
            Ok((found, _)) if self.sidecar.hashes_to(&found, hash) => Ok(None),
            Ok(_) | Err(_) => {
                let what = format!("document {id} is not where it was");
                Err(changed(self.source.path(), &what))
            }
        }
    }
}

/// Makes a document of a line, and says whose id it has; or why the line is none.
pub(crate) type Parse<'p, T> = &'p dyn Fn(&[u8]) -> Result<(String, T), String>;

/// The answer for an id that a collection does not hold.
pub(crate) fn unknown(id: &str) -> Error {
    Error::new(ErrorCode::UnknownDocument, format!("ID {id} is not found."))
}

fn unsteady(path: &Path) -> Error {
    Error::new(
        ErrorCode::Unavailable,
        format!(
            "{} changed while it was indexed; start again when it is complete",
            path.display()
        ),
    )
}

fn open_blocks(
    path: &Path,
    file: &File,
    stamp: &SourceStamp,
    compression: Compression,
    places: &[Place],
    options: &OpenOptions<'_>,
) -> Result<Blocks> {
    let targets: Vec<_> = places.iter().map(|place| place.blocks.clone()).collect();
    let open = &mut |path: &Path, file| Blocks::open(path, file, stamp);
    let make = &mut |out: &File, dir: &Path| {
        blocks::unpack((path, file, stamp), compression, options, (out, dir))
    };
    reuse_or_make(&targets, options, open, make)
}

/// The first of `targets` that `open` accepts, or one that `make` makes.
pub(crate) fn reuse_or_make<T>(
    targets: &[PathBuf],
    options: &OpenOptions<'_>,
    open: &mut dyn FnMut(&Path, File) -> Result<T, Unusable>,
    make: &mut dyn FnMut(&File, &Path) -> Result<()>,
) -> Result<T> {
    let before = if options.rebuild { &[] } else { targets };
    for target in before {
        let Ok(file) = File::open(target) else {
            continue;
        };
        match open(target, file) {
            Ok(opened) => return Ok(opened),
            Err(Unusable::Stale) => {
                tracing::info!("{} is out of date and is built again", target.display());
            }
            Err(Unusable::Corrupt(why)) => {
                tracing::warn!("{} is corrupt ({why}) and is built again", target.display());
            }
        }
    }
    let (target, file) = create(targets, make)?;
    open(&target, file).map_err(|why| {
        Error::internal(format!(
            "{} was built but cannot be used: {why:?}",
            target.display()
        ))
    })
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
