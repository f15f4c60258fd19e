//! What went wrong while a configuration is checked or built.

use routir_config::{ConfigProblem, Loaded};
use routir_core::Error;

use crate::failure::is_input;

/// What went wrong: what can be laid at a place of the configuration, and the rest.
#[derive(Default)]
pub(super) struct Trouble {
    pub(super) problems: Vec<ConfigProblem>,
    pub(super) others: Vec<String>,
}

impl Trouble {
    pub(super) fn add(&mut self, loaded: &Loaded, path: &str, error: &Error) {
        if is_input(error.code()) {
            self.problems.push(loaded.problem(path, error.message()));
        } else {
            self.others.push(error.message().to_owned());
        }
    }

    /// All of it as one error; what the user can mend comes first.
    pub(super) fn into_result(mut self, loaded: &Loaded) -> anyhow::Result<()> {
        self.problems
            .sort_by_key(|problem| (problem.line, problem.column));
        match (self.problems.is_empty(), self.others.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(anyhow::anyhow!(self.others.join("\n"))),
            (false, _) => {
                for other in self.others {
                    tracing::error!("{other}");
                }
                Err(loaded.error(self.problems).into())
            }
        }
    }
}
