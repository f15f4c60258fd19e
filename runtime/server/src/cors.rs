//! Cross-origin calls from browsers: any origin, no credentials, as RoutIR allows them.

use axum::http::{HeaderMap, HeaderValue, Method, header};

use crate::reply::Reply;

/// Lets any page read the answer.
pub(crate) fn allow(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("x-request-id, retry-after"),
    );
}

/// Whether a request asks for leave to make another one.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight.
pub(crate) fn preflight() -> Reply {
    let mut reply = Reply::no_content();
    for (name, value) in [
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, POST, PUT, DELETE, OPTIONS",
        ),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*, authorization"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        reply.headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}
