//! Fusion by reciprocal ranks.

use std::sync::Arc;

use routir_core::{Error, Ranking, Result};

use crate::tally::Tally;
use crate::weights::Weights;

/// Reciprocal rank fusion: the sum over lists of `weight / (k + rank)`, rank from 1.
///
/// Cormack, Clarke & Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
/// Learning Methods", SIGIR 2009, which uses `k` = 60 and no weights. `weights` has one per list;
/// `None` is 1 for all. Only the `limit` best are returned; `None` is all.
///
/// # Errors
/// [`routir_core::ErrorCode::InvalidArgument`] for a `k` that is negative or not finite, and for
/// weights that are not one per list, are negative or not finite, or are all 0.
pub fn rrf(
    rankings: &[Arc<Ranking>],
    k: f64,
    weights: Option<&[f64]>,
    limit: Option<usize>,
) -> Result<Ranking> {
    if !k.is_finite() || k < 0.0 {
        return Err(Error::invalid(format!(
            "`rrf_k` must be a number of at least 0, not {k}"
        )));
    }
    let weights = Weights::per_list(weights, rankings.len())?;
    let mut tally = Tally::new(rankings)?;
    for (list, ranking) in (0..).zip(rankings) {
        let weight = weights.of(list);
        tally.add_list(list, ranking, weight > 0.0, |rank, _| {
            weight / (k + rank as f64)
        });
    }
    tally.rank(limit, |sum, _| sum)
}
