//! Mergers: several rankings in, one out. Pure functions, no clock, no threads, no I/O.
//!
//! Guards: a merger's formula is the one of the paper that it names; equal sums tie, whatever
//! order the lists come in; the answer is in total order. Must never know: where rankings come
//! from, what a document says, who waits for the answer.
//!
//! [`Method`] serves a merger by the name that users write in pipelines, with its parameters as
//! JSON. The functions ([`rrf`], [`comb_sum`], …) take plain arguments and are what it calls.
//!
//! Common to all: a list is one [`Ranking`](routir_core::Ranking); a document that a list holds
//! twice counts once in it, where it stands first; documents of equal fused score are ordered by
//! id. Sums are kept in twice the precision of a score and rounded once, so that rounding neither
//! breaks a tie nor makes the result depend on the lists' order.

mod borda;
mod engine;
mod method;
mod normalise;
mod rrf;
mod scores;
mod tally;
mod weights;

pub use borda::borda;
pub use engine::NativeFusion;
pub use method::{Method, MethodInfo, methods};
pub use normalise::Normalisation;
pub use rrf::rrf;
pub use scores::{comb_mnz, comb_sum};
