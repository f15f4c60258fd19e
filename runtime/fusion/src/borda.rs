//! Fusion by election.

use std::sync::Arc;

use hashbrown::HashSet;
use routir_core::{Ranking, Result};

use crate::tally::Tally;
use crate::weights::Weights;

/// Borda-fuse: each list is a voter, the candidates are all `c` documents of all lists. A list
/// gives its first document `c` points, the second `c - 1` and so on, and what remains is divided
/// evenly among the candidates that it does not hold: with `n` documents in the list,
/// `(c - n + 1) / 2` each. A document's score is the sum of its points, each list's times its
/// weight.
///
/// Aslam & Montague, "Models for Metasearch", SIGIR 2001 (with weights: weighted Borda-fuse).
/// `weights` has one per list; `None` is 1 for all. Only the `limit` best are returned; `None` is
/// all.
///
/// # Errors
/// [`routir_core::ErrorCode::InvalidArgument`] for weights that are not one per list, are negative
/// or not finite, or are all 0.
pub fn borda(
    rankings: &[Arc<Ranking>],
    weights: Option<&[f64]>,
    limit: Option<usize>,
) -> Result<Ranking> {
    let weights = Weights::per_list(weights, rankings.len())?;
    let candidates: HashSet<&str> = rankings
        .iter()
        .flat_map(|ranking| ranking.hits())
        .map(|hit| hit.doc.as_str())
        .collect();
    let count = candidates.len() as f64;
    let mut tally = Tally::new(rankings)?;
    // What a document gets that no list holds; a list adds what it gives beyond that.
    let mut base = 0.0;
    for (list, ranking) in (0..).zip(rankings) {
        let weight = weights.of(list);
        let left_over = (count - ranking.len() as f64 + 1.0) / 2.0;
        base += weight * left_over;
        tally.add_list(list, ranking, true, |rank, _| {
            weight * (count - rank as f64 + 1.0 - left_over)
        });
    }
    tally.rank(limit, |sum, _| base + sum)
}
