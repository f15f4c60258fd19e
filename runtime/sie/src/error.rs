//! What can be wrong with bytes, and how an error is told.

use serde::{Deserialize, Serialize};

/// Why bytes are not what they should be: what, and where it stands if that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(String);

impl WireError {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// What kind of failure it was, as SDKs tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Code {
    /// The request makes no sense, or asks for what the model cannot do.
    InvalidInput,
    /// There is no such model.
    ModelNotFound,
    /// The model is being loaded; SDKs try again.
    ModelLoading,
    /// The model is being taken down, as all are when a server ends, or has no room; another worker
    /// may have it.
    ModelNotLoaded,
    /// The model failed.
    InferenceError,
    /// A mistake of the server's.
    InternalError,
    /// The key is missing or wrong.
    Unauthenticated,
    /// The caller may not do this.
    PermissionDenied,
    /// The request or its answer is too large.
    TooLarge,
    /// The time that the request may take is over.
    DeadlineExceeded,
}

/// The body of an error: as SIE's workers write it, with the message where its router does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What SDKs read.
    pub detail: ErrorDetail,
    /// The message again.
    pub message: String,
    /// The request, by the id under which the server's log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Its kind.
    pub code: Code,
    /// What failed, why and what to do.
    pub message: String,
}

impl ErrorBody {
    /// The body for an error.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            detail: ErrorDetail {
                code,
                message: message.clone(),
            },
            message,
            request_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_sdks_expect_it() {
        let body = ErrorBody::new(Code::ModelNotFound, "no model `x`");
        assert_eq!(
            serde_json::to_string(&body).unwrap(),
            r#"{"detail":{"code":"MODEL_NOT_FOUND","message":"no model `x`"},"message":"no model `x`"}"#
        );
    }
}
