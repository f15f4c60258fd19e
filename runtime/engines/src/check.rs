//! What a check of a configuration needs instead of engines: that files are there, and roles that
//! pipelines compile against.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use routir_core::{
    BoxFuture, DecomposeEngine, DecomposeRequest, Error, ErrorCode, ParamsSpec, Ranking, Result,
    Roles, ScoreEngine, ScoreRequest, SearchEngine, SearchRequest,
};

use crate::options::Options;

/// The roles that an engine would play.
#[derive(Default)]
pub(crate) struct Outline {
    /// What it understands as a searcher.
    pub(crate) search: Option<ParamsSpec>,
    /// What it understands as a scorer.
    pub(crate) score: Option<ParamsSpec>,
    /// What it understands as an expander.
    pub(crate) decompose: Option<ParamsSpec>,
    /// [`SearchEngine::prefix_stable`].
    pub(crate) prefix_stable: bool,
}

impl Outline {
    /// Roles that answer no call; `stood_in` notes that they are not the engine.
    pub(crate) fn roles(self, stood_in: &Cell<bool>) -> Roles {
        stood_in.set(true);
        let prefix_stable = self.prefix_stable;
        let role = |params| {
            Arc::new(StandIn {
                params,
                prefix_stable,
            })
        };
        Roles {
            search: self.search.map(|params| role(params) as _),
            score: self.score.map(|params| role(params) as _),
            decompose: self.decompose.map(|params| role(params) as _),
            ..Roles::default()
        }
    }
}

/// Whether `path` is a dataset on a hub that has not been fetched, as in a check.
pub(crate) fn is_ahead(path: &Path) -> bool {
    path.to_str().is_some_and(|it| it.starts_with("hfds:"))
}

/// Refuses an index on a hub, where the engine builds its own.
pub(crate) fn built_here(options: &mut Options<'_>, index: Option<&str>) {
    if let Some(index) = index.filter(|index| is_ahead(Path::new(index))) {
        options.problem(format!(
            "`index_path` must be a folder where the index can be built, not `{index}`"
        ));
    }
}

/// Refuses a path at which there is no file.
pub(crate) fn file(what: &str, path: &Path) -> Result<()> {
    if is_ahead(path) || path.is_file() {
        return Ok(());
    }
    let path = path.display();
    Err(Error::invalid(format!(
        "{what} `{path}` is not there, or is no file"
    )))
}

/// Of an index whose folder was looked at: that there is none is a mistake of the configuration, as
/// with a file.
pub(crate) fn there(found: Result<()>) -> Result<()> {
    found.map_err(|error| match error.code() {
        ErrorCode::Unavailable => Error::invalid(error.message()),
        _ => error,
    })
}

struct StandIn {
    params: ParamsSpec,
    prefix_stable: bool,
}

fn refused() -> Error {
    let message = "the configuration was checked, not served; its engines answer nothing";
    Error::new(ErrorCode::Unavailable, message)
}

impl SearchEngine for StandIn {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(async move { batch.iter().map(|_| Err(refused())).collect() })
    }

    fn params(&self) -> ParamsSpec {
        self.params.clone()
    }

    fn prefix_stable(&self) -> bool {
        self.prefix_stable
    }
}

impl ScoreEngine for StandIn {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        Box::pin(async move { batch.iter().map(|_| Err(refused())).collect() })
    }

    fn params(&self) -> ParamsSpec {
        self.params.clone()
    }
}

impl DecomposeEngine for StandIn {
    fn decompose(&self, batch: Vec<DecomposeRequest>) -> BoxFuture<'_, Vec<Result<Vec<Arc<str>>>>> {
        Box::pin(async move { batch.iter().map(|_| Err(refused())).collect() })
    }

    fn params(&self) -> ParamsSpec {
        self.params.clone()
    }
}
