//! Which headers go on to a worker, and which back to the client.

use hyper::HeaderMap;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use routir_listen::RequestId;

use crate::spread::VIA;

/// The kind of machine that a request asks for.
pub(crate) const MACHINE_PROFILE: HeaderName = HeaderName::from_static("x-sie-machine-profile");
/// The pool that a request names.
pub(crate) const POOL: HeaderName = HeaderName::from_static("x-sie-pool");
/// Which worker answered.
pub(crate) const WORKER: HeaderName = HeaderName::from_static("x-sie-worker");
/// The server's version.
pub(crate) const SERVER_VERSION: HeaderName = HeaderName::from_static("x-sie-server-version");
/// How many milliseconds are left of a request's time.
pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("x-routir-timeout-ms");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What concerns one connection and not the message.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What stays whoever names it in `Connection`: how long a body is, and what the router itself has
/// set to tell the request and its way.
const OURS: [HeaderName; 3] = [CONTENT_LENGTH, RequestId::HEADER, VIA];

/// Takes out what concerns one connection, names listed in `Connection` included.
pub(super) fn end_to_end(headers: &mut HeaderMap) {
    // Few messages have any, and one look at all names costs less than a look-up of each.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    // The body was read as its chunks say. A length beside them is no more than a claim, and who
    // believes it next may cut the body there (RFC 9112, 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .filter(|name| !OURS.contains(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Makes a client's headers fit for workers. What depends on the worker, `Host` too, comes in by
/// [`address`].
pub(super) fn of_request(headers: &mut HeaderMap, forward_authorization: bool) {
    end_to_end(headers);
    // The router has answered it.
    headers.remove(EXPECT);
    headers.remove(POOL);
    if !forward_authorization {
        headers.remove(AUTHORIZATION);
    }
    // Each attempt has a copy, in which there is a place for it.
    headers.insert(TIMEOUT, HeaderValue::from_static("0"));
}

/// Sets what one worker must read: its own name and profile, its key, and how long it has.
pub(super) fn address(
    headers: &mut HeaderMap,
    authority: &HeaderValue,
    profile: &str,
    key: Option<&HeaderValue>,
    milliseconds: u64,
) {
    headers.insert(HOST, authority.clone());
    if headers.contains_key(MACHINE_PROFILE) {
        match HeaderValue::from_str(profile) {
            Ok(profile) if !profile.is_empty() => headers.insert(MACHINE_PROFILE, profile),
            _ => headers.remove(MACHINE_PROFILE),
        };
    }
    if let Some(key) = key {
        headers.insert(AUTHORIZATION, key.clone());
    }
    headers.insert(TIMEOUT, HeaderValue::from(milliseconds));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn what_concerns_a_connection_stays_behind_and_all_else_goes_on() {
        let mut headers = map(&[
            ("connection", "close, X-Private"),
            ("connection", "content-length, , a b"),
            ("connection", "X-Request-ID, x-routir-via"),
            ("x-request-id", "req-7"),
            ("x-routir-via", "router"),
            ("x-private", "1"),
            ("content-length", "3"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("keep-alive", "5"),
            ("accept-encoding", "gzip"),
            ("x-many", "1"),
            ("x-many", "2"),
            ("authorization", "Bearer mine"),
            ("x-sie-pool", "p"),
            ("x-sie-machine-profile", "l4"),
            ("expect", "100-continue"),
            ("host", "router"),
        ]);
        of_request(&mut headers, false);
        let key = HeaderValue::from_static("Bearer worker");
        address(
            &mut headers,
            &HeaderValue::from_static("w:1"),
            "l4-spot",
            Some(&key),
            1500,
        );
        let expected = map(&[
            ("x-request-id", "req-7"),
            ("x-routir-via", "router"),
            ("content-length", "3"),
            ("accept-encoding", "gzip"),
            ("x-many", "1"),
            ("x-many", "2"),
            ("authorization", "Bearer worker"),
            ("x-sie-machine-profile", "l4-spot"),
            ("host", "w:1"),
            ("x-routir-timeout-ms", "1500"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_length_beside_chunks_is_not_believed() {
        let mut headers = map(&[
            ("content-length", "3"),
            ("connection", "transfer-encoding"),
            ("transfer-encoding", "chunked"),
            ("x-kept", "1"),
        ]);
        end_to_end(&mut headers);
        assert_eq!(headers, map(&[("x-kept", "1")]));
    }

    #[test]
    fn a_profile_is_told_to_workers_only_when_it_was_asked_for() {
        let authority = HeaderValue::from_static("w");
        let mut none = HeaderMap::new();
        address(&mut none, &authority, "l4", None, 1);
        assert!(!none.contains_key(MACHINE_PROFILE) && !none.contains_key(AUTHORIZATION));
        let mut unsaid = map(&[("x-sie-machine-profile", "l4")]);
        address(&mut unsaid, &authority, "", None, 1);
        assert!(!unsaid.contains_key(MACHINE_PROFILE));
    }
}
