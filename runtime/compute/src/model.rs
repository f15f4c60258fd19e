//! What a queue before a model needs to know of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use routir_core::{Load, Result};

use crate::Tokens;

/// A model with one kind of answer per text.
pub trait Model: Send + Sync + 'static {
    /// What it answers for one text: a vector, a score, weights of terms.
    type Output: Send + 'static;

    /// What it is called in messages and metrics.
    fn name(&self) -> &str;

    /// The most tokens of one call of the session, padding included.
    fn max_batch_tokens(&self) -> usize;

    /// Who else waits for the GPU that it computes on or uses it; `None` on the processor. On a GPU
    /// one call of it runs at a time.
    fn load(&self) -> Option<Arc<dyn Load>> {
        None
    }

    /// Answers each text in order, each alone: as many results as texts. Sorts by length and splits
    /// into calls of at most [`Model::max_batch_tokens`]. Ends early, with errors, once `cancelled`.
    /// Blocks.
    fn run(&self, texts: &[Tokens], cancelled: &AtomicBool) -> Vec<Result<Self::Output>>;
}
