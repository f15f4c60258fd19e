//! The grammar, as chumsky parsers.
//!
//! Every choice is made by the next token and every rule also accepts what people write by
//! mistake, so nothing is ever read twice: time is linear, and one pass finds all mistakes. What a
//! rule makes of a mistake is a placeholder; no tree with one leaves [`crate::parse`].

use std::sync::Arc;

use chumsky::extra;
use chumsky::input::MappedInput;
use chumsky::prelude::{IterParser, Parser, choice, end, just, recursive, select};
use chumsky::span::SimpleSpan;

use crate::fault::{Fault, Kind};
use crate::limits::MAX_LIMIT_DIGITS;
use crate::token::{Spanned, Token};
use crate::{Call, Limit, Name, Parallel, Sequence, Stage};

type Tokens<'a> = MappedInput<'a, Token, SimpleSpan, &'a [Spanned]>;
type Extra = extra::Err<Fault>;

/// A rule that makes a `T`.
trait Rule<'a, T>: Parser<'a, Tokens<'a>, T, Extra> + Clone + 'a {}
impl<'a, T, P: Parser<'a, Tokens<'a>, T, Extra> + Clone + 'a> Rule<'a, T> for P {}

/// `pipeline := sequence`; `None` when there is nothing but mistakes.
pub(crate) fn pipeline<'a>(
    source: &'a str,
) -> impl Parser<'a, Tokens<'a>, Option<Sequence>, Extra> {
    let sequence = sequence(stage(source), false);
    let comma = fault(Token::Comma, Kind::CommaOutside);
    // What follows a stray brace is most likely a merger, which reads like a stage.
    let brace = fault(Token::CloseBrace, Kind::StrayBrace);
    let stray = choice((comma, brace)).then(sequence.clone());
    sequence.then_ignore(stray.repeated()).then_ignore(end())
}

/// `sequence := stage (">>" stage)*`; `None` when there is nothing.
fn sequence<'a>(stage: impl Rule<'a, Stage>, in_braces: bool) -> impl Rule<'a, Option<Sequence>> {
    let missing = select! { Token::Name | Token::Word | Token::OpenBrace => () }
        .to_span()
        .rewind()
        .validate(move |span, _, emitter| {
            emitter.emit(Fault::new(Kind::MissingThen { in_braces }, span));
            span
        });
    let then = choice((
        just(Token::Then).to_span(),
        fault(Token::Arrow, Kind::Arrow),
        missing,
    ));
    let first = stage.clone().or_not();
    let later = then.then(stage.or_not()).repeated().collect::<Vec<_>>();
    first
        .then(later)
        .validate(|(first, later), extra, emitter| {
            if let (None, Some((then, _))) = (&first, later.first()) {
                emitter.emit(Fault::new(Kind::NothingBefore, *then));
            }
            for (then, _) in later.iter().filter(|(_, stage)| stage.is_none()) {
                emitter.emit(Fault::new(Kind::NothingAfter, *then));
            }
            let stages = first
                .into_iter()
                .chain(later.into_iter().filter_map(|(_, stage)| stage));
            let stages: Vec<_> = stages.collect();
            let span: SimpleSpan = extra.span();
            (!stages.is_empty()).then(|| Sequence {
                stages,
                span: span.into_range(),
            })
        })
}

/// `stage := call | [call] "{" sequence ("," sequence)* "}" call`.
fn stage<'a>(source: &'a str) -> impl Rule<'a, Stage> {
    recursive(|stage| {
        let braces = braces(sequence(stage, true), source);
        let head = choice((name(source), number_as_name(), nameless()));
        choice((
            call(head, source)
                .then(braces.clone().or_not())
                .map(|(call, braces)| match braces {
                    None => Stage::Call(call),
                    Some(braces) => braces.into_stage(Some(call)),
                }),
            braces.map(|braces| braces.into_stage(None)),
        ))
    })
}

/// What an opening brace begins.
struct Braces {
    branches: Vec<Sequence>,
    merger: Call,
    span: SimpleSpan,
}

impl Braces {
    fn into_stage(self, expander: Option<Call>) -> Stage {
        let start = expander
            .as_ref()
            .map_or(self.span.start, |call| call.span.start);
        Stage::Parallel(Box::new(Parallel {
            expander,
            branches: self.branches,
            merger: self.merger,
            span: start..self.span.end,
        }))
    }
}

fn braces<'a>(branch: impl Rule<'a, Option<Sequence>>, source: &'a str) -> impl Rule<'a, Braces> {
    let comma = just(Token::Comma).to_span();
    let branches = branch
        .clone()
        .then(comma.then(branch).repeated().collect::<Vec<_>>());
    let merger = just(Token::CloseBrace)
        .to_span()
        .then(name(source).or_not())
        .validate(|(brace, name), _, emitter| {
            name.unwrap_or_else(|| {
                emitter.emit(Fault::new(Kind::NoMerger, brace));
                placeholder(brace)
            })
        });
    let merger = call(merger, source);
    just(Token::OpenBrace)
        .to_span()
        .then(branches)
        .then(merger.or_not())
        .validate(|((open, (first, later)), merger), extra, emitter| {
            let mut empty_at = |span| emitter.emit(Fault::new(Kind::EmptyBranch, span));
            // An empty branch is shown at the comma that makes it one.
            match (&first, later.first(), &merger) {
                (None, Some((comma, _)), _) => empty_at(*comma),
                (None, None, Some(_)) => empty_at(open),
                _ => {}
            }
            for (index, (comma, _)) in later.iter().enumerate().filter(|(_, (_, b))| b.is_none()) {
                match later.get(index + 1) {
                    Some((next, _)) => empty_at(*next),
                    None => empty_at(*comma),
                }
            }
            let span: SimpleSpan = extra.span();
            let merger = merger.unwrap_or_else(|| {
                let end = SimpleSpan::from(span.end..span.end);
                emitter.emit(Fault::new(Kind::OpenBrace, open).with_other(end));
                Call::new("")
            });
            let branches = first
                .into_iter()
                .chain(later.into_iter().filter_map(|(_, b)| b));
            Braces {
                branches: branches.collect(),
                merger,
                span,
            }
        })
}

/// `call := NAME suffix*`, each kind of suffix at most once.
fn call<'a>(head: impl Rule<'a, Name>, source: &'a str) -> impl Rule<'a, Call> {
    head.then(suffix(source).repeated().collect::<Vec<_>>())
        .validate(|(name, suffixes), extra, emitter| {
            let span: SimpleSpan = extra.span();
            let span = name.span.start..span.end;
            let mut call = Call {
                name,
                span,
                ..Call::new("")
            };
            for (suffix, span) in suffixes {
                let what = suffix.what();
                let before = match suffix {
                    Suffix::Label(label) => call.label.replace(label).map(|old| old.span),
                    Suffix::View(view) => call.view.replace(view).map(|old| old.span),
                    Suffix::Limit(limit) => call.limit.replace(limit).map(|old| old.span),
                    Suffix::Mistake => None,
                };
                if let Some(before) = before {
                    let repeated = Fault::new(Kind::Repeated(what), span);
                    emitter.emit(repeated.with_other(before.into()));
                }
            }
            call
        })
}

#[derive(Clone)]
enum Suffix {
    Label(Name),
    View(Name),
    Limit(Limit),
    Mistake,
}

impl Suffix {
    fn what(&self) -> &'static str {
        match self {
            Self::Label(_) => "label",
            Self::View(_) => "view",
            Self::Limit(_) => "limit",
            Self::Mistake => "",
        }
    }
}

/// `suffix := "[" NAME "]" | "@" NAME | "%" NUMBER`.
fn suffix<'a>(source: &'a str) -> impl Rule<'a, (Suffix, SimpleSpan)> {
    let word = select! { token @ (Token::Name | Token::Word | Token::Number) => token }
        .map_with(|token, extra| (token, extra.span()));
    let label = just(Token::OpenBracket)
        .to_span()
        .then(word.repeated().collect::<Vec<(Token, SimpleSpan)>>())
        .then(just(Token::CloseBracket).or_not())
        .validate(move |((open, words), close), extra, emitter| {
            let span: SimpleSpan = extra.span();
            let (kind, at) = match (words.as_slice(), close) {
                ([(Token::Name, span)], Some(_)) => return Suffix::Label(text(source, *span)),
                (_, None) => (Kind::OpenBracket, open),
                ([], Some(_)) => (Kind::EmptyLabel, span),
                ([(_, span)], Some(_)) => (Kind::NotAName, *span),
                (_, Some(_)) => (Kind::LongLabel, span),
            };
            let end = SimpleSpan::from(span.end..span.end);
            emitter.emit(Fault::new(kind, at).with_other(end));
            Suffix::Mistake
        });
    let view =
        just(Token::At)
            .to_span()
            .then(word.or_not())
            .validate(move |(at, word), _, emitter| {
                let fault = match word {
                    Some((Token::Name, span)) => return Suffix::View(text(source, span)),
                    Some((_, span)) => Fault::new(Kind::NotAName, span),
                    None => Fault::new(Kind::NoView, at),
                };
                emitter.emit(fault);
                Suffix::Mistake
            });
    let limit = just(Token::Percent).to_span().then(word.or_not()).validate(
        move |(at, word), extra, emitter| {
            let whole: SimpleSpan = extra.span();
            let fault = match word {
                Some((Token::Number, span)) => match number(source, span) {
                    Some(value) => {
                        return Suffix::Limit(Limit {
                            value,
                            span: whole.into_range(),
                        });
                    }
                    None => Fault::new(Kind::LargeNumber, span),
                },
                Some((_, span)) => Fault::new(Kind::NotANumber, span),
                None => Fault::new(Kind::NoNumber, at),
            };
            emitter.emit(fault);
            Suffix::Mistake
        },
    );
    let bare = fault(Token::Number, Kind::NoPercent).to(Suffix::Mistake);
    let bracket = fault(Token::CloseBracket, Kind::StrayBracket).to(Suffix::Mistake);
    choice((limit, label, view, bare, bracket)).map_with(|suffix, extra| (suffix, extra.span()))
}

fn name<'a>(source: &'a str) -> impl Rule<'a, Name> {
    let good = just(Token::Name)
        .to_span()
        .map(move |span| text(source, span));
    choice((good, fault(Token::Word, Kind::NotAName).map(placeholder)))
}

fn number_as_name<'a>() -> impl Rule<'a, Name> {
    fault(Token::Number, Kind::NotAName).map(placeholder)
}

/// In place of a name, when a suffix stands without one.
fn nameless<'a>() -> impl Rule<'a, Name> {
    select! { Token::OpenBracket | Token::CloseBracket | Token::At | Token::Percent => () }
        .to_span()
        .rewind()
        .validate(|span, _, emitter| {
            emitter.emit(Fault::new(Kind::NoName, span));
            placeholder(span)
        })
}

/// Takes a token that is a mistake in itself.
fn fault<'a>(token: Token, kind: Kind) -> impl Rule<'a, SimpleSpan> {
    just(token).to_span().validate(move |span, _, emitter| {
        emitter.emit(Fault::new(kind, span));
        span
    })
}

fn text(source: &str, span: SimpleSpan) -> Name {
    let text = source.get(span.into_range()).unwrap_or_default();
    Name {
        text: Arc::from(text),
        span: span.into_range(),
    }
}

fn placeholder(span: SimpleSpan) -> Name {
    Name {
        text: Arc::from(""),
        span: span.into_range(),
    }
}

fn number(source: &str, span: SimpleSpan) -> Option<usize> {
    let digits = source
        .get(span.into_range())
        .filter(|digits| digits.len() <= MAX_LIMIT_DIGITS)?;
    digits.parse().ok()
}
