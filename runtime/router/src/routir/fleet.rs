//! The workers, as RoutIR's endpoints see them.

use std::sync::Arc;

use crate::spread::Carry;
use crate::want::Want;
use crate::worker::Worker;

/// The workers, as RoutIR's endpoints see them.
pub(crate) trait Fleet: Carry {
    /// Whether a worker that could be asked now has all that is wanted.
    fn hosts(&self, want: &Want) -> bool;

    /// The best worker for what is wanted, but for those with these ids.
    fn pick(&self, want: &Want, tried: &[u64]) -> Option<Arc<Worker>>;
}
