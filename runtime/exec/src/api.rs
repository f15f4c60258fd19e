//! What callers hand in and get back: the one way in, whatever the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use routir_core::{Params, Ranking, RequestContext};
use serde_json::Value;

/// Asks for a pipeline to be run.
#[derive(Clone, Debug, Default)]
pub struct PipelineCall {
    /// The pipeline's source.
    pub pipeline: String,
    /// The query.
    pub query: Arc<str>,
    /// The collection that rerank stages read; needed only when there are any.
    pub collection: Option<String>,
    /// Extra arguments per stage, by the stage's alias.
    pub runtime_kwargs: BTreeMap<String, Params>,
    /// What else the answer should hold.
    pub options: RunOptions,
    /// On whose behalf, until when.
    pub context: Arc<RequestContext>,
}

/// What else an answer should hold, and how failures are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RunOptions {
    /// Report the plan and how each stage went.
    pub explain: bool,
    /// Say for each hit which stages and scores it came through.
    pub provenance: bool,
    /// Answer with the branches that succeeded instead of failing with the first that did not.
    pub partial: bool,
}

/// A pipeline's answer.
#[derive(Clone, Debug)]
pub struct PipelineAnswer {
    /// The documents, best first.
    pub ranking: Arc<Ranking>,
    /// The service of the last stage.
    pub service: Arc<str>,
    /// The sub-queries that were searched, when an expander ran.
    pub expanded_queries: Option<Vec<Arc<str>>>,
    /// Whether the answer as a whole came from a cache.
    pub cached: bool,
    /// When it was computed, in seconds since the Unix epoch.
    pub timestamp: f64,
    /// Branches that failed, when partial answers were asked for; empty for a whole answer.
    pub failures: Vec<StageFailure>,
    /// The plan and how each stage went, when asked for.
    pub explain: Option<Value>,
    /// For each hit of the ranking, in its order: the stages that it came through; when asked for.
    pub provenance: Option<Vec<Vec<Trace>>>,
}

/// A stage that failed in an answer that is partial.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StageFailure {
    /// The stage, as `alias` or service name.
    pub stage: String,
    /// The error code's name.
    pub code: &'static str,
    /// What failed and why.
    pub error: String,
}

/// One stage that a hit came through.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Trace {
    /// The stage's alias, or its service's name.
    pub stage: Arc<str>,
    /// The query that the stage was asked; a sub-query under an expander.
    pub query: Arc<str>,
    /// The hit's rank there, from 1.
    pub rank: usize,
    /// The hit's score there.
    pub score: f64,
}

/// A plan, explained three ways.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PlanReport {
    /// For a terminal.
    pub text: String,
    /// For a program.
    pub json: Value,
    /// For a page: a Mermaid flowchart.
    pub mermaid: String,
}

/// Whether a part of the server can do its work.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Readiness {
    /// The part, as `service name` or `collection name`.
    pub name: String,
    /// Whether it can.
    pub ready: bool,
    /// Why not, or what it is.
    pub detail: String,
}
