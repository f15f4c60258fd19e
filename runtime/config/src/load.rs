//! From a path or a JSON string to a checked configuration.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

use serde::Deserialize;

use crate::tree::{Node, Path, line_column};
use crate::validate::{Fault, validate};
use crate::{Config, ConfigError, ConfigProblem, check, refusals, schema};

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    name: String,
    directory: Option<PathBuf>,
    fetched: BTreeMap<(Remote, String), PathBuf>,
}

/// What a path of the configuration stands for that begins with `hfds:`, a dataset on a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remote {
    /// The folder of an index.
    Index,
    /// A file of documents.
    Documents,
    /// The folder of the segmented MS MARCO's files.
    Segments,
}

impl Remote {
    /// Whether `path` stands for a dataset.
    #[must_use]
    pub fn is_meant(path: &str) -> bool {
        path.starts_with("hfds:")
    }
}

impl Origin {
    /// A file at `path`.
    #[must_use]
    pub fn file(path: &str) -> Self {
        let directory = FilePath::new(path).parent().map(FilePath::to_owned);
        Self {
            name: path.to_owned(),
            directory,
            fetched: BTreeMap::new(),
        }
    }

    /// A JSON string, such as an argument of the command line.
    #[must_use]
    pub fn inline() -> Self {
        Self {
            name: "<json>".to_owned(),
            directory: None,
            fetched: BTreeMap::new(),
        }
    }

    /// The name in messages: the file's path as given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where a `path` of the configuration leads. As in RoutIR a relative one starts at the
    /// current directory; when nothing is there but something is at the same path from the
    /// configuration file's own directory, that is meant.
    #[must_use]
    pub fn resolve_path(&self, path: &str) -> PathBuf {
        if Remote::is_meant(path) {
            return self.resolve_remote(Remote::Index, path);
        }
        let plain = PathBuf::from(path);
        let beside = || {
            self.directory
                .as_ref()
                .map(|directory| directory.join(path))
        };
        if plain.is_absolute() || plain.exists() {
            return plain;
        }
        beside().filter(|beside| beside.exists()).unwrap_or(plain)
    }

    /// As [`Origin::resolve_path`], for a path that may stand for a dataset; before that has been
    /// fetched it leads nowhere.
    #[must_use]
    pub fn resolve_remote(&self, what: Remote, path: &str) -> PathBuf {
        if !Remote::is_meant(path) {
            return self.resolve_path(path);
        }
        let fetched = self.fetched.get(&(what, path.to_owned()));
        fetched.cloned().unwrap_or_else(|| PathBuf::from(path))
    }

    /// From now on `path`, where it stands for `what`, leads to what was `fetched`.
    pub fn lead(&mut self, what: Remote, path: &str, fetched: PathBuf) {
        self.fetched.insert((what, path.to_owned()), fetched);
    }
}

/// A checked configuration and its text, for messages with lines and columns.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where it came from.
    pub origin: Origin,
    text: String,
    pub(crate) tree: Node,
}

impl Config {
    /// Loads `path_or_json`: the path of a file, or the JSON itself when there is no such file and
    /// it starts with `{`.
    ///
    /// # Errors
    /// When the file cannot be read; when the text is not JSON; else with everything that is wrong
    /// with it.
    pub fn load(path_or_json: &str) -> Result<Loaded, ConfigError> {
        let (text, origin) = read(path_or_json)?;
        Self::parse(text, origin)
    }

    /// Reads the JSON `text` that came from `origin`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: String, origin: Origin) -> Result<Loaded, ConfigError> {
        let tree = Node::parse(&text).map_err(|error| invalid(&origin, vec![syntax(&error)]))?;
        let (value, mut faults) = validate(&schema(), &text, &tree);
        match Self::deserialize(value) {
            Ok(mut config) => {
                check::check(&config, &text, &tree, &mut faults);
                if faults.is_empty() {
                    config
                        .collections
                        .iter_mut()
                        .for_each(|it| it.synthesize_view());
                    config.services.iter_mut().for_each(|it| it.fill_in());
                    return Ok(Loaded {
                        config,
                        origin,
                        text,
                        tree,
                    });
                }
            }
            Err(error) => faults.push(Fault::new(Path::default(), &tree, error.to_string())),
        }
        faults.sort_by_key(|fault| fault.offset);
        let problems = faults.into_iter().map(|fault| fault.locate(&text));
        Err(invalid(&origin, problems.collect()))
    }
}

/// The text of a file, or the JSON itself when there is no such file and it starts with `{`.
pub(crate) fn read(path_or_json: &str) -> Result<(String, Origin), ConfigError> {
    let is_json = path_or_json.trim_start().starts_with('{');
    if is_json && !FilePath::new(path_or_json).exists() {
        return Ok((path_or_json.to_owned(), Origin::inline()));
    }
    let text = std::fs::read_to_string(path_or_json);
    let text = text.map_err(|source| ConfigError::Unreadable {
        path: path_or_json.to_owned(),
        source,
    })?;
    Ok((text, Origin::file(path_or_json)))
}

/// An error of the text that came from `origin`.
pub(crate) fn invalid(origin: &Origin, problems: Vec<ConfigProblem>) -> ConfigError {
    ConfigError::Invalid {
        origin: origin.name.clone(),
        problems,
    }
}

impl Loaded {
    /// As [`Origin::resolve_path`].
    #[must_use]
    pub fn resolve_path(&self, path: &str) -> PathBuf {
        self.origin.resolve_path(path)
    }

    /// What this version cannot do yet though the configuration asks for it, in the order of the
    /// text. A server must not start with any of it.
    #[must_use]
    pub fn refusals(&self) -> Vec<ConfigProblem> {
        self.told(refusals::refusals(&self.config, &self.tree))
    }

    /// The faults as problems, in the order of the text.
    pub(crate) fn told(&self, mut faults: Vec<Fault>) -> Vec<ConfigProblem> {
        faults.sort_by_key(|fault| fault.offset);
        faults
            .into_iter()
            .map(|fault| fault.locate(&self.text))
            .collect()
    }

    /// An error of this configuration out of `problems` found later, such as
    /// [`Loaded::refusals`].
    #[must_use]
    pub fn error(&self, problems: Vec<ConfigProblem>) -> ConfigError {
        invalid(&self.origin, problems)
    }

    /// A problem that another room found with the value at `path`, such as
    /// `services[1].config.run`, so that it is told like any other. When nothing is there, its
    /// place is that of the nearest value around it.
    #[must_use]
    pub fn problem(&self, path: &str, message: impl Into<String>) -> ConfigProblem {
        Fault::new(Path::read(path), &self.tree, message).locate(&self.text)
    }
}

impl Fault {
    /// A fault at `path`.
    pub(crate) fn new(path: Path, tree: &Node, message: impl Into<String>) -> Self {
        Self {
            offset: tree.locate(&path),
            path,
            message: message.into(),
            help: None,
        }
    }

    /// The same with what to do about it.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    pub(crate) fn locate(self, text: &str) -> ConfigProblem {
        let (line, column) = line_column(text, self.offset);
        let Self {
            path,
            message,
            help,
            ..
        } = self;
        ConfigProblem {
            path: path.to_string(),
            message,
            line,
            column,
            help,
        }
    }
}

/// What the JSON reader says, without the place that it repeats.
pub(crate) fn syntax(error: &serde_json::Error) -> ConfigProblem {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let place = format!(" at line {line} column {column}");
    let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
    ConfigProblem {
        path: String::new(),
        message,
        line,
        column: column.max(1),
        help: None,
    }
}
