//! How much a pipeline may be, checked on the tokens before anything recurses.

use std::collections::HashMap;

use crate::fault::{Fault, Kind};
use crate::token::{Spanned, Token};

/// The longest source, in bytes.
pub const MAX_SOURCE_BYTES: usize = 64 * 1024;

/// How deep braces may nest, as written and again once aliases are expanded.
pub const MAX_NESTING: usize = 32;

/// The most calls in a pipeline, mergers and expanders included, as written and again once
/// aliases are expanded.
pub const MAX_CALLS: usize = 1024;

/// The most digits of a number after `%`.
pub const MAX_LIMIT_DIGITS: usize = 10;

/// The most diagnostics for one source; one more then says how many are not shown.
pub const MAX_DIAGNOSTICS: usize = 20;

/// The first token with which the pipeline is too deep or has too many calls.
///
/// Only so many of every other token fit between that many calls, so the work that is left for
/// the grammar is bounded by the calls, not by the bytes.
pub(crate) fn check(tokens: &[Spanned]) -> Option<Fault> {
    let (mut depth, mut calls, mut words) = (0_usize, 0_usize, 0_usize);
    let mut others: HashMap<Token, usize> = HashMap::new();
    let mut before = None;
    for &(token, span) in tokens {
        match token {
            Token::OpenBrace => depth += 1,
            Token::CloseBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        // In a suffix, a word is a label, a view or a number gone wrong.
        let suffix = matches!(
            before,
            Some(Token::OpenBracket | Token::At | Token::Percent)
        );
        let word = matches!(token, Token::Name | Token::Word);
        let (count, most, kind) = match (word, suffix) {
            (true, false) => (&mut calls, MAX_CALLS, Kind::TooManyCalls),
            (true, true) => (&mut words, 2 * MAX_CALLS, Kind::TooManyTokens),
            _ => (
                others.entry(token).or_default(),
                MAX_CALLS,
                Kind::TooManyTokens,
            ),
        };
        *count += 1;
        if *count > most {
            return Some(Fault::new(kind, span));
        }
        if depth > MAX_NESTING {
            return Some(Fault::new(Kind::TooDeep, span));
        }
        before = Some(token);
    }
    None
}
