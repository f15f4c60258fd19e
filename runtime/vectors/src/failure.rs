//! The errors of files, said the same way everywhere.

use std::fmt;
use std::io;
use std::path::Path;

use routir_core::{Error, ErrorCode};

/// A file operation that failed: `doing` is what was tried, as in "reading".
pub(crate) fn io_error(doing: &str, path: &Path, error: &io::Error) -> Error {
    let (code, advice) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorCode::InvalidArgument, "; check the path"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorCode::PermissionDenied, "; check the permissions")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorCode::Unavailable, "; free some space")
        }
        _ => (ErrorCode::Unavailable, ""),
    };
    Error::new(
        code,
        format!("{doing} `{}` failed: {error}{advice}", path.display()),
    )
}

/// A file that is not what it should be: `what` is wrong and what to do.
pub(crate) fn wrong(path: &Path, what: impl fmt::Display) -> Error {
    Error::invalid(format!("`{}`: {what}", path.display()))
}
