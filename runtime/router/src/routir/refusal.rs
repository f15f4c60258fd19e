//! What the router says itself, as RoutIR's clients read it.

use axum::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use routir_core::Error;
use serde::Serialize;
use tonic::{Code, Status};

/// The longest message over gRPC: it travels in a header.
const MAX_MESSAGE: usize = 1024;

#[derive(Serialize)]
struct Told<'a> {
    error: &'a str,
    code: &'static str,
    request_id: &'a str,
}

/// An error over REST, as servers of this project tell it.
pub(crate) fn rest(error: &Error, request_id: &str) -> Response<Body> {
    let told = Told {
        error: error.message(),
        code: error.code().name(),
        request_id,
    };
    // Strings always have a JSON form.
    let body = serde_json::to_vec(&told).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    let status = StatusCode::from_u16(error.code().http_status());
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    if let Some(wait) = error.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

/// An error over gRPC.
pub(crate) fn grpc(error: &Error, request_id: &str) -> Response<Body> {
    let message = error.message();
    let end = message.floor_char_boundary(MAX_MESSAGE);
    let code = Code::from_i32(error.code().grpc_status());
    let status = Status::new(code, message.get(..end).unwrap_or_default());
    let mut response: Response<Body> = status.into_http();
    let headers = response.headers_mut();
    let name = HeaderValue::from_static(error.code().name());
    headers.insert("routir-error-code", name);
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    response
}
