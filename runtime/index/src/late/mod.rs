//! Late interaction: passages as one vector per token, searched by MaxSim (ColBERT) over compressed
//! vectors on disk (PLAID).

mod build;
mod codebook;
mod encode;
mod index;
mod kernel;
mod kmeans;
mod lists;
mod manifest;
pub(crate) mod map;
mod maxsim;
mod points;
mod probe;
mod residual;
mod search;
mod subset;

pub use build::{LateBuilder, LateOptions, LateSummary};
pub use index::LateIndex;
pub use maxsim::{LateQuery, MAX_QUERY_ROWS, maxsim};
pub use residual::LateBits;
pub use search::{LateSearch, ScoredPassage, max_p};
pub use subset::PassageSet;
