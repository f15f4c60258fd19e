//! A search: blocks by what they can reach, and in those that can still reach the best `k` every
//! document that has a term of the query.

use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};

use routir_core::{Error, ErrorCode, Hit, Ranking, Result};

use super::index::SparseIndex;
use super::kernel::Kernel;
use super::quantize::Query;
use super::row::{List, Row};
use super::{BLOCK, TILE};
use crate::late::PassageSet;
use crate::top::Top;

/// The most terms that a query may have.
pub const MAX_QUERY_TERMS: usize = 4096;

/// Words of a block in a set of documents.
const WORDS: usize = BLOCK / u64::BITS as usize;
/// Tiles between two looks at whether the caller is still there.
const STEP: usize = 16;

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct SparseSearch<'a> {
    /// At 1, the answer is exact. Below, blocks are left out already when this part of what they can
    /// reach at most is less than the `k`-th best score so far: faster, and what is left out is
    /// rarely among the best. Above 0.
    pub alpha: f32,
    /// The documents to search, by number; `None` is all.
    pub subset: Option<&'a PassageSet>,
}

impl Default for SparseSearch<'_> {
    /// Exact, over all documents.
    fn default() -> Self {
        Self {
            alpha: 1.0,
            subset: None,
        }
    }
}

impl SparseIndex {
    /// The `limit` documents with the largest inner products with the query's weights, of those that
    /// have any of its terms: score descending, of equal scores the smaller id first. Scores are
    /// those of the weights that the index keeps ([`SparseIndex::weights`]). At `alpha` 1 the answer
    /// is exact, so that the first of more are the same as fewer. Weights of a term given twice are
    /// added; terms that no document has count for nothing. Blocks.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for weights that are negative or no numbers, terms beyond the
    /// vocabulary, and an `alpha` out of range; [`ErrorCode::TooLarge`] beyond [`MAX_QUERY_TERMS`];
    /// [`ErrorCode::Cancelled`] once `cancelled`; [`ErrorCode::EngineFailure`] when the index is
    /// damaged.
    pub fn search(
        &self,
        query: &[(u32, f32)],
        limit: usize,
        how: &SparseSearch<'_>,
        cancelled: &AtomicBool,
    ) -> Result<Ranking> {
        still_wanted(cancelled)?;
        if !(how.alpha > 0.0 && how.alpha <= 1.0) {
            return Err(Error::invalid(format!(
                "`alpha` is above 0 and at most 1, not {}",
                how.alpha
            )));
        }
        if let Some((term, _)) = query.iter().find(|it| it.0 >= self.vocabulary()) {
            return Err(Error::invalid(format!(
                "the query has term {term}, but the index was made with a vocabulary of {} terms: \
                 use the model that made it",
                self.vocabulary()
            )));
        }
        let query = Query::new(query, |term| self.term(term))?;
        if limit == 0 || query.terms.is_empty() {
            return Ok(Ranking::default());
        }
        let ties = |a: u32, b: u32| self.id_bytes(a).cmp(self.id_bytes(b));
        let mut top = Top::new(limit, &ties);
        self.visit(&query, how, &mut top, cancelled)?;
        let hit = |(score, document): (u64, u32)| {
            Ok(Hit::new(self.id(document)?, score as f64 * query.unit))
        };
        Ranking::from_hits(
            top.into_ranking()
                .into_iter()
                .map(hit)
                .collect::<Result<_>>()?,
        )
    }

    /// Offers `top` every document that can be among the best.
    fn visit(
        &self,
        query: &Query,
        how: &SparseSearch<'_>,
        top: &mut Top<'_>,
        cancelled: &AtomicBool,
    ) -> Result<()> {
        let row = |&(place, weight): &(usize, u32)| Ok((place, self.row(place)?, weight));
        let rows: Vec<(usize, Row<'_>, u32)> =
            query.terms.iter().map(row).collect::<Result<_>>()?;
        let kernel = Kernel::detect();
        let bounds = self.bounds(&rows, how.subset, kernel, cancelled)?;
        let mut tiles = tiles(&bounds);
        let mut scores = Box::new([[0_u32; BLOCK]; TILE]);
        let mut visited = 0_usize;
        while let Some((bound, upside_down)) = tiles.pop() {
            let least = least(top, how.alpha);
            if bound < least {
                break;
            }
            visited += 1;
            if visited.is_multiple_of(STEP) {
                still_wanted(cancelled)?;
            }
            let tile = (u32::MAX - upside_down) as usize;
            let chosen = chosen(bounds.get(tile * TILE..).unwrap_or_default(), least);
            for (place, row, weight) in &rows {
                let add = |block: usize, list: List<'_>| {
                    if let Some(scores) = scores.get_mut(block) {
                        kernel.add_list(scores, list, *weight);
                    }
                };
                row.tile(tile, chosen, add)
                    .ok_or_else(|| self.broken(*place))?;
            }
            for (block, scores) in scores.iter_mut().enumerate() {
                if chosen >> block & 1 == 1 {
                    offer(
                        scores,
                        ((tile * TILE + block) * BLOCK) as u32,
                        how.subset,
                        top,
                    );
                    scores.fill(0);
                }
            }
        }
        Ok(())
    }

    /// What each block can reach at most; nothing, when it has no document of the subset.
    fn bounds(
        &self,
        rows: &[(usize, Row<'_>, u32)],
        subset: Option<&PassageSet>,
        kernel: Kernel,
        cancelled: &AtomicBool,
    ) -> Result<Vec<u32>> {
        let mut bounds = vec![0_u32; self.blocks()];
        for (_, row, weight) in rows {
            still_wanted(cancelled)?;
            match row.maxima() {
                (None, maxima) => kernel.add_maxima(&mut bounds, maxima, *weight),
                (Some(places), maxima) => {
                    for (place, maximum) in places.iter().zip(maxima) {
                        if let Some(bound) = bounds.get_mut(*place as usize) {
                            *bound = bound.wrapping_add(weight.wrapping_mul(u32::from(*maximum)));
                        }
                    }
                }
            }
        }
        if let Some(subset) = subset {
            for (block, bound) in bounds.iter_mut().enumerate() {
                let mut words = block * WORDS..(block + 1) * WORDS;
                *bound *= u32::from(words.any(|word| subset.has_any(word)));
            }
        }
        Ok(bounds)
    }
}

/// What each tile can reach at most, largest first, then by number (kept upside down, so that the
/// first comes first). Those without a term of the query are left out.
fn tiles(bounds: &[u32]) -> BinaryHeap<(u32, u32)> {
    let most = |tile: &[u32]| tile.iter().copied().max().unwrap_or_default();
    let tiles = bounds.chunks(TILE).map(most).zip((0..=u32::MAX).rev());
    tiles.filter(|it| it.0 > 0).collect::<Vec<_>>().into()
}

/// The blocks of a tile that can reach `least`, as bits.
fn chosen(bounds: &[u32], least: u32) -> u32 {
    let chosen = bounds.iter().take(TILE).enumerate();
    chosen.fold(0, |chosen, (block, bound)| {
        chosen | u32::from(*bound >= least) << block
    })
}

/// The least bound with which a block is still worth a look.
fn least(top: &Top<'_>, alpha: f32) -> u32 {
    // Below 2^32, so exact; and a conversion to a whole number saturates.
    let least = (top.floor() as f64 / f64::from(alpha)).ceil() as u32;
    least.max(1)
}

fn still_wanted(cancelled: &AtomicBool) -> Result<()> {
    if cancelled.load(Ordering::Relaxed) {
        return Err(Error::new(ErrorCode::Cancelled, "the caller has left"));
    }
    Ok(())
}

/// Offers `top` those documents of a block that can be in it; the block starts with number `first`.
fn offer(scores: &[u32; BLOCK], first: u32, subset: Option<&PassageSet>, top: &mut Top<'_>) {
    const LINE: usize = 16;
    let mut floor = (top.floor() as u32).max(1);
    for (line, scores) in (0..).step_by(LINE).zip(scores.chunks(LINE)) {
        if scores.iter().fold(0, |most, score| most.max(*score)) < floor {
            continue;
        }
        for (at, &score) in (line..).zip(scores) {
            let document = first + at;
            if score >= floor && subset.is_none_or(|it| it.contains(document)) {
                top.push(u64::from(score), document);
                floor = (top.floor() as u32).max(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_worth_a_look_when_it_can_tie() {
        let ties = |a: u32, b: u32| a.cmp(&b);
        let mut top = Top::new(1, &ties);
        assert_eq!(least(&top, 1.0), 1);
        top.push(7, 0);
        assert_eq!(least(&top, 1.0), 7);
        assert_eq!(least(&top, 0.5), 14);
        top.push(u64::from(u32::MAX), 0);
        assert_eq!((least(&top, 1.0), least(&top, 0.5)), (u32::MAX, u32::MAX));
    }
}
