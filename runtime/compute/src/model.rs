//! What a queue before a model needs to know of it.

use std::sync::atomic::AtomicBool;

use routir_core::Result;

use crate::Tokens;

/// A model with one kind of answer per text.
pub trait Model: Send + Sync + 'static {
    /// What it answers for one text: a vector, a score, weights of terms.
    type Output: Send + 'static;

    /// What it is called in messages and metrics.
    fn name(&self) -> &str;

    /// The most tokens of one call of the session, padding included.
    fn max_batch_tokens(&self) -> usize;

    /// Whether it computes on a GPU, where one call runs at a time.
    fn on_gpu(&self) -> bool {
        false
    }

    /// Answers each text in order, each alone: as many results as texts. Sorts by length and splits
    /// into calls of at most [`Model::max_batch_tokens`]. Ends early, with errors, once `cancelled`.
    /// Blocks.
    fn run(&self, texts: &[Tokens], cancelled: &AtomicBool) -> Vec<Result<Self::Output>>;
}
