//! From an engine's name and configuration to the roles that it plays.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use routir_core::{DocumentScan, Error, ErrorCode, Host, Result, Roles, nearest};
use routir_fusion::{Method, methods};
use routir_remote::relay::Peers;
use serde_json::{Map, Value};

use crate::{
    EnginePool, SharedDevices, SharedFaiss, SharedModels, bm25, cross_encoder, fuse_builtin,
    fusion, llm, lsr, plaidx, qwen3, relay, sentence_transformer, token_overlap, trec_run, yes_no,
};

/// What the configuration says of one service's engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineSpec<'a> {
    /// The service's name, for messages.
    pub name: &'a str,
    /// The engine's name.
    pub engine: &'a str,
    /// What the engine is told.
    pub config: &'a Map<String, Value>,
}

/// The collections that an engine can build an index of.
pub trait Collections {
    /// Their names.
    fn names(&self) -> Vec<String>;

    /// The documents of a collection as `view` shows them; `None` is its default view.
    ///
    /// # Errors
    /// When there is no such collection or view, or it is not one of text.
    fn scan(&self, collection: &str, view: Option<&str>) -> Result<Arc<dyn DocumentScan>>;
}

/// How far the building of an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The service that it is for.
    pub service: &'a str,
    /// What is done now, for people: "reading documents".
    pub task: &'static str,
    /// Units of work done in this task.
    pub done: u64,
    /// Units in all.
    pub total: u64,
}

/// What engines are built for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// To find out what is wrong with their configuration. Keys, values and the presence of files
    /// are checked; no model or index is opened or written. An engine that would need one is stood
    /// in for by roles that compile pipelines and refuse calls, which sets the cell.
    Check(&'a Cell<bool>),
    /// To answer calls.
    Serve,
}

/// What engines are built with.
pub struct BuildEnv<'a> {
    /// For what.
    pub purpose: Purpose<'a>,
    /// Where indices are kept that have no place of their own.
    pub cache_dir: PathBuf,
    /// Resolves a path of the configuration, as against the configuration file's folder.
    pub resolve_path: &'a dyn Fn(&str) -> PathBuf,
    /// The collections.
    pub collections: &'a dyn Collections,
    /// Is told how far long work is.
    pub progress: &'a dyn Fn(Progress<'_>),
    /// Where engines compute.
    pub pool: EnginePool,
    /// The models, shared by all engines.
    pub models: &'a SharedModels,
    /// FAISS, shared likewise.
    pub faiss: &'a SharedFaiss,
    /// The GPUs, shared likewise.
    pub devices: &'a SharedDevices,
    /// The runtime that the engines will be part of, for those that search with its services; `None`
    /// when there is none.
    pub host: Option<Arc<dyn Host>>,
    /// Other servers, shared likewise.
    pub peers: &'a Peers,
}

/// Engines that are no mergers, with how each is built.
type Build = fn(EngineSpec<'_>, &BuildEnv<'_>) -> Result<Roles>;
const ENGINES: &[(&str, Build)] = &[
    ("BM25", bm25::build),
    ("TrecRun", trec_run::build),
    ("Fusion", fusion::build),
    ("TokenOverlap", token_overlap::build),
    ("SentenceTransformerEngine", sentence_transformer::build),
    ("Qwen3", qwen3::build),
    ("PLAIDX", plaidx::build),
    ("LSR", lsr::build),
    ("CrossEncoder", cross_encoder::build),
    ("mT5", yes_no::build_seq2seq),
    ("MT5Reranker", yes_no::build_seq2seq),
    ("Qwen3Reranker", yes_no::build_causal),
    ("LLMEngine", llm::build),
    ("Relay", relay::build),
];

/// Engines that users of RoutIR have in their files and that are not here, and what is no engine of
/// an upstream, with the way on.
const ELSEWHERE: [(&[&str], &str); 5] = [
    (
        &[
            "PyseriniBM25",
            "PyseriniEngine",
            "PyTerrier",
            "PyTerrierEngine",
            "PyTerrierBM25",
        ],
        "use the native engine `BM25`, which builds its index from a collection",
    ),
    (
        &["Qwen3VllmRerankerEngine"],
        "use `Qwen3Reranker` with the model as ONNX, or `LLMEngine` with a server that runs it \
         (`vllm serve`)",
    ),
    (
        &["Rank1Engine"],
        "it reads how a model reasons, which no engine here does; serve it with RoutIR and relay to \
         that server, or rerank with `LLMEngine`, `Qwen3Reranker` or `CrossEncoder`",
    ),
    (
        &["Engine", "Reranker"],
        "it is what RoutIR's engines are made of and does nothing alone; `CrossEncoder`, `mT5`, \
         `Qwen3Reranker` and `LLMEngine` search with an `upstream_service` as RoutIR's `Reranker`",
    ),
    (
        &[EXTENSION],
        "an extension is a service of its own; configure one in `services` and name it here",
    ),
];

/// What the sandbox builds, and not this crate.
const EXTENSION: &str = "Extension";

/// The names that a service's `engine` can have.
#[must_use]
pub fn engine_names() -> Vec<&'static str> {
    let mergers = methods().iter().map(|info| info.name);
    ENGINES
        .iter()
        .map(|(name, _)| *name)
        .chain(mergers)
        .collect()
}

/// Builds an engine. Blocks, for as long as an index takes to build: call it off the reactor.
///
/// # Errors
/// For an engine that does not exist or is not built yet, [`ErrorCode::UnknownName`] or
/// [`ErrorCode::Unsupported`] with what to use instead; for a configuration with unknown keys or
/// wrong values, all of them at once; otherwise what stood in the way. Every message names the
/// service and the engine.
pub fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let built = if let Some((_, build)) = ENGINES.iter().find(|(name, _)| *name == spec.engine) {
        build(spec, env)
    } else if let Some(method) = Method::by_name(spec.engine) {
        fuse_builtin::build(method, spec)
    } else {
        return Err(unknown(spec));
    };
    built.map_err(|e| e.at(format!("service `{}` (engine {})", spec.name, spec.engine)))
}

fn unknown(spec: EngineSpec<'_>) -> Error {
    let EngineSpec { name, engine, .. } = spec;
    if let Some((_, advice)) = ELSEWHERE.iter().find(|(names, _)| names.contains(&engine)) {
        let message = format!("service `{name}`: there is no engine `{engine}` here: {advice}");
        return Error::new(ErrorCode::Unsupported, message);
    }
    let mut names = engine_names();
    names.push(EXTENSION);
    let hint = match nearest(engine, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", names.join(", ")),
    };
    Error::new(
        ErrorCode::UnknownName,
        format!("service `{name}`: unknown engine `{engine}`; {hint}"),
    )
}
