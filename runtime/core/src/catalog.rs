//! What exists, as one immutable snapshot: names, roles, parameters. No handles: who runs things
//! keeps those beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::ParamsSpec;

/// What a service can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Find documents for a query.
    Search,
    /// Score passages against a query.
    Score,
    /// Make one ranking of several.
    Fuse,
    /// Make sub-queries of a query.
    DecomposeQuery,
}

impl Role {
    /// All roles, in the order in which `/avail` lists them.
    pub const ALL: [Self; 4] = [Self::Search, Self::Score, Self::Fuse, Self::DecomposeQuery];

    /// The role's name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Score => "score",
            Self::Fuse => "fuse",
            Self::DecomposeQuery => "decompose_query",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A service in the role `search`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchInfo {
    /// The parameters it understands.
    pub params: ParamsSpec,
    /// Whether a smaller limit's ranking is a prefix of a larger one's.
    pub prefix_stable: bool,
}

/// A service in the role `score`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreInfo {
    /// The parameters it understands.
    pub params: ParamsSpec,
    /// What its passages are.
    pub view_kind: ViewKind,
}

/// A service in another role.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageInfo {
    /// The parameters it understands.
    pub params: ParamsSpec,
}

/// A service: its engine's name and the roles that it plays.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceInfo {
    /// The engine's name in the configuration.
    pub engine: Arc<str>,
    /// As a searcher.
    pub search: Option<SearchInfo>,
    /// As a scorer.
    pub score: Option<ScoreInfo>,
    /// As a merger.
    pub fuse: Option<StageInfo>,
    /// As an expander.
    pub decompose: Option<StageInfo>,
}

impl ServiceInfo {
    /// The parameters it understands in `role`; `None` when it does not play it.
    #[must_use]
    pub fn params(&self, role: Role) -> Option<&ParamsSpec> {
        match role {
            Role::Search => self.search.as_ref().map(|info| &info.params),
            Role::Score => self.score.as_ref().map(|info| &info.params),
            Role::Fuse => self.fuse.as_ref().map(|info| &info.params),
            Role::DecomposeQuery => self.decompose.as_ref().map(|info| &info.params),
        }
    }
}

/// What a view's payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewKind {
    /// Text.
    #[default]
    Text,
    /// Bytes in one or more parts, such as images.
    Bytes,
}

impl ViewKind {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }
}

impl fmt::Display for ViewKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A collection's views.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CollectionInfo {
    /// Each view's kind, by name.
    pub views: BTreeMap<Arc<str>, ViewKind>,
    /// The view that is read when none is named.
    pub default_view: Arc<str>,
}

impl CollectionInfo {
    /// What the payload of `view` is (`None` is the default view); `None` when there is no such
    /// view.
    #[must_use]
    pub fn kind(&self, view: Option<&str>) -> Option<ViewKind> {
        self.views.get(view.unwrap_or(&self.default_view)).copied()
    }
}

/// What exists at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Catalog {
    /// Grows with every change, so that what was compiled against an older one is known as such.
    pub generation: u64,
    /// Services by name.
    pub services: BTreeMap<Arc<str>, ServiceInfo>,
    /// Collections by name.
    pub collections: BTreeMap<Arc<str>, CollectionInfo>,
    /// Pipeline aliases: name to pipeline source.
    pub aliases: BTreeMap<Arc<str>, Arc<str>>,
    /// Whether a request may compose pipelines; otherwise only aliases and single services run.
    pub dynamic_pipeline: bool,
}

impl Catalog {
    /// The names of the services that play `role`, in alphabetical order.
    pub fn names(&self, role: Role) -> impl Iterator<Item = &Arc<str>> {
        self.services
            .iter()
            .filter(move |(_, info)| info.params(role).is_some())
            .map(|(name, _)| name)
    }
}
