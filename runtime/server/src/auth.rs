//! The API key: whether a request bears it.

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

    fn pad(key: &[u8]) -> Option<Self> {
        let mut padded = [0; MAX_BYTES];
        padded.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self {
            padded,
            length: key.len() as u64,
        })
    }

    fn matches(&self, presented: &[u8]) -> bool {
        let Some(other) = Self::pad(presented) else {
            return false;
        };
        (self.padded.ct_eq(&other.padded) & self.length.ct_eq(&other.length)).into()
    }

    /// Whether `headers` bear the key as `Authorization: Bearer <key>`.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] with RoutIR's texts.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<()> {
        let refused = |why| Err(Error::new(ErrorCode::Unauthenticated, why));
        let value = headers
            .get(AUTHORIZATION)
            .map_or(&b""[..], |value| value.as_bytes());
        let Some(presented) = value.strip_prefix(b"Bearer ") else {
            return refused("missing or invalid Authorization header");
        };
        if self.matches(presented.trim_ascii()) {
            Ok(())
        } else {
            refused("invalid API key")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, header: Option<&str>) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        if let Some(value) = header {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        ApiKey::new(key)
            .unwrap()
            .check(&headers)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_key_itself_opens() {
        assert_eq!(check("k3y", Some("Bearer k3y")), Ok(()));
        assert_eq!(check("k3y", Some("Bearer   k3y ")), Ok(()));
        let long = format!("Bearer {}", "k".repeat(MAX_BYTES + 1));
        for wrong in ["Bearer k3", "Bearer k3yy", "Bearer k3y\0", "Bearer ", &long] {
            let Ok(value) = wrong.parse() else { continue };
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            let error = ApiKey::new("k3y").unwrap().check(&headers).unwrap_err();
            assert_eq!(error.message(), "invalid API key", "{wrong:.20}");
        }
        for missing in [
            None,
            Some("k3y"),
            Some("Basic k3y"),
            Some("bearer k3y"),
            Some("Bearer"),
        ] {
            assert_eq!(
                check("k3y", missing),
                Err("missing or invalid Authorization header".to_owned()),
                "{missing:?}"
            );
        }
    }

    #[test]
    fn a_key_that_cannot_guard_is_refused() {
        for bad in ["", " k", "k\n", &"k".repeat(MAX_BYTES + 1)] {
            assert!(ApiKey::new(bad).is_err(), "{bad:.20}");
        }
        assert!(ApiKey::new(&"k".repeat(MAX_BYTES)).is_ok());
    }
}
