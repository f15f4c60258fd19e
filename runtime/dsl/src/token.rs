//! From text to tokens. Whatever the text, every byte of it is in a token, in white space, or in
//! an unknown character that is reported.

use chumsky::span::SimpleSpan;
use logos::Logos;

use crate::fault::{Fault, Kind};

/// The tokens of the language, and those that people write instead.
#[derive(Logos, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[logos(skip r"\p{White_Space}+")]
pub(crate) enum Token {
    #[regex("[A-Za-z][A-Za-z0-9_-]*", priority = 20)]
    Name,
    #[regex("[0-9]+", priority = 20)]
    Number,
    /// Meant as a name or a number, but neither: `2stage`, `bm25.v2`, `modèle`, `-5`.
    #[regex(
        r"[-+.]*[\p{Alphabetic}\p{Nd}_][\p{Alphabetic}\p{M}\p{Nd}_./:+-]*",
        priority = 10
    )]
    Word,
    #[token(">>")]
    Then,
    /// Meant as `>>`.
    #[regex(">|>>>+|[-=]+>+|[|]+", priority = 5)]
    #[regex("[→⇒»≫⟫]")]
    Arrow,
    #[token(",")]
    Comma,
    #[token("{")]
    OpenBrace,
    #[token("}")]
    CloseBrace,
    #[token("[")]
    OpenBracket,
    #[token("]")]
    CloseBracket,
    #[token("@")]
    At,
    #[token("%")]
    Percent,
}

/// A token with its place in bytes.
pub(crate) type Spanned = (Token, SimpleSpan);

/// Whether `text` can be written as a name in a pipeline: an ASCII letter, then ASCII letters,
/// digits, `_` or `-`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// The tokens of `source`. Unknown characters are left out and reported, neighbours together.
pub(crate) fn tokenize(source: &str) -> (Vec<Spanned>, Vec<Fault>) {
    let mut tokens = Vec::new();
    let mut unknown: Vec<SimpleSpan> = Vec::new();
    for (token, span) in Token::lexer(source).spanned() {
        match (token, unknown.last_mut()) {
            (Ok(token), _) => tokens.push((token, span.into())),
            (Err(()), Some(last)) if last.end == span.start => last.end = span.end,
            (Err(()), _) => unknown.push(span.into()),
        }
    }
    let faults = unknown
        .into_iter()
        .map(|span| Fault::new(Kind::UnknownCharacters, span));
    (tokens, faults.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(source: &str) -> Vec<Token> {
        tokenize(source)
            .0
            .into_iter()
            .map(|(token, _)| token)
            .collect()
    }

    #[test]
    fn tells_names_from_numbers_and_from_neither() {
        use Token::{Name, Number, Word};
        assert_eq!(
            tokens("a b-2_C 10 2stage 50- bm25.v2 org/m modèle -5 1.5 _x é"),
            [
                Name, Name, Number, Word, Word, Word, Word, Word, Word, Word, Word, Word
            ]
        );
    }

    #[test]
    fn tells_the_arrow_from_its_likes() {
        use Token::{Arrow, Name, Then};
        assert_eq!(tokens("a>>b"), [Name, Then, Name]);
        for source in [
            "a > b", "a >>> b", "a -> b", "a => b", "a | b", "a || b", "a → b", "a » b",
        ] {
            assert_eq!(tokens(source), [Name, Arrow, Name], "{source}");
        }
    }

    #[test]
    fn reports_neighbouring_unknown_characters_together() {
        let (tokens, faults) = tokenize("a ?! b\u{202e} (");
        assert_eq!(tokens.len(), 2);
        let spans: Vec<_> = faults.iter().map(|fault| fault.span.into_range()).collect();
        assert_eq!(spans, [2..4, 6..9, 10..11]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_on_what_a_name_is(text in "[a-zA-Z0-9_é-]{0,4}|\\PC{0,3}") {
            let (tokens, faults) = tokenize(&text);
            let one_name = faults.is_empty()
                && tokens == [(Token::Name, SimpleSpan::from(0..text.len()))];
            prop_assert_eq!(is_name(&text), one_name);
        }
    }
}
