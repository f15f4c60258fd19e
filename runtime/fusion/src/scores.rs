//! Fusion by sums of scores.

use std::sync::Arc;

use routir_core::{Ranking, Result};

use crate::normalise::{Normalisation, Scale};
use crate::tally::Tally;
use crate::weights::Weights;

/// CombSUM: the sum over lists of weight times normalised score; a list gives 0 to a document that
/// it does not hold.
///
/// Fox & Shaw, "Combination of Multiple Searches", TREC-2, 1994. `weights` has one per list;
/// `None` is 1 for all. Only the `limit` best are returned; `None` is all.
///
/// # Errors
/// [`routir_core::ErrorCode::InvalidArgument`] for weights that are not one per list, are negative
/// or not finite, or are all 0. [`routir_core::ErrorCode::EngineFailure`] for scores so large that
/// their sum is not a number any more.
pub fn comb_sum(
    rankings: &[Arc<Ranking>],
    normalisation: Normalisation,
    weights: Option<&[f64]>,
    limit: Option<usize>,
) -> Result<Ranking> {
    sums(rankings, normalisation, weights)?.rank(limit, |sum, _| sum)
}

/// CombMNZ: CombSUM times the number of lists (with a weight above 0) that hold the document.
///
/// Fox & Shaw 1994; with [`Normalisation::MinMax`] as Lee 1997 has it. Arguments and errors as
/// [`comb_sum`].
///
/// # Errors
/// As [`comb_sum`].
pub fn comb_mnz(
    rankings: &[Arc<Ranking>],
    normalisation: Normalisation,
    weights: Option<&[f64]>,
    limit: Option<usize>,
) -> Result<Ranking> {
    sums(rankings, normalisation, weights)?.rank(limit, |sum, lists| sum * f64::from(lists))
}

fn sums<'a>(
    rankings: &'a [Arc<Ranking>],
    normalisation: Normalisation,
    weights: Option<&[f64]>,
) -> Result<Tally<'a>> {
    let weights = Weights::per_list(weights, rankings.len())?;
    let mut tally = Tally::new(rankings)?;
    for (list, ranking) in (0..).zip(rankings) {
        let weight = weights.of(list);
        let scale = Scale::of(ranking, normalisation);
        let value = |_, score| weight * scale.apply(score);
        tally.add_list(list, ranking, weight > 0.0, value);
    }
    Ok(tally)
}
