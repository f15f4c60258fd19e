//! What can be wrong with a source, as the lexer, the limits and the grammar find it, and how each
//! mistake is put into words.

use chumsky::error::{Error, LabelError};
use chumsky::input::Input;
use chumsky::span::SimpleSpan;
use chumsky::util::MaybeRef;

use crate::limits::{MAX_CALLS, MAX_LIMIT_DIGITS, MAX_NESTING, MAX_SOURCE_BYTES};
use crate::render::is_shown;
use crate::{Diagnostic, Span};

/// A mistake: small, so that a source full of them costs little before the first few are put into
/// words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) span: SimpleSpan,
    /// A second place: the end of what was left open, the first of what was repeated.
    other: Option<SimpleSpan>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    TooLong,
    TooDeep,
    TooManyCalls,
    /// More of a token than so many calls can need.
    TooManyTokens,
    EmptyPipeline,
    UnknownCharacters,
    NotAName,
    NotANumber,
    LargeNumber,
    NoNumber,
    NoPercent,
    NoView,
    NoName,
    OpenBracket,
    StrayBracket,
    EmptyLabel,
    LongLabel,
    /// A second suffix of the kind named.
    Repeated(&'static str),
    Arrow,
    /// Two stages with nothing between them.
    MissingThen {
        in_braces: bool,
    },
    NothingBefore,
    NothingAfter,
    EmptyBranch,
    NoMerger,
    OpenBrace,
    StrayBrace,
    CommaOutside,
    /// The grammar has a rule for every token sequence, so this is a net under it.
    Unexpected,
}

impl Fault {
    pub(crate) fn new(kind: Kind, span: SimpleSpan) -> Self {
        Self {
            kind,
            span,
            other: None,
        }
    }

    pub(crate) fn with_other(self, span: SimpleSpan) -> Self {
        Self {
            other: Some(span),
            ..self
        }
    }

    /// The mistake in words.
    pub(crate) fn explain(&self, source: &str) -> Diagnostic {
        let span = self.span.into_range();
        let found = quote(source, &span);
        let say = |message: &str| Diagnostic::new(span.clone(), message);
        let other = self.other.unwrap_or(self.span).into_range();
        match self.kind {
            Kind::TooLong => say(&format!(
                "the pipeline is {} bytes long; at most {MAX_SOURCE_BYTES} are allowed",
                source.len()
            )),
            Kind::TooDeep => say(&format!("braces nest deeper than {MAX_NESTING} levels")),
            Kind::TooManyCalls => say(&format!("more than {MAX_CALLS} calls in one pipeline")),
            Kind::TooManyTokens => {
                say(&format!("more {found} than a pipeline of {MAX_CALLS} calls can have"))
            }
            Kind::EmptyPipeline => say("the pipeline is empty")
                .with_expected(&["name", "{"])
                .with_help("name at least one service, such as `bm25%10`"),
            Kind::UnknownCharacters => unknown(source, &span),
            Kind::NotAName => say(&format!("{found} is not a name"))
                .with_expected(&["name"])
                .with_help("a name is a letter, then letters, digits, `_` or `-` (ASCII only)"),
            Kind::NotANumber => say(&format!("{found} is not a number"))
                .with_expected(&["number"])
                .with_help("a limit is a whole number of at least 0, such as `%20`"),
            Kind::LargeNumber => say(&format!("the limit {found} is too large"))
                .with_expected(&["number"])
                .with_help(format!("a limit has at most {MAX_LIMIT_DIGITS} digits")),
            Kind::NoNumber => say("no number after `%`")
                .with_expected(&["number"])
                .with_help("write `%20` to keep the 20 best"),
            Kind::NoPercent => say(&format!("{found} without `%` before it"))
                .with_expected(&["%"])
                .with_help("a limit is written `%20`"),
            Kind::NoView => say("no view after `@`")
                .with_expected(&["name"])
                .with_help("name a content view of the collection, such as `@text`"),
            Kind::NoName => {
                say(&format!("{found} without a name before it")).with_expected(&["name"])
                    .with_help("suffixes follow the name of a service: `name[label]@view%20`")
            }
            Kind::OpenBracket => say("`[` is never closed")
                .with_expected(&["]"])
                .with_related(other, "`]` is missing here"),
            Kind::StrayBracket => say("`]` without `[` before it"),
            Kind::EmptyLabel => say("the label is empty").with_expected(&["name"]),
            Kind::LongLabel => say("a label is one name").with_expected(&["]"]),
            Kind::Repeated(what) => say(&format!("a second {what} for the same call"))
                .with_related(other, "the first is here"),
            Kind::Arrow => say(&format!("{found} does not join stages")).with_expected(&[">>"]),
            Kind::MissingThen { in_braces: false } => say("two stages with nothing between them")
                .with_expected(&[">>"])
                .with_help("`a >> b` hands the results of `a` to `b`"),
            Kind::MissingThen { in_braces: true } => say("two stages with nothing between them")
                .with_expected(&[">>", ","])
                .with_help("`a >> b` hands the results of `a` to `b`; `a, b` runs both"),
            Kind::NothingBefore => {
                say(&format!("no stage before {found}")).with_expected(&["name", "{"])
            }
            Kind::NothingAfter => {
                say(&format!("no stage after {found}")).with_expected(&["name", "{"])
            }
            Kind::EmptyBranch => match say("an empty branch").with_expected(&["name", "{"]) {
                diagnostic if found == "`,`" => {
                    diagnostic.with_help("write a branch there, or remove the comma")
                }
                diagnostic => diagnostic.with_help("braces hold at least one branch"),
            },
            Kind::NoMerger => say("no merger after `}`").with_expected(&["name"]).with_help(
                "name the service that fuses the branches right after the brace, such as `{a, b}RRF`",
            ),
            Kind::OpenBrace => say("`{` is never closed")
                .with_expected(&["}"])
                .with_related(other, "`}` and a merger are missing here"),
            Kind::StrayBrace => say("`}` without `{` before it"),
            Kind::CommaOutside => say("`,` outside of braces")
                .with_expected(&[">>"])
                .with_help("branches stand in braces, with a merger after them: `{a, b}RRF`"),
            Kind::Unexpected => say(&format!("{found} cannot stand here")),
        }
    }
}

fn unknown(source: &str, span: &Span) -> Diagnostic {
    let text = source.get(span.clone()).unwrap_or_default();
    let found = quote(source, span);
    let plural = if text.chars().nth(1).is_some() {
        "s"
    } else {
        ""
    };
    let diagnostic = Diagnostic::new(span.clone(), format!("unknown character{plural} {found}"));
    match text.chars().next() {
        Some('(' | ')') => diagnostic.with_help("branches stand in `{` and `}`"),
        Some(';' | '，' | '、') => diagnostic.with_help("branches are parted by `,`"),
        Some('"' | '\'' | '`' | '“' | '”' | '‘' | '’') => {
            diagnostic.with_help("names are written without quotes")
        }
        _ => diagnostic,
    }
}

/// What stands at `span`, for a message: short, and harmless on a terminal.
fn quote(source: &str, span: &Span) -> String {
    const SHOWN: usize = 24;
    let text = source.get(span.clone()).unwrap_or_default();
    if text.is_empty() {
        return "the end".to_owned();
    }
    let shown: String = text
        .chars()
        .take(SHOWN)
        .map(|c| {
            if is_shown(c) {
                c.to_string()
            } else {
                c.escape_unicode().to_string()
            }
        })
        .collect();
    let more = if text.chars().nth(SHOWN).is_some() {
        "…"
    } else {
        ""
    };
    format!("`{shown}{more}`")
}

impl<'a, I> Error<'a, I> for Fault where I: Input<'a, Span = SimpleSpan> {}

impl<'a, I, L> LabelError<'a, I, L> for Fault
where
    I: Input<'a, Span = SimpleSpan>,
{
    fn expected_found<E: IntoIterator<Item = L>>(
        _expected: E,
        _found: Option<MaybeRef<'a, I::Token>>,
        span: SimpleSpan,
    ) -> Self {
        Self::new(Kind::Unexpected, span)
    }
}
