//! Text to words: runs of letters and digits, without what possessives and contractions add.

/// Longer words, in bytes, are dropped: they are encoded data, not language.
const MAX_WORD_BYTES: usize = 128;

/// What follows an apostrophe and belongs to no word: "Ohm's", "don't", "we'll".
const CLITICS: [&str; 7] = ["s", "t", "d", "m", "ll", "re", "ve"];

const APOSTROPHES: [char; 3] = ['\'', '\u{2019}', '\u{ff07}'];

/// The runs of letters and digits of a text, each with where it starts; without what [`CLITICS`]
/// lists and without overlong ones.
pub(crate) struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next word whose first eight bytes, the first one lowest, `may` accepts. After the end of
    /// a shorter word they are those that follow it, or zeros.
    pub(crate) fn next_where(&mut self, may: impl Fn(u64) -> bool) -> Option<(usize, &'a str)> {
        let bytes = self.text.as_bytes();
        loop {
            // Every word of every passage comes by here, so plain text is looked at eight bytes at
            // a time.
            let eight = head(bytes, self.at);
            let inside = inside(eight);
            let before = lowest(inside | eight);
            if before == EIGHT {
                self.at += before;
                if self.at < bytes.len() {
                    continue;
                }
                return None;
            }
            let length = lowest(!(inside >> (8 * before)));
            let mut start = self.at + before;
            let mut end = start + length;
            if before + length == EIGHT {
                end = ascii_end(bytes, end);
            }
            let plain = |next: &u8| next.is_ascii() && *next != b'\'';
            if length > 0 && bytes.get(end).is_none_or(plain) {
                self.at = end;
            } else {
                (start, end) = self.next_slowly()?;
            }
            if end - start <= MAX_WORD_BYTES && may(head(bytes, start)) {
                return Some((start, self.text.get(start..end)?));
            }
        }
    }

    /// The next word, of any length and letters.
    fn next_slowly(&mut self) -> Option<(usize, usize)> {
        let rest = self.rest(self.at);
        let start = self.at + rest.find(char::is_alphanumeric)?;
        let end = start + run(self.rest(start));
        self.at = self.clitic(end).unwrap_or(end);
        Some((start, end))
    }

    fn rest(&self, from: usize) -> &'a str {
        self.text.get(from..).unwrap_or_default()
    }

    /// The end of the possessive or contracted word that starts at `from`, if one does.
    fn clitic(&self, from: usize) -> Option<usize> {
        let rest = self.rest(from);
        let word = rest.strip_prefix(APOSTROPHES)?;
        let clitic = word.get(..run(word))?;
        let known = CLITICS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(clitic));
        known.then(|| from + rest.len() - word.len() + clitic.len())
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_where(|_| true)
    }
}

/// How many bytes are looked at together.
const EIGHT: usize = 8;

/// The highest bit of each of eight bytes. It says something about the byte; the others are of no
/// account.
const TOP: u64 = each(0x80);

/// A byte, eight times.
pub(crate) const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The eight bytes from `at`, the first one lowest, with zeros for those after the end.
fn head(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    let eight = rest.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; 8];
        padded
            .iter_mut()
            .zip(rest)
            .for_each(|(to, from)| *to = *from);
        padded
    });
    u64::from_le_bytes(eight)
}

/// Which of eight bytes are ASCII letters and digits, in their [`TOP`] bits.
fn inside(eight: u64) -> u64 {
    // Without its own top bit, a byte's is set by adding what the least wanted one lacks of 128.
    let low = eight & !TOP;
    let least = |bytes: u64, least: u8| bytes.wrapping_add(each(0x80 - least));
    let lower = low | each(b'a' ^ b'A');
    let letters = least(lower, b'a') & !least(lower, b'z' + 1);
    let digits = least(low, b'0') & !least(low, b'9' + 1);
    (letters | digits) & !eight & TOP
}

/// How many bytes are below the first with its [`TOP`] bit.
fn lowest(eight: u64) -> usize {
    (eight & TOP).trailing_zeros() as usize / 8
}

/// Where the ASCII letters and digits end that go on at `at`.
fn ascii_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        let length = lowest(!inside(head(bytes, at)));
        at += length;
        if length < EIGHT {
            return at;
        }
    }
}

/// How many bytes of letters and digits `text` starts with.
fn run(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric())
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Word by word, character by character.
    fn naive(text: &str) -> Vec<(usize, &str)> {
        let mut words = Vec::new();
        let mut at = 0;
        while let Some(skipped) = text[at..].find(char::is_alphanumeric) {
            let start = at + skipped;
            let end_of = |from: usize| {
                let rest = &text[from..];
                from + rest
                    .find(|c: char| !c.is_alphanumeric())
                    .unwrap_or(rest.len())
            };
            let end = end_of(start);
            at = end;
            if let Some(mark) = text[end..]
                .chars()
                .next()
                .filter(|c| APOSTROPHES.contains(c))
            {
                let from = end + mark.len_utf8();
                let clitic = text[from..end_of(from)].to_ascii_lowercase();
                if CLITICS.contains(&clitic.as_str()) {
                    at = end_of(from);
                }
            }
            if end - start <= MAX_WORD_BYTES {
                words.push((start, &text[start..end]));
            }
        }
        words
    }

    proptest! {
        #[test]
        fn words_are_the_runs_of_letters_and_digits(
            text in "([a-zA-Z0-9]{1,6}|[éß\u{212a}\u{661}\u{130}]|['’＇](s|T|ll|re|x|)|[ ,.–_\u{0}]{1,3}|z{120,130}){0,30}",
        ) {
            prop_assert_eq!(Words::of(&text).collect::<Vec<_>>(), naive(&text));
        }
    }
}
