//! An error as the wire shows it: the status of the one table, the few that only HTTP knows, and
//! the JSON body.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use routir_core::{Error, ErrorCode, Problem};
use routir_sie::Code;
use serde::Serialize;

use crate::reply::{JSON, Reply};

/// What can go wrong while answering. Most is a [`routir_core::Error`] and has its code's status.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    error: Error,
    /// What it is at the endpoints for models, when the error's own code does not say that.
    code: Option<Code>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    diagnostics: &'a [Problem],
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = StatusCode::from_u16(error.code().http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::with_status(error, status)
    }
}

impl Failure {
    /// `error` under a status that HTTP has and the table of codes has not.
    pub(crate) fn with_status(error: Error, status: StatusCode) -> Self {
        Self {
            status,
            error,
            code: None,
        }
    }

    /// `error` under a status and a code that the endpoints for models have for it.
    pub(crate) fn with_code(error: Error, status: StatusCode, code: Code) -> Self {
        Self {
            code: Some(code),
            ..Self::with_status(error, status)
        }
    }

    /// The status that answers it.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What it is at the endpoints for models, when the error's own code does not say that.
    pub(crate) fn code(&self) -> Option<Code> {
        self.code
    }

    /// What happened.
    pub(crate) fn error(&self) -> &Error {
        &self.error
    }

    /// The JSON that tells of it.
    pub(crate) fn body(error: &Error, request_id: &str) -> Vec<u8> {
        let shown = Body {
            error: error.message(),
            code: error.code().name(),
            request_id,
            diagnostics: error.problems(),
        };
        // Strings and numbers always have a JSON form.
        serde_json::to_vec(&shown).unwrap_or_default()
    }

    /// The answer to the request called `request_id`.
    pub(crate) fn into_reply(self, request_id: &str) -> Reply {
        let Self { status, error, .. } = self;
        let code = error.code();
        let body = Self::body(&error, request_id);
        let mut headers = HeaderMap::new();
        if let Some(wait) = error.retry_after() {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        } else if code == ErrorCode::Overloaded {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(1_u64));
        }
        if code == ErrorCode::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Reply {
            status,
            content_type: Some(JSON),
            body: body.into(),
            events: None,
            headers,
            code: code.name(),
            place: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn reply(error: Error) -> (u16, Option<String>, String) {
        let reply = Failure::from(error).into_reply("r1");
        let retry = reply
            .headers
            .get("retry-after")
            .map(|v| v.to_str().unwrap().to_owned());
        (
            reply.status.as_u16(),
            retry,
            String::from_utf8(reply.body.to_vec()).unwrap(),
        )
    }

    #[test]
    fn problems_become_diagnostics() {
        let problem = Problem {
            message: "no service `bm52`".to_owned(),
            start: 0,
            end: 4,
            expected: vec![],
            help: Some("did you mean `bm25`?".to_owned()),
        };
        let (status, _, body) = reply(Error::invalid("bad").with_problems(vec![problem]));
        assert_eq!(status, 400);
        expect_test::expect![[r#"{"error":"bad","code":"invalid_argument","request_id":"r1","diagnostics":[{"message":"no service `bm52`","start":0,"end":4,"expected":[],"help":"did you mean `bm25`?"}]}"#]]
            .assert_eq(&body);
    }

    #[test]
    fn overload_always_says_when_to_come_back() {
        let full = || Error::new(ErrorCode::Overloaded, "full");
        assert_eq!(reply(full()).1.as_deref(), Some("1"));
        let soon = Duration::from_millis(20);
        assert_eq!(reply(full().with_retry_after(soon)).1.as_deref(), Some("1"));
        let later = Duration::from_millis(2100);
        assert_eq!(
            reply(full().with_retry_after(later)).1.as_deref(),
            Some("3")
        );
        assert_eq!(reply(full()).0, 429);
    }
}
