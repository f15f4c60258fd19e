//! One error type for everything that a request can meet, and the one table that maps its code to
//! an HTTP status, a gRPC status and whether a retry can help.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// A result with this house's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request is malformed or asks for something that makes no sense.
    InvalidArgument,
    /// A service, collection, view or role that does not exist.
    UnknownName,
    /// A document id that the collection does not hold.
    UnknownDocument,
    /// Credentials are missing or wrong.
    Unauthenticated,
    /// The caller may not do this.
    PermissionDenied,
    /// The request or an answer is over a size limit.
    TooLarge,
    /// The thing exists in the contract, but this server does not do it.
    Unsupported,
    /// A queue or quota is full; waiting helps.
    Overloaded,
    /// The caller left.
    Cancelled,
    /// The deadline passed.
    DeadlineExceeded,
    /// An engine failed or answered nonsense.
    EngineFailure,
    /// Something this request needs is down or still starting; waiting may help.
    Unavailable,
    /// A mistake of ours.
    Internal,
}

impl ErrorCode {
    /// The code's name, as it stands in answers, logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that answers it. RoutIR's clients retry 5xx, so whatever is the request's
    /// own fault is a 4xx.
    #[must_use]
    pub fn http_status(self) -> u16 {
        self.row().1
    }

    /// The gRPC status code that answers it.
    #[must_use]
    pub fn grpc_status(self) -> i32 {
        self.row().2
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retryable(self) -> bool {
        self.row().3
    }

    fn row(self) -> (&'static str, u16, i32, bool) {
        match self {
            Self::InvalidArgument => ("invalid_argument", 400, 3, false),
            Self::UnknownName => ("unknown_name", 400, 5, false),
            Self::UnknownDocument => ("unknown_document", 400, 3, false),
            Self::Unauthenticated => ("unauthenticated", 401, 16, false),
            Self::PermissionDenied => ("permission_denied", 403, 7, false),
            Self::TooLarge => ("too_large", 413, 11, false),
            Self::Unsupported => ("unsupported", 400, 12, false),
            Self::Overloaded => ("overloaded", 429, 8, true),
            Self::Cancelled => ("cancelled", 499, 1, false),
            Self::DeadlineExceeded => ("deadline_exceeded", 504, 4, true),
            Self::EngineFailure => ("engine_failure", 502, 13, false),
            Self::Unavailable => ("unavailable", 503, 14, true),
            Self::Internal => ("internal", 500, 13, false),
        }
    }
}

/// One of the things wrong with a pipeline string or a request, with its place in the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong, in lower case, without a full stop.
    pub message: String,
    /// Where it starts: an offset into the source in Unicode code points.
    pub start: usize,
    /// Where it ends (exclusive), likewise.
    pub end: usize,
    /// What could have stood there.
    pub expected: Vec<String>,
    /// What to do about it, such as the nearest known name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// A failure: its code, a message that says what failed, why and what to do, and what may help a
/// machine to react. Cheap to clone, so that many waiting callers can share one.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    code: ErrorCode,
    message: String,
    problems: Vec<Problem>,
    retry_after: Option<Duration>,
}

impl Error {
    /// An error of `code`. The message says what failed, why and what to do; lower case, no full
    /// stop.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            code,
            message: message.into(),
            problems: Vec::new(),
            retry_after: None,
        }))
    }

    /// [`ErrorCode::InvalidArgument`] with a message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// [`ErrorCode::EngineFailure`] with a message.
    pub fn engine(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::EngineFailure, message)
    }

    /// [`ErrorCode::Internal`] with a message.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// The same error with its place put before the message: `place: message`.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.message = format!("{place}: {}", inner.message);
        Self(Arc::new(inner))
    }

    /// The same error with the problems it is made of.
    #[must_use]
    pub fn with_problems(self, problems: Vec<Problem>) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.problems = problems;
        Self(Arc::new(inner))
    }

    /// The same error with a hint when to come back.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.retry_after = Some(wait);
        Self(Arc::new(inner))
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// What failed, why and what to do.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The problems with the source, when it was made of several.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }

    /// When to come back, if waiting helps and it is known how long.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.name(), self.0.message)
    }
}

impl std::error::Error for Error {}
