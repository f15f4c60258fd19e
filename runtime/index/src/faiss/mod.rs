//! Dense retrieval over FAISS (Johnson, Douze, Jégou 2019): the same files as Python's FAISS writes
//! and reads, searched by the same code.
//!
//! FAISS is a shared library, one per instruction set, with a thin C interface of this room's own
//! (`native/`) instead of the C interface that FAISS brings: that one has no parameters for HNSW and
//! refinement, no filters for them, and cannot be chosen by processor at start.

mod build;
mod gpu;
mod ids;
mod index;
mod library;
mod nearest;
mod raw;
mod subsets;

pub use build::DenseIndexBuilder;
pub use gpu::{ForGpu, GpuFailure, MOST_ON_GPU, OnGpu};
pub use index::{DenseIndex, OpenOptions, SearchOptions, SubsetOf};
pub use library::{Faiss, Variant};
pub use nearest::{Nearest, There};

/// How alike two vectors are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metric {
    /// Their inner product; the cosine, if both have length 1.
    #[default]
    InnerProduct,
    /// The square of their Euclidean distance.
    L2,
}
