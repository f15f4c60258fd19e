//! The key that a request bears.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use routir_core::{Error, ErrorCode, Result};

/// The key that `headers` bear as `Authorization: Bearer <key>`.
///
/// # Errors
/// [`ErrorCode::Unauthenticated`] with RoutIR's text when they bear none.
pub(crate) fn presented(headers: &HeaderMap) -> Result<&[u8]> {
    let value = headers
        .get(AUTHORIZATION)
        .map_or(&b""[..], |value| value.as_bytes());
    let bearer = value.strip_prefix(b"Bearer ").map(<[u8]>::trim_ascii);
    bearer.ok_or_else(|| {
        let message = "missing or invalid Authorization header";
        Error::new(ErrorCode::Unauthenticated, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_borne_as_routir_says() {
        let of = |header: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
            presented(&headers).ok().map(<[u8]>::to_vec)
        };
        assert_eq!(of("Bearer k3y").as_deref(), Some(&b"k3y"[..]));
        assert_eq!(of("Bearer   k3y ").as_deref(), Some(&b"k3y"[..]));
        for missing in ["", "k3y", "Basic k3y", "bearer k3y", "Bearer"] {
            assert_eq!(of(missing), None, "{missing:?}");
        }
        assert!(presented(&HeaderMap::new()).is_err());
    }
}
