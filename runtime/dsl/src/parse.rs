//! The way from a source to a tree or to everything that is wrong with it.

use chumsky::Parser as _;
use chumsky::input::Input as _;
use chumsky::span::SimpleSpan;

use crate::fault::{Fault, Kind};
use crate::{Diagnostic, MAX_DIAGNOSTICS, MAX_SOURCE_BYTES, Pipeline, grammar, limits, token};

/// Reads a pipeline.
///
/// # Errors
/// Everything that is wrong with it, in the order of the source: at least one diagnostic, at most
/// [`MAX_DIAGNOSTICS`] and one that counts the rest.
pub fn parse(source: &str) -> Result<Pipeline, Vec<Diagnostic>> {
    if source.len() > MAX_SOURCE_BYTES {
        let start = source.floor_char_boundary(MAX_SOURCE_BYTES);
        let fault = Fault::new(Kind::TooLong, (start..source.len()).into());
        return Err(vec![fault.explain(source)]);
    }
    let (tokens, mut faults) = token::tokenize(source);
    let end = SimpleSpan::from(source.len()..source.len());
    if let Some(fault) = limits::check(&tokens) {
        faults.push(fault);
    } else if !tokens.is_empty() {
        let input = tokens.as_slice().split_token_span(end);
        let (tree, mistakes) = grammar::pipeline(source).parse(input).into_output_errors();
        match tree {
            Some(Some(tree)) if mistakes.is_empty() && faults.is_empty() => return Ok(tree),
            _ => faults.extend(mistakes),
        }
    }
    if faults.is_empty() {
        faults.push(Fault::new(Kind::EmptyPipeline, end));
    }
    Err(explain(source, faults))
}

fn explain(source: &str, mut faults: Vec<Fault>) -> Vec<Diagnostic> {
    faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
    let hidden = faults.split_off(faults.len().min(MAX_DIAGNOSTICS));
    let mut diagnostics: Vec<_> = faults.iter().map(|fault| fault.explain(source)).collect();
    if let Some(next) = hidden.first() {
        let message = match hidden.len() {
            1 => "one more mistake is not shown".to_owned(),
            more => format!("{more} more mistakes are not shown"),
        };
        diagnostics.push(Diagnostic::new(next.span.into_range(), message));
    }
    diagnostics
}
