//! Values as bytes, for caches that lie outside of this process.

/// How a kind of value is written and read back.
///
/// What comes from outside is not trusted: reading answers `None` for whatever writing cannot have
/// made, and takes no more memory than the bytes that are there justify.
pub trait Codec<V>: Send + Sync + 'static {
    /// What tells values of this kind from others: part of every key and of every kept value.
    /// Another name when the form changes.
    fn kind(&self) -> &'static str;

    /// Writes a value.
    fn encode(&self, value: &V, out: &mut Writer);

    /// Reads one.
    fn decode(&self, from: &mut Reader<'_>) -> Option<V>;
}

/// Writes numbers and texts into bytes.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// The bytes written so far.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Adds bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Adds a count: seven bits a byte, the lowest first.
    pub fn count(&mut self, mut count: u64) {
        while count >= 0x80 {
            self.0.push((count & 0x7f) as u8 | 0x80);
            count >>= 7;
        }
        self.0.push(count as u8);
    }

    /// Adds a number, bit for bit.
    pub fn number(&mut self, number: f64) {
        self.raw(&number.to_le_bytes());
    }

    /// Adds bytes after their count.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Adds a text after its length.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Adds a text, or that there is none.
    pub fn maybe_text(&mut self, text: Option<&str>) {
        self.count(u64::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }
}

/// Reads what a [`Writer`] wrote; `None` wherever it cannot have.
#[derive(Debug)]
pub struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// Reads `bytes`.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Whether everything has been read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// The next bytes, so many.
    pub fn raw(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A count.
    pub fn count(&mut self) -> Option<u64> {
        let mut count = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.raw(1)?.first().copied()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            count |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(count);
            }
        }
        None
    }

    /// How many items follow, of at least `least` bytes each: never more than the bytes have room
    /// for.
    pub fn items(&mut self, least: usize) -> Option<usize> {
        let count = usize::try_from(self.count()?).ok()?;
        let room = self.0.len() / least.max(1);
        (count <= room).then_some(count)
    }

    /// A number.
    pub fn number(&mut self) -> Option<f64> {
        let bytes = self.raw(8)?.try_into().ok()?;
        Some(f64::from_le_bytes(bytes))
    }

    /// Bytes after their count.
    pub fn bytes(&mut self) -> Option<&'b [u8]> {
        let count = self.items(1)?;
        self.raw(count)
    }

    /// A text after its length.
    pub fn text(&mut self) -> Option<&'b str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A text, or that there is none.
    pub fn maybe_text(&mut self) -> Option<Option<&'b str>> {
        match self.count()? {
            0 => Some(None),
            1 => Some(Some(self.text()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(count: u64, number: f64, text: Option<String>) {
            let mut out = Writer::default();
            out.count(count);
            out.number(number);
            out.maybe_text(text.as_deref());
            let bytes = out.into_bytes();
            let mut from = Reader::new(&bytes);
            prop_assert_eq!(from.count(), Some(count));
            prop_assert_eq!(from.number().map(f64::to_bits), Some(number.to_bits()));
            prop_assert_eq!(from.maybe_text(), Some(text.as_deref()));
            prop_assert!(from.is_done());
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            let _ = Reader::new(&bytes).count();
            let _ = Reader::new(&bytes).text();
            let items = Reader::new(&bytes).items(8);
            prop_assert!(items.is_none_or(|items| items <= bytes.len() / 8));
        }
    }
}
