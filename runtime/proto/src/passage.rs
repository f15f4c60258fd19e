//! What is scored: a text or parts of bytes, told apart on a wire where two levels of the contract
//! share a field.
//!
//! `ScoreRequest.passages` is `repeated string` in RoutIR 0.0.2 and `repeated Passage` in the next
//! level. An entry that is exactly what an encoder writes for a `Passage` with one arm set is taken
//! for one; everything else is a text. So a text of 0.0.2 is misread only if it begins with a line
//! feed (or the control character U+0012), then states the exact length of what follows in bytes,
//! and holds nothing else. No sentence does; whoever must send such a text wraps it in a `Passage`.

use prost::Message;
use prost::bytes::Bytes;

use crate::v1::{BytesParts, Passage, passage::Value};

/// An entry of `ScoreRequest.passages`, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassageValue {
    /// A text.
    Text(String),
    /// The parts of something else.
    Parts(Vec<Bytes>),
}

impl PassageValue {
    /// Reads an entry. Parts share the entry's memory.
    ///
    /// # Errors
    /// When it is neither a `Passage` nor UTF-8; the length up to which it was.
    pub fn read(entry: Bytes) -> Result<Self, std::str::Utf8Error> {
        if let Some(value) = as_passage(&entry) {
            return Ok(match value {
                Value::Text(text) => Self::Text(text),
                Value::Bytes(BytesParts { parts }) => Self::Parts(parts),
            });
        }
        match String::from_utf8(entry.into()) {
            Ok(text) => Ok(Self::Text(text)),
            Err(why) => Err(why.utf8_error()),
        }
    }

    /// The entry that both levels read as this text: as it is, unless it would be taken for a
    /// `Passage`.
    #[must_use]
    pub fn write_text(text: &str) -> Bytes {
        let plain = Bytes::copy_from_slice(text.as_bytes());
        if as_passage(&plain).is_none() {
            return plain;
        }
        let value = Some(Value::Text(text.to_owned()));
        Passage { value }.encode_to_vec().into()
    }

    /// The entry for `parts`, which only the next level reads.
    #[must_use]
    pub fn write_parts(parts: Vec<Bytes>) -> Bytes {
        let value = Some(Value::Bytes(BytesParts { parts }));
        Passage { value }.encode_to_vec().into()
    }
}

/// The value, if `entry` is what an encoder writes for a `Passage` that has one.
fn as_passage(entry: &Bytes) -> Option<Value> {
    /// The first byte of either arm: its number and the wire type of what has a length.
    const ARMS: [u8; 2] = [1 << 3 | 2, 2 << 3 | 2];
    if !entry.first().is_some_and(|first| ARMS.contains(first)) {
        return None;
    }
    let passage = Passage::decode(entry.clone()).ok()?;
    // An encoder writes one arm, each length in the fewest bytes, and nothing unknown.
    (passage.encoded_len() == entry.len() && passage.encode_to_vec() == *entry)
        .then_some(passage.value)?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(entry: &[u8]) -> Option<PassageValue> {
        PassageValue::read(Bytes::copy_from_slice(entry)).ok()
    }

    fn text(text: &str) -> Option<PassageValue> {
        Some(PassageValue::Text(text.to_owned()))
    }

    #[test]
    fn texts_of_both_levels_are_read() {
        assert_eq!(read(b""), text(""));
        assert_eq!(read(b"plain"), text("plain"));
        assert_eq!(read(b"\x0a\x05plain"), text("plain"));
        assert_eq!(read(b"\x0a\x00"), text(""));
        // A line feed before a text is no Passage: what follows is not its length.
        assert_eq!(read(b"\nplain"), text("\nplain"));
        assert_eq!(read(b"\xff\xfe"), None);
    }

    #[test]
    fn parts_are_read() {
        let parts = |parts: &[&'static [u8]]| {
            let parts = parts.iter().map(|part| Bytes::from_static(part));
            Some(PassageValue::Parts(parts.collect()))
        };
        assert_eq!(
            read(b"\x12\x06\x0a\x01\xff\x0a\x01a"),
            parts(&[b"\xff", b"a"])
        );
        assert_eq!(read(b"\x12\x00"), parts(&[]));
    }

    #[test]
    fn what_no_encoder_writes_is_a_text() {
        for entry in [
            "\n\u{1}a\n\u{1}b",       // an arm twice
            "\n\u{1}a\u{12}\u{0}",    // both arms
            "\n\u{1}a\u{1a}\u{0}",    // a field that there is not
            "\u{12}\u{2}\u{12}\u{0}", // parts of another kind
            "\n\u{5}plai",            // too short
        ] {
            assert_eq!(read(entry.as_bytes()), text(entry), "{entry:?}");
        }
        // The length in two bytes where one is enough; not UTF-8 as a text either.
        assert_eq!(read(b"\x0a\x81\x00a"), None);
    }

    proptest! {
        #[test]
        fn every_text_arrives_from_either_level(sent in "(\n|\u{12})?[\u{0}-\u{7f}]{0,12}|.{0,300}") {
            let expected = text(&sent);
            prop_assert_eq!(&read(&PassageValue::write_text(&sent)), &expected);
            let passage = Passage { value: Some(Value::Text(sent.clone())) };
            prop_assert_eq!(&read(&passage.encode_to_vec()), &expected);
            // As 0.0.2 sends it, unless it happens to be an encoded Passage.
            if as_passage(&Bytes::from(sent.clone())).is_none() {
                prop_assert_eq!(read(sent.as_bytes()), expected);
            }
        }

        #[test]
        fn parts_arrive(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5)) {
            let parts: Vec<Bytes> = parts.into_iter().map(Bytes::from).collect();
            let entry = PassageValue::write_parts(parts.clone());
            prop_assert_eq!(read(&entry), Some(PassageValue::Parts(parts)));
        }

        #[test]
        fn what_is_taken_for_a_passage_is_one(entry in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(value) = as_passage(&Bytes::from(entry.clone())) {
                prop_assert_eq!(Passage { value: Some(value) }.encode_to_vec(), entry);
            }
        }
    }
}
