//! Learned sparse retrieval: documents as weights of terms (SPLADE and its kin), searched for the
//! largest inner products with a query's weights.
//!
//! The way of searching is block-max pruning (Mallia, Suel and Tonellotto, "Faster Learned Sparse
//! Retrieval with Block-Max Pruning", 2024): documents that are alike lie together in blocks; what a
//! block can reach at most is known from the largest weights in it, and blocks that cannot reach the
//! best `k` are never looked at. Unlike there, what documents have lies by term and not by block, and
//! 16 blocks that follow each other are searched together, term by term: so what queries that many
//! blocks can satisfy read lies together, and they cost little more than a sum over all lists.
//!
//! Built here rather than taken from the crate seismic, the nearest one: that answers approximately
//! only, so that neither the same `k` nor the first `k` of more are certain; it holds all in memory,
//! for the building too, and reads its files unchecked. Here a search is exact unless it is told
//! otherwise, an index is mapped from disk, is built in bounded memory, is the same on every run and
//! machine, and files are not trusted.

mod build;
mod index;
mod jsonl;
mod kernel;
mod kmeans;
mod manifest;
mod order;
mod quantize;
mod row;
mod search;
mod spill;
mod turn;

pub use build::{SparseBuilder, SparseOptions, SparsePhase, SparseSummary};
pub use index::SparseIndex;
pub use jsonl::{ImportSummary, MAX_LINE_BYTES, import_jsonl};
pub use search::{MAX_QUERY_TERMS, SparseSearch};

/// The largest number of terms that a vocabulary may have: ids are below.
pub const MAX_VOCABULARY: usize = 1 << 20;
/// The most terms that a document may have.
pub const MAX_DOCUMENT_TERMS: usize = 1 << 16;

/// Documents of a block.
pub(crate) const BLOCK: usize = 256;
/// Blocks that are searched together.
pub(crate) const TILE: usize = 16;
