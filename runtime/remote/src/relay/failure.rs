//! A failed call as the error of the request that it was made for.

use routir_client::{ClientError, ErrorKind};
use routir_core::{Error, ErrorCode};

/// The error of a request whose call of the server `peer` failed.
///
/// What that server refused is the request's fault here too; what it says of this server's key, or
/// answers out of order, is the relay's failure.
#[must_use]
pub fn of_call(peer: &str, error: &ClientError) -> Error {
    let code = match error.kind() {
        _ if error.is_unknown_document() => {
            // RoutIR's own words, which its clients may look for.
            return Error::new(ErrorCode::UnknownDocument, words(error.message()));
        }
        ErrorKind::Refused => match error.code() {
            Some("unknown_name") => ErrorCode::UnknownName,
            _ => ErrorCode::InvalidArgument,
        },
        ErrorKind::Unsupported => ErrorCode::Unsupported,
        ErrorKind::Overloaded => ErrorCode::Overloaded,
        ErrorKind::Unavailable => ErrorCode::Unavailable,
        ErrorKind::Timeout => ErrorCode::DeadlineExceeded,
        ErrorKind::TooLarge => ErrorCode::TooLarge,
        _ => ErrorCode::EngineFailure,
    };
    let failure = Error::new(code, format!("server {peer}: {}", error.message()));
    match error.retry_after() {
        Some(wait) => failure.with_retry_after(wait),
        None => failure,
    }
}

/// `ID x is not found.` out of a message that says besides where.
fn words(message: &str) -> &str {
    message
        .rfind("ID ")
        .and_then(|at| message.get(at..))
        .unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routirs_words_stay() {
        let message = "POST /content: HTTP 400: ID zz is not found.";
        assert_eq!(words(message), "ID zz is not found.");
    }
}
