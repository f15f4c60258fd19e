//! What can be wrong with a file, with its name and line.

use std::io;
use std::path::Path;
use std::sync::Arc;

use routir_core::ErrorCode;

/// A result with this room's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A file that cannot be read or does not mean anything.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open {file}: {source}")]
    Open {
        /// The file's path.
        file: Arc<str>,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read on, for example because its compressed data is damaged.
    #[error("{file}:{line}: cannot read on: {source}")]
    Read {
        /// The file's path, or the name that the caller gave its source.
        file: Arc<str>,
        /// The line that was being read, from 1.
        line: u64,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// A line that does not follow its format.
    #[error("{file}:{line}: {problem}")]
    Line {
        /// The file's path, or the name that the caller gave its source.
        file: Arc<str>,
        /// The line, from 1.
        line: u64,
        /// What is wrong and what should stand there.
        problem: String,
    },
    /// A value that makes no sense or cannot be said in the format, wherever it came from.
    #[error("{problem}")]
    Invalid {
        /// What is wrong with it.
        problem: String,
    },
    /// Writing failed.
    #[error("cannot write: {0}")]
    Write(#[source] io::Error),
    /// Run and judgements have no topic in common.
    #[error(
        "nothing to evaluate: run and judgements have no topic in common; check that they use the \
         same topic ids"
    )]
    NothingToEvaluate,
}

impl Error {
    /// The kind of failure.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Line { .. } | Self::Invalid { .. } | Self::NothingToEvaluate => {
                ErrorCode::InvalidArgument
            }
            Self::Open { source, .. } | Self::Read { source, .. } | Self::Write(source) => {
                match source.kind() {
                    io::ErrorKind::NotFound
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::IsADirectory
                    | io::ErrorKind::UnexpectedEof => ErrorCode::InvalidArgument,
                    io::ErrorKind::PermissionDenied => ErrorCode::PermissionDenied,
                    _ => ErrorCode::Unavailable,
                }
            }
        }
    }

    pub(crate) fn invalid(problem: impl Into<String>) -> Self {
        Self::Invalid {
            problem: problem.into(),
        }
    }

    pub(crate) fn open(path: &Path, source: io::Error) -> Self {
        Self::Open {
            file: path.to_string_lossy().into(),
            source,
        }
    }
}

impl From<Error> for routir_core::Error {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
