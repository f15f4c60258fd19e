//! Answers that the router gives itself: JSON, and errors that clients of every kind can read.

use std::time::Duration;

use axum::body::Body;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// An error on its way to a client: `detail` with code and message, the message again where old
/// clients look for it, and whatever SIE documents beside them.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    body: Map<String, Value>,
    retry_after: Option<Duration>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut body = Map::new();
        body.insert(
            "detail".to_owned(),
            json!({"code": code, "message": message}),
        );
        body.insert("message".to_owned(), Value::String(message));
        Self(Box::new(Parts {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body,
            retry_after: None,
            header: None,
        }))
    }

    /// With another key at the top.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.body.insert(key.to_owned(), value.into());
        self
    }

    /// With SIE's short name as a text, for those who ask for that.
    pub(crate) fn legacy(self, wanted: bool, error: &str) -> Self {
        match wanted {
            true => self.with("error", error),
            false => self,
        }
    }

    /// With when to come again.
    pub(crate) fn again(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    /// No such path.
    pub(crate) fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "no such path")
    }

    /// The path takes other methods.
    pub(crate) fn not_allowed(allowed: &'static str) -> Self {
        let message = "the path does not take this method; see `Allow`";
        Self::new(405, "METHOD_NOT_ALLOWED", message).header(ALLOW, allowed)
    }

    /// Who asks is unknown.
    pub(crate) fn stranger(message: &str) -> Self {
        Self::new(401, "UNAUTHORIZED", message).header(WWW_AUTHENTICATE, "Bearer")
    }

    /// The response on the wire.
    pub(crate) fn response(self) -> Response<Body> {
        let Parts {
            status,
            body,
            retry_after,
            header,
        } = *self.0;
        let mut response = json(status, &body);
        let headers = response.headers_mut();
        if let Some(after) = retry_after {
            // A plain number, and not zero, which SIE's clients take for none.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some((name, value)) = header {
            headers.insert(name, value);
        }
        response
    }
}

/// `value` as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // What the router answers has names for keys and finite numbers.
    let body = serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec());
    content(status, "application/json", body)
}

/// Bytes of a type.
pub(crate) fn content(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
