//! An API key: whether it is the one that a request bears.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use routir_core::{Error, ErrorCode, Result};
use subtle::ConstantTimeEq;

/// Longer keys are refused, configured or presented.
const MAX_BYTES: usize = 512;

/// A key, padded to a fixed length.
///
/// Comparing is a fixed amount of work on [`MAX_BYTES`] bytes whatever the keys hold and however
/// long the configured one is; padding the presented one takes time that depends on its own length
/// alone, which its sender knows.
#[derive(Clone)]
pub(crate) struct ApiKey {
    padded: [u8; MAX_BYTES],
    length: u64,
}

impl ApiKey {
    /// The key that requests must bear.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] when it is empty, too long, or begins or ends with white
    /// space, which a header cannot carry.
    pub(crate) fn new(key: &str) -> Result<Self> {
        if key.is_empty() {
            return Err(Error::invalid(
                "the API key is empty; leave it out to let everybody in",
            ));
        }
        if key.trim() != key {
            return Err(Error::invalid(
                "the API key begins or ends with white space, which no client can send",
            ));
        }
        Self::pad(key.as_bytes())
            .ok_or_else(|| Error::invalid(format!("the API key is longer than {MAX_BYTES} bytes")))
    }

    /// A key that matches nothing, for work that must take the same time.
    pub(crate) fn of_nobody() -> Self {
        Self {
            padded: [0; MAX_BYTES],
            length: u64::MAX,
        }
    }

    fn pad(key: &[u8]) -> Option<Self> {
        let mut padded = [0; MAX_BYTES];
        padded.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self {
            padded,
            length: key.len() as u64,
        })
    }

    /// Whether it is `presented`.
    pub(crate) fn matches(&self, presented: &[u8]) -> bool {
        let Some(other) = Self::pad(presented) else {
            return false;
        };
        (self.padded.ct_eq(&other.padded) & self.length.ct_eq(&other.length)).into()
    }
}

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

    fn check(key: &str, header: &str) -> Option<bool> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())]);
        let presented = presented(&headers).ok()?;
        Some(ApiKey::new(key).unwrap().matches(presented))
    }

    #[test]
    fn only_the_key_itself_opens() {
        assert_eq!(check("k3y", "Bearer k3y"), Some(true));
        assert_eq!(check("k3y", "Bearer   k3y "), Some(true));
        let long = format!("Bearer {}", "k".repeat(MAX_BYTES + 1));
        for wrong in ["Bearer k3", "Bearer k3yy", "Bearer ", &long] {
            assert_eq!(check("k3y", wrong), Some(false), "{wrong:.20}");
        }
        for missing in ["", "k3y", "Basic k3y", "bearer k3y", "Bearer"] {
            assert_eq!(check("k3y", missing), None, "{missing:?}");
        }
        for padding in [&b"k3y\0"[..], b"", &[0; MAX_BYTES]] {
            assert!(!ApiKey::new("k3y").unwrap().matches(padding));
            assert!(!ApiKey::of_nobody().matches(padding));
        }
        assert!(presented(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_key_that_cannot_guard_is_refused() {
        for bad in ["", " k", "k\n", &"k".repeat(MAX_BYTES + 1)] {
            assert!(ApiKey::new(bad).is_err(), "{bad:.20}");
        }
        assert!(ApiKey::new(&"k".repeat(MAX_BYTES)).is_ok());
    }
}
