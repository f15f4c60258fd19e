//! The hash by which ids are sorted and found.

use std::hash::{BuildHasher, Hasher, RandomState};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// How many bits of the hash a sidecar keeps.
const BITS: u32 = 48;

/// A keyed hash: whoever writes a corpus cannot know which ids collide. The key lies in the
/// sidecar, so that every reader hashes alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdHash {
    k0: u64,
    k1: u64,
    bits: u32,
}

impl IdHash {
    /// A hash with a new random key.
    pub(crate) fn random() -> Self {
        // The standard library seeds each of these from the system's randomness.
        let word = |salt: u64| RandomState::new().hash_one(salt);
        Self {
            k0: word(0),
            k1: word(1),
            bits: BITS,
        }
    }

    /// A hash so narrow that ids collide all the time.
    #[cfg(test)]
    pub(crate) fn weak(bits: u32) -> Self {
        Self { k0: 1, k1: 2, bits }
    }

    /// Whether the hash fits a sidecar's entries.
    pub(crate) fn is_valid(self) -> bool {
        self.bits <= BITS
    }

    /// The hash of `id`: at most 48 bits.
    pub(crate) fn of(self, id: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.k0, self.k1);
        hasher.write(id.as_bytes());
        (hasher.finish() >> (64 - BITS)) & ((1 << self.bits.min(BITS)) - 1)
    }
}
