//! What surrounds a value in Redis, so that no other value is taken for it.
//!
//! `RTC1`, the SHA-256 of everything that its key stands for, the time of its computation, the value
//! as its codec wrote it, and a CRC-32 over all of that. A value that was changed, cut, written by
//! another program or moved to another key is none.

use sha2::{Digest, Sha256};

use crate::{Codec, Reader, Stored, Writer};

/// The form of what is kept; changes with the form.
pub(super) const FORMAT: &[u8; 4] = b"RTC1";

/// What a key stands for, as a hash.
pub(super) type Identity = [u8; 32];

/// The hash of these texts.
pub(super) fn identity(parts: &[&str]) -> Identity {
    let mut hasher = Sha256::new();
    for part in parts {
        // The length first, so that no part runs on into another.
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The bytes to keep.
pub(super) fn seal<V>(identity: &Identity, stored: &Stored<V>, codec: &impl Codec<V>) -> Vec<u8> {
    let mut out = Writer::default();
    out.raw(FORMAT);
    out.raw(identity);
    out.number(stored.timestamp);
    codec.encode(&stored.value, &mut out);
    let mut bytes = out.into_bytes();
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// What was kept, if it is whole and of this identity.
pub(super) fn unseal<V>(
    identity: &Identity,
    bytes: &[u8],
    codec: &impl Codec<V>,
) -> Option<Stored<V>> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body).to_le_bytes() != *checksum {
        return None;
    }
    let mut from = Reader::new(body);
    if from.raw(FORMAT.len())? != FORMAT || from.raw(identity.len())? != identity {
        return None;
    }
    let timestamp = from.number().filter(|time| time.is_finite())?;
    let value = codec.decode(&mut from)?;
    from.is_done().then_some(Stored { value, timestamp })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::codecs::Scores;

    #[test]
    fn only_what_was_sealed_for_the_key_is_opened() {
        let mine = identity(&["a", "b"]);
        let scores: Arc<[f64]> = Arc::from([1.0, 2.0]);
        let stored = Stored {
            value: scores,
            timestamp: 1.5,
        };
        let sealed = seal(&mine, &stored, &Scores);
        assert_eq!(unseal(&mine, &sealed, &Scores), Some(stored));
        for other in [identity(&["ab"]), identity(&["ab", ""])] {
            assert_eq!(unseal(&other, &sealed, &Scores), None);
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(unseal(&mine, &changed, &Scores), None, "byte {at}");
            assert_eq!(unseal(&mine, &sealed[..at], &Scores), None, "cut at {at}");
        }
        assert_eq!(unseal(&mine, b"", &Scores), None);
    }
}
