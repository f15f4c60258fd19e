//! One thing that is wrong with a pipeline, with its place.

use std::fmt;

use crate::Span;

/// One thing that is wrong with a source, with its place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Where, in bytes of the source.
    pub span: Span,
    /// What could have stood there: tokens of the language as they are written (`>>`, `}`), and
    /// the words `name` and `number`. Empty when that does not help.
    pub expected: Vec<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// A second place that explains the first.
    pub related: Option<Related>,
}

/// A second place of a [`Diagnostic`], such as the end of the source for an open brace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// What is there.
    pub message: String,
    /// Where, in bytes of the source.
    pub span: Span,
}

impl Diagnostic {
    /// A diagnostic with only a message and a place.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span,
            expected: Vec::new(),
            help: None,
            related: None,
        }
    }

    /// The same, saying what could have stood there.
    #[must_use]
    pub fn with_expected(mut self, expected: &[&str]) -> Self {
        self.expected = expected.iter().map(|&token| token.to_owned()).collect();
        self
    }

    /// The same, saying what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with a second place.
    #[must_use]
    pub fn with_related(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related = Some(Related {
            message: message.into(),
            span,
        });
        self
    }

    /// The span in Unicode code points instead of bytes, as the wire wants it. Offsets past the
    /// end count as the end, offsets inside a character as its start.
    #[must_use]
    pub fn char_span(&self, source: &str) -> Span {
        let code_points = |offset: usize| {
            source
                .get(..source.floor_char_boundary(offset))
                .unwrap_or(source)
                .chars()
                .count()
        };
        code_points(self.span.start)..code_points(self.span.end)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

#[cfg(test)]
mod tests {
    use super::Diagnostic;

    #[test]
    fn counts_code_points_for_the_wire() {
        let source = "é漢😀x";
        let span = |bytes| Diagnostic::new(bytes, "").char_span(source);
        assert_eq!(span(0..2), 0..1);
        assert_eq!(span(5..9), 2..3);
        assert_eq!(span(9..10), 3..4);
        assert_eq!(span(6..99), 2..4);
    }
}
