//! How failures of files and of the inverted index become this house's error.

use std::fmt;
use std::path::Path;

use routir_core::Error;

/// A failed step of building an index, with what to look at.
pub(crate) fn building(dir: &Path, step: &str, why: impl fmt::Display) -> Error {
    Error::engine(format!(
        "building the index in `{}`: {step}: {why}; check that the directory is writable and has space",
        dir.display()
    ))
}

/// An index that cannot be read.
pub(crate) fn damaged(dir: &Path, why: impl fmt::Display) -> Error {
    Error::engine(format!(
        "the index in `{}` is damaged: {why}; delete that directory and start again to rebuild it",
        dir.display()
    ))
}
