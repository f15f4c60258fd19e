//! What was looked at, and the refusal when something was wrong.

use routir_core::{Error, ErrorCode, ExtensionCheck, Problem, Result};

/// The checks so far, all of them passed.
#[derive(Default)]
pub(super) struct Report(Vec<ExtensionCheck>);

impl Report {
    /// Notes a check that passed.
    pub(super) fn pass(&mut self, name: &'static str, detail: String) {
        self.0.push(ExtensionCheck {
            name,
            passed: true,
            detail,
        });
    }

    /// Notes a check that may have found something wrong.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn check(
        &mut self,
        name: &'static str,
        outcome: std::result::Result<String, String>,
    ) -> Result<()> {
        self.step(name, ErrorCode::InvalidArgument, outcome)
    }

    /// As [`Report::check`], with the code of the refusal.
    pub(super) fn step(
        &mut self,
        name: &'static str,
        code: ErrorCode,
        outcome: std::result::Result<String, String>,
    ) -> Result<()> {
        match outcome {
            Ok(detail) => {
                self.pass(name, detail);
                Ok(())
            }
            Err(problem) => Err(refusal(code, name, vec![problem])),
        }
    }

    /// Notes a check of a running guest, which brings its value and what to say of it.
    pub(super) fn told<T>(
        &mut self,
        name: &'static str,
        outcome: Result<(T, String)>,
    ) -> Result<T> {
        let (value, detail) = self.value(name, outcome)?;
        self.pass(name, detail);
        Ok(value)
    }

    /// Turns an error that is the component's own into the refusal.
    pub(super) fn value<T>(&self, name: &'static str, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| match error.code() {
            ErrorCode::InvalidArgument | ErrorCode::EngineFailure | ErrorCode::TooLarge => refusal(
                ErrorCode::InvalidArgument,
                name,
                vec![error.message().to_owned()],
            ),
            _ => error.at(format!("admission, {name}")),
        })
    }

    /// The refusal for several things at once.
    pub(super) fn refuse(&self, name: &'static str, problems: Vec<String>) -> Error {
        refusal(ErrorCode::InvalidArgument, name, problems)
    }

    /// The checks.
    pub(super) fn into_checks(self) -> Vec<ExtensionCheck> {
        self.0
    }
}

fn refusal(code: ErrorCode, name: &str, problems: Vec<String>) -> Error {
    let problems: Vec<_> = problems
        .into_iter()
        .map(|problem| Problem {
            message: format!("{name}: {problem}"),
            start: 0,
            end: 0,
            expected: Vec::new(),
            help: None,
        })
        .collect();
    let all: Vec<_> = problems.iter().map(|p| p.message.as_str()).collect();
    let message = format!("the extension is refused; {}", all.join("; "));
    Error::new(code, message).with_problems(problems)
}
