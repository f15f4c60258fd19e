//! Whether a worker's refusal is the answer, or a reason to ask another.

use axum::body::Bytes;
use hyper::StatusCode;
use serde_json::Value;

use crate::worker::Outcome;

/// What follows from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the answer.
    Final,
    /// Another may do it.
    Next,
    /// Another may do it if it has the model loaded.
    NextIfLoaded,
}

/// Whether the body must be looked at.
pub(super) fn is_open(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY
    )
}

/// What an answer says about the worker before its body is read.
pub(super) fn first_sight(status: StatusCode) -> Outcome {
    match status.is_server_error() {
        true => Outcome::ServerError,
        false => Outcome::Answered,
    }
}

/// What follows from an answer with that body, and what it says about the worker.
pub(super) fn of(status: StatusCode, body: &Bytes) -> (Verdict, Outcome) {
    let code = code(body);
    let unavailable = status == StatusCode::SERVICE_UNAVAILABLE;
    match code.as_deref() {
        // Who is going down answers without a code.
        None if unavailable => (Verdict::Next, Outcome::Draining),
        // It unloads the model, or its queue is full; or, of a worker of this project, something
        // that it needs is down.
        Some("MODEL_NOT_LOADED" | "unavailable") if unavailable => {
            (Verdict::Next, Outcome::Answered)
        }
        Some("MODEL_LOADING" | "LORA_LOADING" | "RESOURCE_EXHAUSTED" | "MODEL_LOAD_FAILED") => {
            (Verdict::NextIfLoaded, Outcome::Answered)
        }
        _ => (Verdict::Final, first_sight(status)),
    }
}

/// The code in an error's body, wherever the families of errors have it.
fn code(body: &Bytes) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let code = |value: &Value| Some(value.get("code")?.as_str()?.to_owned());
    let nested = ["detail", "error"]
        .iter()
        .find_map(|key| body.get(key).and_then(code));
    nested.or_else(|| code(&body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let told = |status: u16, body: &'static str| {
            of(
                StatusCode::from_u16(status).unwrap(),
                &Bytes::from_static(body.as_bytes()),
            )
        };
        for (status, body, expected) in [
            (
                503,
                r#"{"error":"shutting down","detail":"draining"}"#,
                (Verdict::Next, Outcome::Draining),
            ),
            (503, "not json", (Verdict::Next, Outcome::Draining)),
            (
                503,
                r#"{"detail":{"code":"MODEL_NOT_LOADED"}}"#,
                (Verdict::Next, Outcome::Answered),
            ),
            (
                503,
                r#"{"error":"e","code":"unavailable"}"#,
                (Verdict::Next, Outcome::Answered),
            ),
            (
                503,
                r#"{"error":{"code":"MODEL_LOADING"}}"#,
                (Verdict::NextIfLoaded, Outcome::Answered),
            ),
            (
                502,
                r#"{"detail":{"code":"MODEL_LOAD_FAILED"}}"#,
                (Verdict::NextIfLoaded, Outcome::Answered),
            ),
            (502, "", (Verdict::Final, Outcome::ServerError)),
            (
                503,
                r#"{"detail":{"code":"OTHER"}}"#,
                (Verdict::Final, Outcome::ServerError),
            ),
        ] {
            assert_eq!(told(status, body), expected, "{status} {body}");
        }
    }
}
