//! An API key: whether it is the one that a request presents.

use std::fmt;

use routir_core::{Error, Result};
use subtle::ConstantTimeEq;

/// Longer keys are refused, configured or presented.
const MAX_BYTES: usize = 512;

/// A key, padded to a fixed length.
///
/// Comparing is a fixed amount of work on 512 bytes whatever the keys hold and however
/// long the configured one is; padding the presented one takes time that depends on its own length
/// alone, which its sender knows.
#[derive(Clone)]
pub struct ApiKey {
    padded: [u8; MAX_BYTES],
    length: u64,
}

impl ApiKey {
    /// The key that requests must bear.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when it is empty, too long, or begins or ends with white
    /// space, which a header cannot carry.
    pub fn new(key: &str) -> Result<Self> {
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
    #[must_use]
    pub fn of_nobody() -> Self {
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
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        let Some(other) = Self::pad(presented) else {
            return false;
        };
        (self.padded.ct_eq(&other.padded) & self.length.ct_eq(&other.length)).into()
    }
}

impl fmt::Debug for ApiKey {
    /// Nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, presented: &[u8]) -> bool {
        ApiKey::new(key).unwrap().matches(presented)
    }

    #[test]
    fn only_the_key_itself_opens() {
        assert!(check("k3y", b"k3y"));
        for wrong in [
            &b"k3"[..],
            b"k3yy",
            b"",
            b"k3y\0",
            &[b'k'; MAX_BYTES + 1],
            &[0; MAX_BYTES],
        ] {
            assert!(!check("k3y", wrong), "{wrong:?}");
            assert!(!ApiKey::of_nobody().matches(wrong));
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
