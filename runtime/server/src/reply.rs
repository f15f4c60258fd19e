//! An answer before it is an HTTP response.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use routir_core::{Error, Result};
use routir_listen::RequestId;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::events::{self, Events};

/// The type of JSON answers.
pub(crate) const JSON: &str = "application/json";

/// Status, type and bytes of an answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// `None` for an answer without a body.
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Bytes,
    /// What stands in the body's place when the answer comes bit by bit.
    pub(crate) events: Option<Box<Events>>,
    /// Headers beyond the type and the request id; empty costs nothing.
    pub(crate) headers: HeaderMap,
    /// The outcome in metrics and logs: `ok`, or an error code's name.
    pub(crate) code: &'static str,
    /// A place that is taken until the answer has been written.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// Bytes and a place that is free again when they are gone, which is when the connection has
/// written the last of them or is closed.
struct Held {
    body: Bytes,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Reply {
    /// 200 with bytes of a type.
    pub(crate) fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some(content_type),
            body: body.into(),
            events: None,
            headers: HeaderMap::new(),
            code: "ok",
            place: None,
        }
    }

    /// 200 with events, as they come.
    pub(crate) fn events(events: Events) -> Self {
        let mut reply = Self {
            events: Some(Box::new(events)),
            ..Self::ok(events::TYPE, Vec::new())
        };
        let headers = &mut reply.headers;
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A proxy that gathers the answer before it passes it on would undo what streaming is for.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        reply
    }

    /// 204.
    pub(crate) fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            content_type: None,
            ..Self::ok("", Vec::new())
        }
    }

    /// 200 with `value` as JSON, in a buffer of `capacity` bytes to begin with.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Internal`] when the value has no JSON form.
    pub(crate) fn json(value: &impl Serialize, capacity: usize) -> Result<Self> {
        let mut body = Vec::with_capacity(capacity);
        serde_json::to_writer(&mut body, value)
            .map_err(|why| Error::internal(format!("the answer cannot be written: {why}")))?;
        Ok(Self::ok(JSON, body))
    }

    /// The same reply with another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The response on the wire.
    pub(crate) fn into_response(self, id: RequestId, cors: bool) -> Response<Body> {
        let body = match (self.events, self.place) {
            (Some(events), _) => Body::from_stream(*events),
            (None, Some(place)) => Body::from(Bytes::from_owner(Held {
                body: self.body,
                _place: place,
            })),
            (None, None) => Body::from(self.body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        *headers = self.headers;
        if let Some(content_type) = self.content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        headers.insert(RequestId::HEADER, id.header);
        if cors {
            crate::cors::allow(headers);
        }
        response
    }
}
