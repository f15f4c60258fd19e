//! Search in product-quantised codes: a vector is a code per part, and each code stands for some
//! numbers of a codebook (Jégou, Douze and Schmid, "Product quantization for nearest neighbor search",
//! 2011). Scores are sums of exact tables, in single precision; FAISS's fast scan rounds its tables
//! to eight bits.

mod cpu;
mod device;
mod plan;
mod vectors;

pub use cpu::PqOnCpu;
pub use device::PqOnDevice;
pub use vectors::{Coarse, PqList, PqParts, PqVectors};

use routir_core::Result;

use crate::Found;

/// Codes that are searched, wherever they lie.
pub trait PqSearch: Send + Sync {
    /// Numbers of a vector.
    fn dim(&self) -> usize;

    /// How many vectors there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The best `k` of each query among the `nprobe` nearest lists, fewer where there are no more:
    /// the better score first, of equal ones the earlier position. `allowed` as for
    /// [`crate::ExactSearch::search`].
    ///
    /// # Errors
    /// As for [`crate::ExactSearch::search`]; also when `nprobe` is above [`crate::MAX_K`] where there
    /// are more lists than that.
    fn search(
        &self,
        queries: &[f32],
        k: usize,
        nprobe: usize,
        allowed: Option<&[u8]>,
    ) -> Result<Vec<Vec<Found>>>;
}
