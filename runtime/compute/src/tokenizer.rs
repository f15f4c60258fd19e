//! Texts into tokens, with bounded work for texts of any length.

use std::path::Path;

use routir_core::{Error, ErrorCode, Result};
use tokenizers::{Encoding, PostProcessor, Tokenizer, TruncationDirection};

use crate::Tokens;
use crate::library::guarded;

/// The largest `tokenizer.json` that is read; the largest known ones have 40 MB.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// How many bytes of a text are looked at first, for each token that is wanted. Scripts and
/// vocabularies in use have 1 to 6 bytes per token.
pub(crate) const BYTES_PER_TOKEN: usize = 16;

/// How many are looked at in the end, if those were not enough; what lies beyond is cut.
pub(crate) const MOST_BYTES_PER_TOKEN: usize = 1024;

/// A model's tokenizer.
///
/// Work is bounded by the tokens that are wanted, not by the text: of a long text a beginning is read
/// that has enough tokens, at most 1024 bytes per wanted token. Only a text with longer stretches that
/// make no tokens, such as kilobytes of spaces, is cut earlier by that than by its tokens.
///
/// What looks like a special token in a text is read as one, as Python's tokenizers do.
#[derive(Debug)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    pad: u32,
    /// How many special tokens are put around one text and around a pair.
    added: (usize, usize),
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`. The truncation and padding that it may ask for are left to the
    /// model's other files.
    ///
    /// # Errors
    /// When the file cannot be read or is not one.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |why: &dyn std::fmt::Display| {
            Error::engine(format!(
                "the tokenizer `{}` does not load: {why}",
                path.display()
            ))
        };
        let size = std::fs::metadata(path).map_err(|why| failed(&why))?.len();
        if size > MAX_FILE_BYTES {
            return Err(failed(&format_args!(
                "it is larger than {MAX_FILE_BYTES} bytes"
            )));
        }
        let text = std::fs::read(path).map_err(|why| failed(&why))?;
        let tokenizer = guarded(|| Tokenizer::from_bytes(&text)).map_err(|why| failed(&why))?;
        Self::new(tokenizer.map_err(|why| failed(&why))?).map_err(|why| failed(&why))
    }

    fn new(mut tokenizer: Tokenizer) -> Result<Self, String> {
        let usual = ["[PAD]", "<pad>", "<|endoftext|>"];
        let pad = tokenizer.get_padding().map(|padding| padding.pad_id);
        let pad = pad.or_else(|| usual.iter().find_map(|token| tokenizer.token_to_id(token)));
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|why| why.to_string())?;
        let added = tokenizer.get_post_processor();
        let added = added.map_or((0, 0), |it| (it.added_tokens(false), it.added_tokens(true)));
        Ok(Self {
            tokenizer,
            pad: pad.unwrap_or_default(),
            added,
        })
    }

    /// A text with the special tokens that the model wants, cut to `max` tokens in all. A text that
    /// makes no token at all, under a tokenizer that adds none, is one padding token, so that every
    /// text has an answer.
    ///
    /// # Errors
    /// When `max` leaves no room beside the special tokens, or the tokenizer fails.
    pub fn tokens(&self, text: &str, max: usize) -> Result<Tokens> {
        let room = room(max, self.added.0)?;
        let (encoding, cut) = self.encode(text, room)?;
        self.finish(encoding, None, cut)
    }

    /// A pair of texts likewise. When both together are too long, the longer one is cut until they
    /// are equally long, then both (transformers' `longest_first`).
    ///
    /// # Errors
    /// As [`TextTokenizer::tokens`].
    pub fn pair(&self, first: &str, second: &str, max: usize) -> Result<Tokens> {
        let room = room(max, self.added.1)?;
        let (mut first, first_cut) = self.encode(first, room)?;
        let (mut second, second_cut) = self.encode(second, room)?;
        let (firsts, seconds) = share(first.len(), second.len(), room);
        let cut = first_cut || second_cut || firsts < first.len() || seconds < second.len();
        shorten(&mut first, firsts);
        shorten(&mut second, seconds);
        self.finish(first, Some(second), cut)
    }

    /// The ids of a text without special tokens, at most `max` of them, and whether more were cut
    /// off: for models whose input is put together from pieces.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn plain(&self, text: &str, max: usize) -> Result<(Vec<u32>, bool)> {
        let (encoding, cut) = self.encode(text, max)?;
        Ok((encoding.get_ids().to_vec(), cut))
    }

    /// As much of the beginning of a text as its first `max` tokens stand for, without special ones.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn prefix<'a>(&self, text: &'a str, max: usize) -> Result<&'a str> {
        let mut bytes = max.saturating_mul(BYTES_PER_TOKEN).max(1024);
        let most = max.saturating_mul(MOST_BYTES_PER_TOKEN).max(65_536);
        loop {
            let beginning = beginning(text, bytes);
            let encoding = self.spans(beginning, false)?;
            if encoding.len() > max {
                let ends = encoding.get_offsets().iter().take(max);
                let end = ends.map(|(_, end)| *end).max().unwrap_or_default();
                let end = beginning.floor_char_boundary(end);
                return Ok(beginning.get(..end).unwrap_or(beginning));
            }
            if beginning.len() == text.len() || bytes >= most {
                return Ok(beginning);
            }
            bytes = bytes.saturating_mul(8).min(most);
        }
    }

    /// All tokens of a text with the bytes that each stands for, with the special ones when `framed`.
    /// The work grows with the text.
    pub(crate) fn spans(&self, text: &str, framed: bool) -> Result<Encoding> {
        guarded(|| self.tokenizer.encode(text, framed))
            .map_err(|why| failed(&why))?
            .map_err(|why| failed(&why))
    }

    /// The id of a token of the vocabulary.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// What shorter texts of a call are filled up with.
    #[must_use]
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// How many special tokens [`TextTokenizer::tokens`] adds.
    #[must_use]
    pub fn added(&self) -> usize {
        self.added.0
    }

    /// How many [`TextTokenizer::pair`] adds.
    #[must_use]
    pub fn added_to_pairs(&self) -> usize {
        self.added.1
    }

    /// The first `room` tokens of a text, and whether there are more.
    fn encode(&self, text: &str, room: usize) -> Result<(Encoding, bool)> {
        let mut bytes = room.saturating_mul(BYTES_PER_TOKEN).max(1024);
        let most = room.saturating_mul(MOST_BYTES_PER_TOKEN).max(65_536);
        loop {
            let beginning = beginning(text, bytes);
            let whole = beginning.len() == text.len();
            let mut encoding = guarded(|| self.tokenizer.encode_fast(beginning, false))
                .map_err(|why| failed(&why))?
                .map_err(|why| failed(&why))?;
            // Where a beginning ends, its last token may be another than in the whole text.
            if whole || encoding.len() > room || bytes >= most {
                let cut = !whole || encoding.len() > room;
                shorten(&mut encoding, room);
                return Ok((encoding, cut));
            }
            bytes = bytes.saturating_mul(8).min(most);
        }
    }

    fn finish(&self, first: Encoding, second: Option<Encoding>, cut: bool) -> Result<Tokens> {
        let process = || self.tokenizer.post_process(first, second, true);
        let encoding = guarded(process)
            .map_err(|why| failed(&why))?
            .map_err(|why| failed(&why))?;
        let segments = encoding.get_type_ids();
        let one = segments.iter().all(|&segment| segment == 0);
        let segment = |&it: &u32| u8::try_from(it).unwrap_or(u8::MAX);
        let ids = encoding.get_ids();
        Ok(Tokens {
            ids: if ids.is_empty() {
                [self.pad].into()
            } else {
                ids.into()
            },
            segments: if one {
                [].into()
            } else {
                segments.iter().map(segment).collect()
            },
            cut,
            stays: false,
        })
    }
}

fn failed(why: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorCode::EngineFailure,
        format!("the tokenizer failed: {why}"),
    )
}

fn room(max: usize, added: usize) -> Result<usize> {
    max.checked_sub(added).filter(|&room| room > 0).ok_or_else(|| {
        Error::invalid(format!(
            "{max} tokens leave no room for a text beside the {added} special tokens of the model; \
             allow more"
        ))
    })
}

/// How many tokens of each of two texts stay, so that both together have at most `room`.
fn share(first: usize, second: usize, room: usize) -> (usize, usize) {
    let half = room / 2;
    match (
        first.saturating_add(second) <= room,
        first <= half,
        second <= half,
    ) {
        (true, ..) => (first, second),
        (_, true, _) => (first, room - first),
        (_, _, true) => (room - second, second),
        // The larger half goes to the longer text, the second when they are equally long.
        _ if first > second => (room - half, half),
        _ => (half, room - half),
    }
}

/// Keeps the first `length` tokens and forgets the others.
fn shorten(encoding: &mut Encoding, length: usize) {
    encoding.truncate(length, 0, TruncationDirection::Right);
    encoding.take_overflowing();
}

/// At most `bytes` bytes of the beginning of a text, up to the last space in them if it is near the
/// end; scripts without spaces have none.
pub(crate) fn beginning(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let head = text.get(..text.floor_char_boundary(bytes)).unwrap_or(text);
    let near = head.len() - head.len() / 4;
    let space = head.rfind(char::is_whitespace).filter(|&end| end >= near);
    space.and_then(|end| head.get(..end)).unwrap_or(head)
}

#[cfg(test)]
mod tests {
    use tokenizers::models::wordlevel::WordLevel;
    use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
    use tokenizers::processors::template::TemplateProcessing;

    use super::*;

    /// Words `a` and `b`, between `[CLS]` and `[SEP]`.
    fn tokenizer() -> TextTokenizer {
        let words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "b"];
        let vocabulary = words
            .iter()
            .zip(0..)
            .map(|(word, id)| (word.to_string(), id));
        let model = WordLevel::builder()
            .vocab(vocabulary.collect())
            .unk_token("[UNK]".to_owned())
            .build()
            .unwrap();
        let template = TemplateProcessing::builder()
            .try_single("[CLS] $A [SEP]")
            .unwrap()
            .try_pair("[CLS] $A [SEP] $B:1 [SEP]:1")
            .unwrap()
            .special_tokens(vec![("[CLS]", 1), ("[SEP]", 2)])
            .build()
            .unwrap();
        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
        tokenizer.with_post_processor(Some(template));
        TextTokenizer::new(tokenizer).unwrap()
    }

    #[test]
    fn a_prefix_ends_where_its_tokens_do() {
        let tokenizer = tokenizer();
        let prefix = |text, max| tokenizer.prefix(text, max).unwrap();
        assert_eq!(prefix("a b  a b", 3), "a b  a");
        assert_eq!(prefix("a b", 2), "a b");
        assert_eq!(prefix("a b", 0), "");
        assert_eq!(prefix(" ä é a", 1), " ä");
        let long = "a b ".repeat(10_000);
        assert_eq!(prefix(&long, 5), "a b a b a");
        assert_eq!(prefix(&long, 20_000), long);
    }

    #[test]
    fn a_text_has_its_special_tokens_however_it_is_cut() {
        let tokenizer = tokenizer();
        let ids = |text: &str, max| {
            let tokens = tokenizer.tokens(text, max).unwrap();
            (tokens.ids.into_vec(), tokens.cut)
        };
        assert_eq!(ids("a b a", 8), (vec![1, 4, 5, 4, 2], false));
        assert_eq!(ids("a b a", 5), (vec![1, 4, 5, 4, 2], false));
        assert_eq!(ids("a b a", 4), (vec![1, 4, 5, 2], true));
        assert_eq!(ids("", 8), (vec![1, 2], false));
        assert!(tokenizer.tokens("a", 2).is_err());
    }

    #[test]
    fn a_pair_is_cut_at_its_longer_text() {
        let tokenizer = tokenizer();
        let pair = |first: &str, second: &str, max| {
            let tokens = tokenizer.pair(first, second, max).unwrap();
            assert_eq!(tokens.ids.len(), tokens.segments.len());
            let first = tokens.segments.iter().filter(|&&it| it == 0).count() - 2;
            (first, tokens.ids.len() - first - 3, tokens.cut)
        };
        assert_eq!(pair("a a", "b b b", 20), (2, 3, false));
        assert_eq!(pair("a a", "b b b b b b", 9), (2, 4, true));
        assert_eq!(pair("a a a a a a", "b b", 9), (4, 2, true));
        assert_eq!(pair("a a a a a a", "b b b b b", 10), (4, 3, true));
        assert_eq!(pair("a a a a a", "b b b b b", 10), (3, 4, true));
        assert_eq!(pair("", "", 10), (0, 0, false));
    }

    #[test]
    fn of_a_long_text_only_a_beginning_is_read() {
        let tokenizer = tokenizer();
        let words = "a ".repeat(1 << 20);
        let tokens = tokenizer.tokens(&words, 100).unwrap();
        assert_eq!((tokens.len(), tokens.cut), (100, true));
        let far = format!("{}b", " ".repeat(50_000));
        assert_eq!(*tokenizer.tokens(&far, 100).unwrap().ids, [1, 5, 2]);
        let too_far = format!("{}b", " ".repeat(10 << 20));
        let tokens = tokenizer.tokens(&too_far, 100).unwrap();
        assert_eq!((&*tokens.ids, tokens.cut), (&[1, 2][..], true));
    }

    #[test]
    fn a_beginning_ends_between_words_and_never_in_a_character() {
        assert_eq!(beginning("a word word", 8), "a word");
        assert_eq!(beginning("a wordwordword", 8), "a wordwo");
        assert_eq!(beginning("words", 3), "wor");
        assert_eq!(beginning("\u{1f600}\u{1f600}", 6), "\u{1f600}");
        assert_eq!(beginning("short", 50), "short");
    }
}
