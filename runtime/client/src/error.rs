//! What can go wrong with a call.

use std::fmt;
use std::time::Duration;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client was set up with something that cannot work.
    Settings,
    /// The server refused the request as wrong: bad values, a name or document that is not there.
    Refused,
    /// The server asks for a key, or for another one.
    Unauthenticated,
    /// The key does not allow this.
    PermissionDenied,
    /// The server does not do this.
    Unsupported,
    /// The server is busy; waiting helps.
    Overloaded,
    /// The server cannot be reached, or says that it cannot answer now.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// The server failed while it answered.
    Failed,
    /// The answer is none: not JSON, of the wrong shape or length, with a score that is no number.
    BadAnswer,
    /// The answer is larger than this client takes.
    TooLarge,
}

/// A call that failed, after all that could be tried.
#[derive(Clone, Debug)]
pub struct ClientError {
    kind: ErrorKind,
    message: String,
    code: Option<String>,
    retry_after: Option<Duration>,
    transient: bool,
}

impl ClientError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let transient = matches!(
            kind,
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Failed
        );
        Self {
            kind,
            message: message.into(),
            code: None,
            retry_after: None,
            transient,
        }
    }

    /// An answer that is none.
    pub(crate) fn bad_answer(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadAnswer, message)
    }

    /// The same with the code that the server gave it, as `unknown_document`.
    pub(crate) fn with_code(self, code: Option<String>) -> Self {
        Self { code, ..self }
    }

    /// The same with the server's word on when to come back.
    pub(crate) fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    /// The same, to be tried again or not.
    pub(crate) fn with_transient(self, transient: bool) -> Self {
        Self { transient, ..self }
    }

    /// The same with its place put before the message: `place: message`.
    pub(crate) fn at(self, place: impl fmt::Display) -> Self {
        let message = format!("{place}: {}", self.message);
        Self { message, ..self }
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What failed and why, with the server's own words where it had any.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error code that a server of this project gave, such as `unknown_document`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Whether it says that the collection does not hold the document.
    #[must_use]
    pub fn is_unknown_document(&self) -> bool {
        match self.code() {
            Some(code) => code == "unknown_document",
            // RoutIR's own words.
            None => self.kind == ErrorKind::Refused && self.message.ends_with("is not found."),
        }
    }

    /// When to come back, if the server said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether RoutIR's rules try again.
    pub(crate) fn is_transient(&self) -> bool {
        self.transient
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ClientError {}
