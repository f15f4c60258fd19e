//! English text to index terms: words, lower case, no stop words, stems.

use std::borrow::Cow;
use std::collections::HashMap;

use frostem::{Algorithm, Stemmer};
use tantivy::tokenizer::{
    LowerCaser, StopWordFilter, TextAnalyzer, Token, TokenFilter, TokenStream, Tokenizer,
};

use crate::stop_words::STOP_WORDS;

/// Longer words, in bytes, are dropped: they are encoded data, not language.
const MAX_WORD_BYTES: usize = 128;

/// Turns English text into terms, the same way for documents and queries.
///
/// Words are runs of letters and digits; what a possessive or a contraction adds (`'s`, `'t`)
/// belongs to no word. They are put into
/// lower case, function words ("the", "with", "which") are removed, and the rest is stemmed with
/// Porter's original algorithm: the one behind the BM25 figures that Terrier and Anserini publish,
/// and frozen by its author, so that an upgrade cannot part queries from an index.
#[derive(Clone)]
pub struct EnglishAnalyzer {
    analyzer: TextAnalyzer,
    stop_words: StopWordFilter,
}

impl Default for EnglishAnalyzer {
    fn default() -> Self {
        let stop_words = STOP_WORDS.split_whitespace().map(str::to_owned);
        Self::of(Words::default(), StopWordFilter::remove(stop_words))
    }
}

impl EnglishAnalyzer {
    /// Names what this analyzer does; an index built under another name is rebuilt. Whatever
    /// changes a term, the stop words too, needs a new name.
    pub(crate) const NAME: &'static str = "english-1";

    fn of(words: Words, stop_words: StopWordFilter) -> Self {
        let analyzer = TextAnalyzer::builder(words)
            .filter(LowerCaser)
            .filter(stop_words.clone())
            .filter(Porter)
            .build();
        Self {
            analyzer,
            stop_words,
        }
    }

    /// An analyzer that may leave out words that become none of `terms`, and so is faster where
    /// only those count. It goes by the first letter, which Porter's algorithm never changes.
    #[must_use]
    pub fn narrowed<'a>(&self, terms: impl IntoIterator<Item = &'a str>) -> Self {
        let initials = Initials::of(terms);
        let words = Words {
            initials: Some(initials),
            ..Words::default()
        };
        Self::of(words, self.stop_words.clone())
    }

    pub(crate) fn tokenizer(&self) -> TextAnalyzer {
        self.analyzer.clone()
    }

    /// Calls `each` with every term of `text` in order, until it says `false`.
    pub fn each(&self, text: &str, mut each: impl FnMut(&str) -> bool) {
        let mut analyzer = self.analyzer.clone();
        let mut stream = analyzer.token_stream(text);
        while stream.advance() {
            if !each(&stream.token().text) {
                break;
            }
        }
    }

    /// The terms of `text`, each with how often it occurs.
    #[must_use]
    pub fn counts(&self, text: &str) -> HashMap<String, u32> {
        let mut counts: HashMap<String, u32> = HashMap::new();
        self.each(text, |term| {
            match counts.get_mut(term) {
                Some(count) => *count = count.saturating_add(1),
                None => drop(counts.insert(term.to_owned(), 1)),
            }
            true
        });
        counts
    }
}

/// What follows an apostrophe and belongs to no word: "Ohm's", "don't", "we'll".
const CLITICS: [&str; 7] = ["s", "t", "d", "m", "ll", "re", "ve"];

/// The ASCII letters and digits, in either case, with which some terms start.
#[derive(Clone, Copy)]
struct Initials(u128);

impl Initials {
    fn of<'a>(terms: impl IntoIterator<Item = &'a str>) -> Self {
        let first = |term: &'a str| term.bytes().next().filter(u8::is_ascii);
        let bits = terms
            .into_iter()
            .filter_map(first)
            .map(|byte| 1_u128 << byte.to_ascii_lowercase() | 1_u128 << byte.to_ascii_uppercase());
        Self(bits.fold(0, |all, bit| all | bit))
    }

    /// Whether `word` may become one of the terms. Other letters than ASCII always may: some of
    /// them have an ASCII letter for a lower case.
    fn may_become(self, word: &str) -> bool {
        let first = word.bytes().next().filter(u8::is_ascii);
        first.is_none_or(|byte| self.0 >> byte & 1 == 1)
    }
}

/// Splits text into runs of letters and digits, without what [`CLITICS`] lists and without overlong ones.
#[derive(Clone, Default)]
struct Words {
    token: Token,
    /// If set, words that start otherwise are left out.
    initials: Option<Initials>,
}

struct WordStream<'a> {
    text: &'a str,
    at: usize,
    token: &'a mut Token,
    initials: Option<Initials>,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream {
            text,
            at: 0,
            token: &mut self.token,
            initials: self.initials,
        }
    }
}

impl WordStream<'_> {
    fn rest(&self, from: usize) -> &str {
        self.text.get(from..).unwrap_or_default()
    }

    /// The end of the possessive or contracted word that starts at `from`, if one does.
    fn clitic(&self, from: usize) -> Option<usize> {
        let rest = self.rest(from);
        let word = rest.strip_prefix(['\'', '\u{2019}', '\u{ff07}'])?;
        let end = word
            .find(|c: char| !c.is_alphanumeric())
            .unwrap_or(word.len());
        let clitic = word.get(..end)?;
        let known = CLITICS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(clitic));
        known.then(|| from + rest.len() - word.len() + end)
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        loop {
            let Some(skipped) = self.rest(self.at).find(char::is_alphanumeric) else {
                return false;
            };
            let start = self.at + skipped;
            let rest = self.rest(start);
            let len = rest
                .find(|c: char| !c.is_alphanumeric())
                .unwrap_or(rest.len());
            let end = start + len;
            self.at = self.clitic(end).unwrap_or(end);
            let word = self.text.get(start..end).unwrap_or_default();
            let wanted = self
                .initials
                .is_none_or(|initials| initials.may_become(word));
            if len > MAX_WORD_BYTES || !wanted {
                continue;
            }
            self.token.text.clear();
            self.token.text.push_str(word);
            self.token.offset_from = start;
            self.token.offset_to = end;
            self.token.position = self.token.position.wrapping_add(1);
            return true;
        }
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// Replaces words by their stems.
struct Porter;

#[derive(Clone)]
struct Stemming<T>(T);

struct StemStream<T> {
    words: T,
    stemmer: Stemmer,
}

impl TokenFilter for Porter {
    type Tokenizer<T: Tokenizer> = Stemming<T>;

    fn transform<T: Tokenizer>(self, tokenizer: T) -> Stemming<T> {
        Stemming(tokenizer)
    }
}

impl<T: Tokenizer> Tokenizer for Stemming<T> {
    type TokenStream<'a> = StemStream<T::TokenStream<'a>>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Self::TokenStream<'a> {
        StemStream {
            words: self.0.token_stream(text),
            stemmer: Stemmer::new(Algorithm::Porter),
        }
    }
}

impl<T: TokenStream> TokenStream for StemStream<T> {
    fn advance(&mut self) -> bool {
        if !self.words.advance() {
            return false;
        }
        let word = &mut self.words.token_mut().text;
        // Porter leaves words of one or two letters alone; the Snowball version of it does not.
        if word.len() <= 2 {
            return true;
        }
        let stem = match self.stemmer.stem(word) {
            Cow::Borrowed(same) if same.len() == word.len() => None,
            stem => Some(stem.into_owned()),
        };
        if let Some(stem) = stem {
            *word = stem;
        }
        true
    }

    fn token(&self) -> &Token {
        self.words.token()
    }

    fn token_mut(&mut self) -> &mut Token {
        self.words.token_mut()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(text: &str) -> Vec<String> {
        let mut terms = Vec::new();
        EnglishAnalyzer::default().each(text, |term| {
            terms.push(term.to_owned());
            true
        });
        terms
    }

    #[test]
    fn stems_lower_cases_and_drops_stop_words() {
        assert_eq!(
            terms("The Flexible CAPACITIES of memories"),
            ["flexibl", "capac", "memori"]
        );
    }

    #[test]
    fn possessives_and_contractions_go_and_other_apostrophes_split() {
        assert_eq!(
            terms("Ohm's law, Maxwell\u{2019}S; we'll don't vitamin d rock'n'roll 's"),
            [
                "ohm", "law", "maxwel", "vitamin", "d", "rock", "n", "roll", "s"
            ]
        );
    }

    #[test]
    fn query_syntax_is_plain_text() {
        assert_eq!(
            terms(r#"+text:"a b"~2 OR (x^3 AND -y) [1 TO *] \"#),
            ["text", "b", "2", "x", "3", "y", "1"]
        );
    }

    proptest! {
        #[test]
        fn a_narrowed_analyzer_counts_the_terms_it_was_made_for(
            query in "[a-zA-Z0-9é \u{212a}]{0,40}",
            words in prop::collection::vec("[a-zA-Z\u{212a}é'’]{1,12}|[a-z]{1,4}(y|ies|ing|ed|ational|s)", 0..60),
        ) {
            let text = format!("{} {query}", words.join(" "));
            let analyzer = EnglishAnalyzer::default();
            let terms = analyzer.counts(&query);
            let narrowed = analyzer.narrowed(terms.keys().map(String::as_str)).counts(&text);
            let all = analyzer.counts(&text);
            for term in terms.keys() {
                prop_assert_eq!(narrowed.get(term), all.get(term), "{}", term);
            }
        }
    }

    /// A changed list would part queries from the indices that were built before.
    #[test]
    fn the_stop_words_belong_to_the_analyzers_name() {
        let list: Vec<_> = STOP_WORDS.split_whitespace().collect();
        let state = list
            .join(" ")
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
                (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
        let known = (EnglishAnalyzer::NAME, list.len(), state);
        assert_eq!(
            known,
            ("english-1", 332, 10_001_264_411_448_294_091),
            "give the analyzer a new name"
        );
    }

    #[test]
    fn encoded_data_and_odd_letters_are_harmless() {
        assert_eq!(
            terms(&format!("left {} right", "a".repeat(129))),
            ["left", "right"]
        );
        assert_eq!(
            terms(&format!("left {} right", "\u{e9}".repeat(70_001))),
            ["left", "right"]
        );
        assert_eq!(terms("\u{0}\u{ffff}'s \u{2019}"), ["s"]);
        assert_eq!(
            terms("\u{130}stanbul na\u{ef}ve"),
            ["i\u{307}stanbul", "na\u{ef}v"]
        );
        assert!(terms("").is_empty());
    }
}
