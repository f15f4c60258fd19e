//! An error as gRPC shows it: the status of the one table, with what helps a machine beside it.

use std::time::Duration;

use routir_core::{Error, ErrorCode};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::{Code, Status};

/// The name of our own code, which says more than the status does: an unknown document and a bad
/// argument have one status.
const ERROR_CODE: &str = "routir-error-code";
/// When to come back, in milliseconds; clients with a retry policy obey it.
const RETRY: &str = "grpc-retry-pushback-ms";
/// The longest message, in bytes. It travels in a header, each byte that is not plain ASCII as
/// three, and clients refuse heads over 8 KiB, the status with them.
const MAX_MESSAGE: usize = 1024;

/// The status that tells of `error`.
pub(crate) fn of(error: &Error) -> Status {
    let code = error.code();
    let mut status = Status::new(Code::from_i32(code.grpc_status()), cut(error.message()));
    let metadata = status.metadata_mut();
    metadata.insert(
        AsciiMetadataKey::from_static(ERROR_CODE),
        AsciiMetadataValue::from_static(code.name()),
    );
    let overloaded = (code == ErrorCode::Overloaded).then_some(Duration::from_secs(1));
    if let Some(wait) = error.retry_after().or(overloaded) {
        let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        metadata.insert(
            AsciiMetadataKey::from_static(RETRY),
            AsciiMetadataValue::from(milliseconds),
        );
    }
    status
}

/// What metrics call a status that tonic came to by itself.
pub(crate) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::InvalidArgument => ErrorCode::InvalidArgument.name(),
        Code::NotFound => ErrorCode::UnknownName.name(),
        Code::OutOfRange => ErrorCode::TooLarge.name(),
        Code::Unimplemented => ErrorCode::Unsupported.name(),
        Code::Cancelled => ErrorCode::Cancelled.name(),
        Code::DeadlineExceeded => ErrorCode::DeadlineExceeded.name(),
        _ => ErrorCode::Internal.name(),
    }
}

/// `message`, or as much of it as a header takes.
fn cut(message: &str) -> String {
    if message.len() <= MAX_MESSAGE {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(MAX_MESSAGE);
    let kept = message.get(..end).unwrap_or_default();
    format!("{kept} … (cut short; REST tells all)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_the_tables_status_and_its_own_name() {
        let error = Error::new(ErrorCode::UnknownDocument, "ID zz is not found.");
        let status = of(&error);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "ID zz is not found.");
        assert_eq!(
            status.metadata().get(ERROR_CODE).unwrap(),
            "unknown_document"
        );
        assert!(status.metadata().get(RETRY).is_none());
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let full = || Error::new(ErrorCode::Overloaded, "full");
        let wait = |error| {
            of(&error)
                .metadata()
                .get(RETRY)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(wait(full()), "1000");
        let soon = Duration::from_millis(20);
        assert_eq!(wait(full().with_retry_after(soon)), "20");
        assert_eq!(of(&full()).code(), Code::ResourceExhausted);
    }

    #[test]
    fn a_long_message_fits_a_header() {
        let status = of(&Error::invalid("é".repeat(4000)));
        assert!(status.message().len() < 1100);
        assert!(status.message().starts_with("éé"));
        assert!(status.message().ends_with("(cut short; REST tells all)"));
    }
}
