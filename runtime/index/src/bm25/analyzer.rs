//! English text to index terms: words, lower case, no stop words, stems.

use std::borrow::Cow;
use std::collections::HashMap;

use frostem::{Algorithm, Stemmer};
use tantivy::tokenizer::{
    LowerCaser, StopWordFilter, TextAnalyzer, Token, TokenFilter, TokenStream, Tokenizer,
};

use super::counter::TermCounter;
use super::stop_words::STOP_WORDS;
use super::words::Words;

/// Turns English text into terms, the same way for documents and queries.
///
/// Words are runs of letters and digits; what a possessive or a contraction adds (`'s`, `'t`)
/// belongs to no word. They are put into
/// lower case, function words ("the", "with", "which") are removed, and the rest is stemmed with
/// Porter's original algorithm: the one behind the BM25 figures that Terrier and Anserini publish,
/// and frozen by its author, so that an upgrade cannot part queries from an index.
#[derive(Clone)]
pub struct EnglishAnalyzer(TextAnalyzer);

impl Default for EnglishAnalyzer {
    fn default() -> Self {
        let stop_words = STOP_WORDS.split_whitespace().map(str::to_owned);
        let analyzer = TextAnalyzer::builder(WordTokenizer::default())
            .filter(LowerCaser)
            .filter(StopWordFilter::remove(stop_words))
            .filter(Porter)
            .build();
        Self(analyzer)
    }
}

impl EnglishAnalyzer {
    /// Names what this analyzer does; an index built under another name is rebuilt. Whatever
    /// changes a term, the stop words too, needs a new name.
    pub(crate) const NAME: &'static str = "english-1";

    /// Counts `terms`, and nothing else, in many texts.
    #[must_use]
    pub fn counter(&self, terms: Vec<String>) -> TermCounter {
        TermCounter::new(self.tokenizer(), terms)
    }

    pub(crate) fn tokenizer(&self) -> TextAnalyzer {
        self.0.clone()
    }

    /// Calls `each` with every term of `text` in order, until it says `false`.
    pub(crate) fn each(&self, text: &str, mut each: impl FnMut(&str) -> bool) {
        let mut analyzer = self.0.clone();
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

/// [`Words`] as tantivy wants them.
#[derive(Clone, Default)]
struct WordTokenizer {
    token: Token,
}

struct WordStream<'a> {
    words: Words<'a>,
    token: &'a mut Token,
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream {
            words: Words::of(text),
            token: &mut self.token,
        }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some((start, word)) = self.words.next() else {
            return false;
        };
        self.token.text.clear();
        self.token.text.push_str(word);
        self.token.offset_from = start;
        self.token.offset_to = start + word.len();
        self.token.position = self.token.position.wrapping_add(1);
        true
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
