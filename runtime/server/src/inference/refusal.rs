//! An error as SIE's SDKs and OpenAI's clients read it.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use routir_core::ErrorCode;
use routir_sie::{Code, ErrorBody};
use serde::Serialize;

use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::reply::{JSON, Reply};

/// When to come back if nobody knows better.
const SOON: u64 = 1;
const LATER: u64 = 5;

/// The body of an error of OpenAI's endpoint.
#[derive(Serialize)]
struct OpenAiBody<'a> {
    error: OpenAiError<'a>,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: &'static str,
}

/// The answer that tells of `failure` at `endpoint`, one of those for models.
pub(crate) fn reply(failure: &Failure, endpoint: Endpoint, request_id: &str) -> Reply {
    let error = failure.error();
    let (mut status, code) = told(failure);
    let openai = endpoint == Endpoint::Embeddings;
    if openai && error.code() == ErrorCode::Overloaded {
        // OpenAI's clients come back after this one.
        status = StatusCode::TOO_MANY_REQUESTS;
    }
    let message = error.message();
    let body = if openai {
        serde_json::to_vec(&OpenAiBody {
            error: OpenAiError {
                message,
                r#type: kind(status),
                param: None,
                code: openai_code(error.code()),
            },
        })
    } else {
        serde_json::to_vec(&ErrorBody {
            request_id: Some(request_id.to_owned()),
            ..ErrorBody::new(code, message)
        })
    };
    let mut headers = HeaderMap::new();
    if let Some(seconds) = come_back(failure, status) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Reply {
        status,
        headers,
        code: error.code().name(),
        // Strings always have a JSON form.
        ..Reply::ok(JSON, body.unwrap_or_default())
    }
}

/// The status and the code. A status that a failure has for a reason of its own stays.
fn told(failure: &Failure) -> (StatusCode, Code) {
    if let Some(code) = failure.code() {
        return (failure.status(), code);
    }
    let kind = failure.error().code();
    let (status, code) = match kind {
        ErrorCode::UnknownName => (StatusCode::NOT_FOUND, Code::ModelNotFound),
        ErrorCode::Unauthenticated => (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
        ErrorCode::PermissionDenied => (StatusCode::FORBIDDEN, Code::PermissionDenied),
        ErrorCode::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge),
        ErrorCode::Overloaded | ErrorCode::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, Code::ModelNotLoaded)
        }
        ErrorCode::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
        ErrorCode::EngineFailure => (StatusCode::INTERNAL_SERVER_ERROR, Code::InferenceError),
        ErrorCode::Internal | ErrorCode::Cancelled => {
            (StatusCode::INTERNAL_SERVER_ERROR, Code::InternalError)
        }
        // What else there is, is the request's own fault.
        _ => (StatusCode::BAD_REQUEST, Code::InvalidInput),
    };
    if failure.status().as_u16() == kind.http_status() {
        (status, code)
    } else {
        (failure.status(), code)
    }
}

/// In how many seconds to come back, if that helps.
fn come_back(failure: &Failure, status: StatusCode) -> Option<u64> {
    let error = failure.error();
    let usual = match error.code() {
        ErrorCode::Overloaded => Some(SOON),
        // A model that is being taken down does not come back.
        ErrorCode::Unavailable if failure.code() != Some(Code::ModelNotLoaded) => Some(LATER),
        _ => None,
    };
    let known = error.retry_after().map(|wait| {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        seconds.max(1)
    });
    let waits =
        status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS;
    known.or(usual).filter(|_| waits)
}

/// What OpenAI calls an error of that code, where it has a word for it.
fn openai_code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::UnknownName => "model_not_found",
        ErrorCode::Unauthenticated => "invalid_api_key",
        ErrorCode::Overloaded => "rate_limit_exceeded",
        other => other.name(),
    }
}

/// What OpenAI's clients call a failure of that status.
fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}
