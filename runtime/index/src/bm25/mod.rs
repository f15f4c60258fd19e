//! BM25 over an inverted index: exact, whatever was skipped on the way.

mod analyzer;
mod build;
mod counter;
mod cursor;
mod directory;
mod impact;
mod maxscore;
mod search;
mod stop_words;
mod words;

pub use analyzer::EnglishAnalyzer;
pub use build::{BuildOptions, BuildPhase, BuildProgress};
pub use counter::TermCounter;
pub use impact::Bm25Params;
pub use search::{Bm25Index, MAX_LIMIT, MAX_QUERY_TERMS, MAX_QUERY_TOKENS};
