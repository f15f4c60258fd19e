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

    /// The next word whose first bytes, see [`head`], `may` accepts. Of the others only the end is
    /// looked for.
    pub(crate) fn next_where(&mut self, may: impl Fn(u64) -> bool) -> Option<(usize, &'a str)> {
        let bytes = self.text.as_bytes();
        loop {
            let start = self.next_start()?;
            let first = head(bytes, start);
            let end = match inside(first) {
                EIGHT => self.end(start + EIGHT, start),
                length if bytes.get(start + length).is_none_or(u8::is_ascii) => start + length,
                length => self.end(start + length, start),
            };
            let may_clitic = |byte: &&u8| **byte == b'\'' || !byte.is_ascii();
            let clitic = bytes.get(end).filter(may_clitic);
            self.at = clitic.and_then(|_| self.clitic(end)).unwrap_or(end);
            if end - start <= MAX_WORD_BYTES && may(first) {
                return Some((start, self.text.get(start..end)?));
            }
        }
    }

    /// Where the word ends that starts at `start` and goes on at least until `at`.
    fn end(&self, at: usize, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = at;
        while let Some(byte) = bytes.get(at)
            && byte.is_ascii()
        {
            match inside(head(bytes, at)) {
                0 => return at,
                length => at += length,
            }
        }
        if at < bytes.len() {
            start + run(self.rest(start))
        } else {
            at
        }
    }

    fn rest(&self, from: usize) -> &'a str {
        self.text.get(from..).unwrap_or_default()
    }

    /// Where the next run of letters and digits starts.
    fn next_start(&self) -> Option<usize> {
        let bytes = self.text.as_bytes().get(self.at..)?;
        let skipped = bytes
            .iter()
            .position(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii())?;
        let start = self.at + skipped;
        if bytes.get(skipped).is_some_and(u8::is_ascii) {
            Some(start)
        } else {
            Some(start + self.rest(start).find(char::is_alphanumeric)?)
        }
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

/// How many bytes of a word are looked at together.
const EIGHT: usize = 8;

/// The eight bytes from `at`, the first one lowest, with zeros for those after the end.
fn head(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    let eight = rest.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; EIGHT];
        padded
            .iter_mut()
            .zip(rest)
            .for_each(|(to, from)| *to = *from);
        padded
    });
    u64::from_le_bytes(eight)
}

/// A byte, eight times.
pub(crate) const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; EIGHT])
}

/// How many of eight bytes, from the lowest on, are ASCII letters and digits.
fn inside(eight: u64) -> usize {
    const TOP: u64 = each(0x80);
    // In each byte the top bit is free for a carry: it is set by adding what is missing to 128.
    let low = eight & !TOP;
    let least = |bytes: u64, least: u8| bytes.wrapping_add(each(0x80 - least));
    let lower = low | each(b'a' ^ b'A');
    let letters = least(lower, b'a') & !least(lower, b'z' + 1);
    let digits = least(low, b'0') & !least(low, b'9' + 1);
    let outside = !(letters | digits) | eight;
    (outside & TOP).trailing_zeros() as usize / EIGHT
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
