//! The errors of files, said the same way everywhere.

use std::io;
use std::path::Path;

use routir_core::{Error, ErrorCode};

/// A file operation that failed: `doing` is what was tried, as in "reading".
pub(crate) fn io_error(doing: &str, path: &Path, error: &io::Error) -> Error {
    let (code, advice) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorCode::InvalidArgument, "; check the path"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            ErrorCode::PermissionDenied,
            "; check the permissions, or set `cache_dir`",
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            ErrorCode::Unavailable,
            "; free some space, or set `cache_dir` to another disk",
        ),
        _ => (ErrorCode::Unavailable, ""),
    };
    Error::new(
        code,
        format!("{doing} {} failed: {error}{advice}", path.display()),
    )
}

/// An index file whose content does not fit its checksums, found while serving.
pub(crate) fn corrupt(path: &Path, what: &str) -> Error {
    Error::engine(format!(
        "{} is corrupt ({what}); remove it and restart, and it is built again",
        path.display()
    ))
}

/// A corpus that is not what it was when it was indexed.
pub(crate) fn changed(path: &Path, what: &str) -> Error {
    Error::engine(format!(
        "{} changed since it was indexed ({what}); restart to index it again",
        path.display()
    ))
}

/// What is wrong with the server's own files, found while somebody asks for a document: never the
/// request's fault, whatever it would be at the start.
pub(crate) fn fault(error: Error) -> Error {
    match error.code() {
        ErrorCode::UnknownDocument
        | ErrorCode::TooLarge
        | ErrorCode::Cancelled
        | ErrorCode::Unavailable
        | ErrorCode::EngineFailure => error,
        _ => Error::engine(error.message()),
    }
}
