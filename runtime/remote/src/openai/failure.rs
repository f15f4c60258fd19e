//! Attempts that failed, in words for whoever asked.

use std::time::Duration;

use routir_core::{Error, ErrorCode};
use serde_json::Value;

use super::retry::may_succeed_later;

/// How much of a server's own words is told.
const SHOWN: usize = 300;

/// A call that failed.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// What went wrong.
    pub error: Error,
    /// Whether the server refused what it was asked as wrong or too large (400, 413, 422): asked for
    /// something else, it may answer.
    pub refused: bool,
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self {
            error,
            refused: false,
        }
    }
}

impl From<ApiError> for Error {
    fn from(failed: ApiError) -> Self {
        failed.error
    }
}

/// An attempt that failed.
pub(super) struct Failure {
    /// What went wrong.
    pub(super) error: Error,
    /// Whether another attempt may succeed.
    pub(super) again: bool,
    /// When the server wants it.
    pub(super) after: Option<Duration>,
    /// Whether the server refused what it was asked.
    pub(super) refused: bool,
}

impl Failure {
    /// One that another attempt would not mend.
    pub(super) fn for_good(error: Error) -> Self {
        Self {
            error,
            again: false,
            after: None,
            refused: false,
        }
    }

    /// The server was not there, or went away.
    pub(super) fn gone(server: &str, why: &reqwest::Error) -> Self {
        let what = if why.is_connect() {
            "cannot be reached"
        } else {
            "broke off"
        };
        // The innermost reason says most, and the address has been said.
        let mut reason: &dyn std::error::Error = why;
        while let Some(source) = reason.source() {
            reason = source;
        }
        Self {
            error: Error::new(
                ErrorCode::Unavailable,
                format!("{server} {what}: {}", clean(&reason.to_string(), None)),
            ),
            again: true,
            after: None,
            refused: false,
        }
    }

    /// One attempt took too long.
    pub(super) fn slow(server: &str, timeout: Duration) -> Self {
        Self {
            error: Error::new(
                ErrorCode::Unavailable,
                format!(
                    "{server} did not answer within {} s (`timeout`)",
                    timeout.as_secs_f64()
                ),
            ),
            again: true,
            after: None,
            refused: false,
        }
    }

    /// The server answered with another status than 200. `body` is the beginning of what it said.
    pub(super) fn status(
        server: &str,
        status: u16,
        body: &[u8],
        after: Option<Duration>,
        key: Option<&str>,
    ) -> Self {
        let said = match message(body).map(|said| clean(&said, key)) {
            Some(said) if !said.is_empty() => format!(": {said}"),
            _ => String::new(),
        };
        let (code, advice) = match status {
            401 | 403 => (
                ErrorCode::EngineFailure,
                "; check `api_key` or the environment's OPENAI_API_KEY",
            ),
            404 => (
                ErrorCode::EngineFailure,
                "; check the address, which usually ends with /v1, and the model's name",
            ),
            300..=399 => (
                ErrorCode::EngineFailure,
                "; it redirects, which is not followed: configure the address that it leads to",
            ),
            429 => (ErrorCode::Overloaded, ""),
            408 | 409 | 500..=599 => (ErrorCode::Unavailable, ""),
            _ => (ErrorCode::EngineFailure, ""),
        };
        let error = Error::new(code, format!("{server} answered {status}{said}{advice}"));
        Self {
            error: match after {
                Some(after) if code.retryable() => error.with_retry_after(after),
                _ => error,
            },
            again: may_succeed_later(status),
            after,
            refused: matches!(status, 400 | 413 | 422),
        }
    }
}

/// The message in the body of an error, in the forms that servers use.
fn message(body: &[u8]) -> Option<String> {
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return Some(String::from_utf8_lossy(body).into_owned());
    };
    let places = ["/error/message", "/error", "/message", "/detail"];
    let text = places
        .iter()
        .find_map(|place| json.pointer(place).and_then(Value::as_str));
    Some(text.map_or_else(|| json.to_string(), str::to_owned))
}

/// A stranger's text as a message can repeat it: short, on one line, without the key.
pub(super) fn clean(text: &str, key: Option<&str>) -> String {
    let text = match key.filter(|key| !key.is_empty()) {
        Some(key) => text.replace(key, "[key]"),
        None => text.to_owned(),
    };
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let text = words.join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
