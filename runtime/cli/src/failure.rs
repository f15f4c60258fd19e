//! How a command ends: what is told of a failure, and the exit status.

use std::fmt;
use std::io;
use std::process::ExitCode;

use anyhow::Error;
use routir_config::ConfigError;
use routir_core::ErrorCode;

use crate::out;

/// The input is wrong: the command line, a configuration, a pipeline or a file. Exit status 2.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// An error of the input.
pub(crate) fn wrong(message: impl Into<String>) -> Error {
    Error::new(Wrong(message.into()))
}

/// What went wrong has been told already. Exit status 1.
#[derive(Debug)]
pub(crate) struct Told;

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Told {}

/// Whether `error` is the input's fault, not that of the machine or a service.
pub(crate) fn is_input(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidArgument
            | ErrorCode::UnknownName
            | ErrorCode::UnknownDocument
            | ErrorCode::Unsupported
            | ErrorCode::PermissionDenied
    )
}

/// An error of another room with the exit status that its code asks for.
pub(crate) fn from_core(error: routir_core::Error) -> Error {
    if is_input(error.code()) {
        wrong(error.message())
    } else {
        Error::new(error)
    }
}

/// As [`from_core`].
pub(crate) fn from_trec(error: routir_trec::Error) -> Error {
    from_core(error.into())
}

/// Tells the failure, if any, on stderr.
pub(crate) fn end(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    if is_closed_pipe(&error) || error.is::<Told>() {
        // A reader that has seen enough, such as `head`, is no failure.
        return ExitCode::from(u8::from(error.is::<Told>()));
    }
    if let Some(config) = error.downcast_ref::<ConfigError>() {
        match config {
            ConfigError::Invalid { .. } => out::complain(&format!("{config}\n")),
            other => out::complain(&format!("error: {other}\n")),
        }
        return ExitCode::from(2);
    }
    let text = format!("{error:#}");
    // What points into a pipeline's source has its own beginning.
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
    out::complain(&format!("error: {text}\n"));
    ExitCode::from(if error.is::<Wrong>() { 2 } else { 1 })
}

fn is_closed_pipe(error: &Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
