//! Things that answer "nearest k" over a corpus of their own: BM25 over an inverted index.
//!
//! Guards: a search returns exactly the k best in total order (score descending, then document id
//! ascending), whatever was skipped on the way; an index on disk is either complete and fits its
//! corpus, or it is not opened. Must never know: services, pipelines, configuration files, the
//! async runtime. Everything here blocks; callers bring the threads.

mod analyzer;
mod build;
mod counter;
mod cursor;
mod directory;
mod error;
mod ids;
mod impact;
mod maxscore;
mod search;
mod stop_words;
mod top;
mod words;

pub use analyzer::EnglishAnalyzer;
pub use build::{BuildOptions, BuildPhase, BuildProgress};
pub use counter::TermCounter;
pub use impact::Bm25Params;
pub use search::{Bm25Index, MAX_LIMIT, MAX_QUERY_TERMS, MAX_QUERY_TOKENS};
