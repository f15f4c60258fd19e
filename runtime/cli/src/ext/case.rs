//! A case: one call of an extension and the world around it, as a JSON file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use routir_core::{
    FuseRequest, FuseSource, Hit, Params, Ranking, RequestContext, ScoreRequest, SearchRequest,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::failure::wrong;

/// One call of an extension, and what the host answers while it runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Case {
    /// The query.
    pub(super) query: String,
    /// How many documents or sub-queries are wanted.
    pub(super) limit: Option<usize>,
    /// Parameters of the call.
    pub(super) params: Map<String, Value>,
    /// What a fusion fuses.
    pub(super) lists: Vec<List>,
    /// What a scorer scores.
    pub(super) passages: Vec<String>,
    /// The host's services by name.
    pub(super) services: BTreeMap<String, Canned>,
    /// The host's collections: text by document id, by collection.
    pub(super) collections: BTreeMap<String, HashMap<String, String>>,
}

/// One of the rankings to fuse.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// The stage that made it.
    pub(super) source: String,
    /// The query that made it; the case's own when left out.
    pub(super) query: Option<String>,
    /// Its documents with their scores.
    pub(super) hits: Vec<(String, f64)>,
}

/// A service that always answers the same.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Canned {
    /// Rankings by query; `*` answers every other query.
    pub(super) search: BTreeMap<String, Vec<(String, f64)>>,
    /// Scores by passage; `*` answers every other passage.
    pub(super) score: BTreeMap<String, f64>,
}

impl Case {
    /// Reads a case from a file.
    ///
    /// # Errors
    /// When it cannot be read or is not a case.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        serde_json::from_str(&text).map_err(|error| wrong(format!("{shown}: {error}")))
    }

    /// The call as a fusion gets it.
    ///
    /// # Errors
    /// When a score is not finite.
    pub(super) fn fuse(&self) -> anyhow::Result<FuseRequest> {
        let rankings = self.lists.iter().map(|list| ranking(&list.hits));
        let source = |list: &List| FuseSource {
            stage: list.source.as_str().into(),
            query: list.query.as_deref().unwrap_or(&self.query).into(),
        };
        Ok(FuseRequest {
            query: self.query.as_str().into(),
            rankings: rankings
                .map(|ranking| ranking.map(Arc::new))
                .collect::<Result<_, _>>()
                .map_err(crate::failure::from_core)?,
            sources: self.lists.iter().map(source).collect(),
            sub_queries: None,
            limit: self.limit,
            params: self.params(),
            context: self.context(),
        })
    }

    /// The call as a searcher gets it.
    pub(super) fn search(&self) -> SearchRequest {
        SearchRequest {
            query: self.query.as_str().into(),
            limit: self.limit.unwrap_or(10),
            params: self.params(),
            context: self.context(),
        }
    }

    /// The call as a scorer gets it.
    pub(super) fn score(&self) -> ScoreRequest {
        let passages = self.passages.iter();
        ScoreRequest {
            query: self.query.as_str().into(),
            passages: passages.map(|text| text.as_str().into()).collect(),
            params: self.params(),
            context: self.context(),
        }
    }

    /// The call as a decomposer gets it.
    pub(super) fn decompose(&self) -> routir_core::DecomposeRequest {
        routir_core::DecomposeRequest {
            query: self.query.as_str().into(),
            limit: self.limit,
            params: self.params(),
            context: self.context(),
        }
    }

    fn params(&self) -> Params {
        self.params.clone().into()
    }

    fn context(&self) -> Arc<RequestContext> {
        Arc::new(RequestContext::new("local"))
    }
}

/// Hits as the ranking that they are.
pub(super) fn ranking(hits: &[(String, f64)]) -> routir_core::Result<Ranking> {
    let hits = hits
        .iter()
        .map(|(id, score)| Hit::new(id.as_str(), *score))
        .collect();
    Ranking::from_hits(hits)
}
