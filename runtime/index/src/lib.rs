//! Things that answer "nearest k" over a corpus of their own: BM25 over an inverted index.
//!
//! Guards: a search returns exactly the k best in total order (score descending, then document id
//! ascending), whatever was skipped on the way; an index on disk is either complete and fits its
//! corpus, or it is not opened. Must never know: services, pipelines, configuration files, models,
//! the async runtime. Everything here blocks; callers bring the threads.

mod bm25;
mod error;
pub mod faiss;
mod folder;
mod ids;
pub mod late;
mod manifest;
mod map;
pub mod sparse;
mod top;

pub use bm25::{
    Bm25Index, Bm25Params, BuildOptions, BuildPhase, BuildProgress, EnglishAnalyzer, MAX_LIMIT,
    MAX_QUERY_TERMS, MAX_QUERY_TOKENS, TermCounter,
};
