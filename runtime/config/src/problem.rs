//! What is wrong with a configuration, and where.

use std::fmt;
use std::io;

use routir_core::ErrorCode;
use serde::Serialize;

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigProblem {
    /// Where in the JSON, such as `services[1].batch_size`; empty for the whole file.
    pub path: String,
    /// What is wrong, in lower case, without a full stop.
    pub message: String,
    /// The line in the text, counted from 1.
    pub line: usize,
    /// The character in that line, counted from 1.
    pub column: usize,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

/// Why a configuration cannot be used. It displays as one line per problem:
/// ``config.json:12:5: services[1].batch_sizes: unknown key; did you mean `batch_size`?``
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The path as given.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The text is not a configuration.
    Invalid {
        /// The file's name, or what stands for it.
        origin: String,
        /// Everything wrong with it, in the order of the text.
        problems: Vec<ConfigProblem>,
    },
}

impl ConfigError {
    /// Everything wrong, in the order of the text; empty when the file cannot be read.
    #[must_use]
    pub fn problems(&self) -> &[ConfigProblem] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Invalid { problems, .. } => problems,
        }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        ErrorCode::InvalidArgument
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => write!(
                f,
                "cannot read the configuration `{path}`: {source}; give the path of a JSON file, or \
                 the JSON itself"
            ),
            Self::Invalid { origin, problems } => {
                problems.iter().enumerate().try_for_each(|(i, problem)| {
                    let end = if i == 0 { "" } else { "\n" };
                    write!(f, "{end}{origin}:{problem}")
                })
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            Self::Invalid { .. } => None,
        }
    }
}
