//! The id of a request: the client's own when it is sane, else one of ours.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

const MAX_BYTES: usize = 128;

/// Differs between processes, so that ids of one log do not meet those of another.
static PREFIX: LazyLock<u32> = LazyLock::new(|| RandomState::new().hash_one(0_u8) as u32);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A request's id, as text and as the header that echoes it.
#[derive(Clone, Debug)]
pub struct RequestId {
    /// As text.
    pub text: Arc<str>,
    /// As the header.
    pub header: HeaderValue,
}

impl RequestId {
    /// Where it stands in requests and answers.
    pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

    /// The id that `headers` bring, if it is 1 to 128 visible ASCII characters; else a new one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(Self::HEADER).and_then(|header| {
            let text = std::str::from_utf8(header.as_bytes()).ok()?;
            let sane = (1..=MAX_BYTES).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic());
            sane.then(|| Self {
                text: Arc::from(text),
                header: header.clone(),
            })
        });
        given.unwrap_or_else(Self::fresh)
    }

    fn fresh() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut text = Text::default();
        text.hex(u64::from(*PREFIX), 8);
        text.push(b'-');
        text.hex(number, 6);
        let text = text.as_str();
        let header = HeaderValue::from_str(text);
        Self {
            header: header.unwrap_or(HeaderValue::from_static("unknown")),
            text: text.into(),
        }
    }
}

/// A short text that takes no memory of its own. One is made for every request, and this is by far
/// cheaper than `write!`.
#[derive(Default)]
struct Text {
    bytes: [u8; 32],
    used: usize,
}

impl Text {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.used) {
            *place = byte;
            self.used += 1;
        }
    }

    /// Appends a number as hexadecimal digits, at least so many.
    fn hex(&mut self, number: u64, least: u32) {
        let needed = (u64::BITS - number.leading_zeros()).div_ceil(4);
        for place in (0..needed.max(least)).rev() {
            let digit = (number >> (4 * place)) as u8 & 0xf;
            self.push(match digit {
                0..10 => b'0' + digit,
                _ => b'a' + digit - 10,
            });
        }
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.used).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &[u8]) -> String {
        let headers =
            HeaderMap::from_iter([(RequestId::HEADER, HeaderValue::from_bytes(value).unwrap())]);
        let id = RequestId::of(&headers);
        assert_eq!(id.header.as_bytes(), id.text.as_bytes());
        id.text.to_string()
    }

    #[test]
    fn a_sane_id_is_kept() {
        assert_eq!(of(b"7f1c-a/b:c"), "7f1c-a/b:c");
        assert_eq!(of(&[b'x'; 128]), "x".repeat(128));
    }

    #[test]
    fn numbers_are_written_as_ever() {
        for number in [0, 1, 0xff_ffff, 0x100_0000, u64::MAX] {
            let mut text = Text::default();
            text.hex(number, 6);
            assert_eq!(text.as_str(), format!("{number:06x}"));
        }
    }

    #[test]
    fn anything_else_is_replaced_and_no_two_are_alike() {
        let long = [b'x'; 129];
        let made: Vec<_> = [&b""[..], b"two words", b"caf\xc3\xa9", b"tab\there", &long]
            .map(of)
            .into();
        for (at, id) in made.iter().enumerate() {
            assert!(id.len() == 15 && !made[..at].contains(id), "{made:?}");
        }
    }
}
