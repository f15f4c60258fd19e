//! Collects what is wrong with a pipeline and says all of it at once.

use std::ops::Range;

use routir_core::{Error, ErrorCode, Problem};
use routir_dsl::{Diagnostic, MAX_DIAGNOSTICS};

/// The problems found so far in one source.
pub(crate) struct Problems<'a> {
    source: &'a str,
    found: Vec<Diagnostic>,
    unknown: usize,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self {
            source,
            found: Vec::new(),
            unknown: 0,
        }
    }

    pub(crate) fn add(&mut self, span: Range<usize>, message: String, help: Option<String>) {
        self.found.push(Diagnostic {
            help,
            ..Diagnostic::new(span, message)
        });
    }

    /// As [`Problems::add`], for a name that does not exist; an error of only such problems says so
    /// by its code.
    pub(crate) fn unknown(&mut self, span: Range<usize>, message: String, help: Option<String>) {
        self.unknown += 1;
        self.add(span, message, help);
    }

    pub(crate) fn whole(&self) -> Range<usize> {
        0..self.source.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_error(mut self) -> Error {
        let all_unknown = self.unknown == self.found.len();
        let code = if all_unknown {
            ErrorCode::UnknownName
        } else {
            ErrorCode::InvalidArgument
        };
        let whole = self.whole();
        if let [only] = self.found.as_slice()
            && only.span == whole
        {
            // There is no place in the source to point at.
            let message = match &only.help {
                Some(help) => format!("{}; {help}", only.message),
                None => only.message.clone(),
            };
            return Error::new(code, message).with_problems(listed(self.source, &self.found));
        }
        let more = self.found.len().saturating_sub(MAX_DIAGNOSTICS);
        if more > 0 {
            self.found.truncate(MAX_DIAGNOSTICS);
            let message = format!("there are {more} more problems, which are not shown");
            self.found.push(Diagnostic::new(whole, message));
        }
        from_diagnostics(self.source, code, &self.found)
    }
}

/// One error of several diagnostics: rendered for people in its message, listed for machines.
pub(crate) fn from_diagnostics(source: &str, code: ErrorCode, found: &[Diagnostic]) -> Error {
    Error::new(code, routir_dsl::render(source, found)).with_problems(listed(source, found))
}

fn listed(source: &str, found: &[Diagnostic]) -> Vec<Problem> {
    let problem = |diagnostic: &Diagnostic| {
        let span = diagnostic.char_span(source);
        Problem {
            message: diagnostic.message.clone(),
            start: span.start,
            end: span.end,
            expected: diagnostic.expected.clone(),
            help: diagnostic.help.clone(),
        }
    };
    found.iter().map(problem).collect()
}
