//! One entry of a sidecar: the hash of an id and where its document lies.

use crate::source::Span;

/// The length of an entry in bytes.
pub(super) const ENTRY_BYTES: usize = 16;

/// The longest text of a corpus in bytes, plain or decompressed: 256 TiB.
pub(super) const MAX_OFFSET: u64 = (1 << 48) - 1;

/// 48 bits of hash, 48 of offset and 32 of length, most significant first, so that entries sort by
/// hash and then by their place in the corpus, as numbers and as bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry(u128);

impl Entry {
    /// An entry; `hash` and `offset` have 48 bits.
    pub(super) fn new(hash: u64, offset: u64, length: u32) -> Self {
        Self(u128::from(hash) << 80 | u128::from(offset & MAX_OFFSET) << 32 | u128::from(length))
    }

    /// The hash of the id.
    pub(super) fn hash(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// Where the document lies.
    pub(super) fn span(self) -> Span {
        Span {
            offset: (self.0 >> 32) as u64 & MAX_OFFSET,
            length: self.0 as u32,
        }
    }

    /// As it stands in a file.
    pub(super) fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        self.0.to_be_bytes()
    }

    /// From a file.
    pub(super) fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        Self(u128::from_be_bytes(*bytes))
    }
}
