//! Some terms counted in many texts, without analysing the texts in full.

use hashbrown::HashMap;
use tantivy::tokenizer::{TextAnalyzer, TokenStream};

use super::words::{Words, each};

/// Counts some terms in many texts. What a word becomes depends on nothing but the word, so it is
/// found out once, and not at all for a word that cannot become any of the terms.
pub struct TermCounter {
    analyzer: TextAnalyzer,
    shapes: Shapes,
    terms: Vec<String>,
    counts: Vec<u32>,
    /// Words met so far, each with the place of the term that it becomes.
    met: HashMap<String, Option<usize>>,
}

impl TermCounter {
    /// Counts `terms` as `analyzer` makes them.
    pub(crate) fn new(analyzer: TextAnalyzer, terms: Vec<String>) -> Self {
        Self {
            analyzer,
            shapes: Shapes::of(&terms),
            counts: vec![0; terms.len()],
            terms,
            met: HashMap::new(),
        }
    }

    /// How often each term occurs in `text`, in the terms' order.
    pub fn count(&mut self, text: &str) -> &[u32] {
        self.counts.fill(0);
        let mut words = Words::of(text);
        while let Some((_, word)) = words.next_where(|head| self.shapes.may_start(head)) {
            let term = match self.met.get(word) {
                Some(term) => *term,
                None => {
                    let mut stream = self.analyzer.token_stream(word);
                    let becomes = stream.next().map(|token| &token.text);
                    let place = becomes.and_then(|term| self.terms.iter().position(|t| t == term));
                    drop(stream);
                    self.met.insert(word.to_owned(), place);
                    place
                }
            };
            if let Some(count) = term.and_then(|place| self.counts.get_mut(place)) {
                *count = count.saturating_add(1);
            }
        }
        &self.counts
    }
}

/// What words that become one of some terms look like at their start.
///
/// Porter's algorithm only ever exchanges the end of a word: what it takes off it leaves off, and
/// what it puts there instead differs from the word in its last two letters at most ("-bility",
/// "-ble"). It never changes the first. So a word starts like the term that it becomes, but for
/// those two letters and for case.
///
/// Of the start only the first eight bytes are looked at, together.
struct Shapes {
    /// By the first letter, in lower case.
    by_initial: Vec<Vec<Start>>,
}

/// How some words start.
struct Start {
    /// The bytes that count.
    mask: u64,
    /// What they are in lower case.
    value: u64,
}

/// How many letters at the end of a term the word need not have.
const OWN_ENDING: usize = 2;

/// What a capital letter lacks. It also makes letters or digits of some other characters, so more
/// words may be let through than should: that costs time and nothing else.
const LOWER: u64 = each(b'a' ^ b'A');

impl Shapes {
    fn of(terms: &[String]) -> Self {
        let mut by_initial: Vec<_> = (0..0x80).map(|_| Vec::new()).collect();
        for term in terms.iter().map(|term| term.as_bytes()) {
            let length = term.len().saturating_sub(OWN_ENDING).max(1);
            let (mut mask, mut value) = ([0; 8], [0; 8]);
            let bytes = mask.iter_mut().zip(&mut value);
            for ((mask, value), byte) in bytes.zip(term.iter().take(length)) {
                *mask = u8::MAX;
                *value = *byte;
            }
            let start = Start {
                mask: u64::from_le_bytes(mask),
                value: u64::from_le_bytes(value) | LOWER,
            };
            let initial = term.first().copied().unwrap_or_default() | LOWER as u8;
            if let Some(starts) = by_initial.get_mut(usize::from(initial)) {
                starts.push(start);
            }
        }
        Self { by_initial }
    }

    /// Whether the word that starts with these bytes may become one of the terms. One with other
    /// letters than ASCII among them always may, since some have an ASCII letter for a lower case.
    fn may_start(&self, head: u64) -> bool {
        const BEYOND: u64 = each(0x80);
        let lower = head | LOWER;
        match self.by_initial.get(usize::from(lower as u8)) {
            Some(starts) => starts.iter().any(|start| {
                head & BEYOND & start.mask != 0 || lower & start.mask == start.value & start.mask
            }),
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::EnglishAnalyzer;

    proptest! {
        #[test]
        fn a_counter_counts_like_the_analyzer(
            query in "[a-zA-Z0-9é \u{212a}]{0,40}",
            texts in prop::collection::vec(
                "([a-zA-Z\u{212a}é'’]{1,12}|[a-z]{1,4}(y|ies|ing|ed|ational|s)|the|[ ,.–]{1,3}){0,40}",
                0..4,
            ),
        ) {
            let analyzer = EnglishAnalyzer::default();
            let terms: Vec<_> = analyzer.counts(&query).into_keys().collect();
            let mut counter = analyzer.counter(terms.clone());
            for text in texts.iter().map(|text| format!("{text} {query} {text}")) {
                let all = analyzer.counts(&text);
                let expected: Vec<_> =
                    terms.iter().map(|term| all.get(term).copied().unwrap_or(0)).collect();
                prop_assert_eq!(counter.count(&text), expected);
            }
        }

        /// Every word finds the term that it becomes, whatever the stemmer does to its end.
        #[test]
        fn a_word_starts_like_the_term_that_it_becomes(
            word in "[a-zA-Zé\u{130}\u{212a}]{0,6}(y|e|s|es|ed|ing|eed|at|bl|iz|ll|tt)?(ational|tional|\
                     enci|anci|izer|abli|alli|entli|eli|ousli|ization|ation|ator|alism|iveness|\
                     fulness|ousness|aliti|iviti|biliti|bility|ivity|ality|ency|ancy|ably)?(icate|\
                     ative|alize|iciti|ical|ful|ness|al|ance|ence|er|ic|able|ible|ant|ement|ment|\
                     ent|ion|ou|ism|ate|iti|ous|ive|ize)?(s|es|ed|ing|ly|y|e)?",
        ) {
            for (term, count) in EnglishAnalyzer::default().counts(&word) {
                let mut counter = EnglishAnalyzer::default().counter(vec![term.clone()]);
                prop_assert_eq!(counter.count(&word), &[count], "{} of {}", term, word);
            }
        }
    }
}
