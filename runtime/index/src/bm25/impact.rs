//! What one occurrence count in a document of some length is worth: BM25's saturation, and sound
//! upper bounds of it.
//!
//! Scores are sums of whole numbers in units of 2^-32. Such a sum does not depend on the order of
//! its terms, so a document has the same score whichever lists were skipped and however many
//! documents were asked for.

use routir_core::{Error, Result};
use tantivy::fieldnorm::FieldNormReader;
use tantivy::query::Bm25Weight;

/// One in the fixed-point scale of scores.
pub(crate) const ONE: f64 = 4_294_967_296.0;

/// The constants with which tantivy chose the best posting of each block when it wrote them.
const BLOCK_K1: f64 = 1.2;
const BLOCK_B: f64 = 0.75;

/// Occurrence counts below this are looked up instead of divided.
const TABLED: usize = 16;

/// BM25's two constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bm25Params {
    k1: f64,
    b: f64,
}

impl Default for Bm25Params {
    /// k1 = 0.9, b = 0.4, as in Anserini and Pyserini; Terrier's are 1.2 and 0.75.
    fn default() -> Self {
        Self { k1: 0.9, b: 0.4 }
    }
}

impl Bm25Params {
    /// `k1` in 0..=100 says how slowly repeated occurrences stop counting; `b` in 0..=1 how far a
    /// document's length is held against it.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when one is out of its range.
    pub fn new(k1: f64, b: f64) -> Result<Self> {
        if !(0.0..=100.0).contains(&k1) {
            return Err(Error::invalid(format!(
                "`k1` must be between 0 and 100, not {k1}"
            )));
        }
        if !(0.0..=1.0).contains(&b) {
            return Err(Error::invalid(format!(
                "`b` must be between 0 and 1, not {b}"
            )));
        }
        Ok(Self { k1, b })
    }

    /// How slowly repeated occurrences stop counting.
    #[must_use]
    pub fn k1(self) -> f64 {
        self.k1
    }

    /// How far a document's length is held against it.
    #[must_use]
    pub fn b(self) -> f64 {
        self.b
    }

    fn norm(self, relative_length: f64) -> f64 {
        self.k1 * (1.0 - self.b + self.b * relative_length)
    }
}

/// The saturated occurrence count, tf / (tf + k1 (1 - b + b dl / avgdl)), for one corpus.
///
/// Document lengths are those of tantivy's one-byte field norms: exact up to 40 words, within an
/// eighth above, as in Lucene.
pub(crate) struct Impacts {
    params: Bm25Params,
    norms: Box<[f64; 256]>,
    table: Vec<f64>,
    block_weight: Bm25Weight,
    block_top: f64,
    shrink: f64,
}

impl Impacts {
    /// `tokens` and `documents` are the corpus's totals, `longest` its longest document.
    pub(crate) fn new(params: Bm25Params, tokens: u64, documents: u64, longest: u32) -> Self {
        let average = (tokens as f64 / documents.max(1) as f64).max(f64::MIN_POSITIVE);
        let mut norms = Box::new([0.0; 256]);
        for (id, norm) in (0..=u8::MAX).zip(norms.iter_mut()) {
            *norm = params.norm(f64::from(FieldNormReader::id_to_fieldnorm(id)) / average);
        }
        let table = norms
            .iter()
            .flat_map(|norm| (0..TABLED).map(move |tf| saturate(tf as f64, *norm)))
            .collect();
        let block_weight = Bm25Weight::for_one_term_without_explain(1, 1, average as f32);
        let block_top = f64::from(block_weight.score(0, u32::MAX));
        let written = Bm25Params {
            k1: BLOCK_K1,
            b: BLOCK_B,
        };
        // A ratio of two linear functions is monotone: its least value is at one of the ends.
        let ratio = |length: f64| params.norm(length) / written.norm(length);
        let shrink = ratio(0.0).min(ratio(f64::from(longest) / average));
        Self {
            params,
            norms,
            table,
            block_weight,
            block_top,
            shrink,
        }
    }

    /// The weight of a query term, in units: its idf, ln(1 + (N - df + 0.5) / (df + 0.5)), times
    /// k1 + 1, times how often the query has it.
    pub(crate) fn weight(&self, doc_freq: u64, documents: u64, times: u32) -> f64 {
        let (n, df) = (documents as f64, doc_freq.min(documents) as f64);
        let idf = ((n - df + 0.5) / (df + 0.5)).ln_1p();
        idf * (self.params.k1 + 1.0) * f64::from(times) * ONE
    }

    /// The share of a term's weight that `tf` occurrences earn under the length code `norm`.
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "256 codes, each with TABLED entries"
    )]
    pub(crate) fn share(&self, norm: u8, tf: u32) -> f64 {
        if (tf as usize) < TABLED {
            self.table[usize::from(norm) * TABLED + tf as usize]
        } else {
            saturate(f64::from(tf), self.norms[usize::from(norm)])
        }
    }

    /// The weight with which tantivy is asked for the best posting of a block.
    pub(crate) fn block_weight(&self) -> &Bm25Weight {
        &self.block_weight
    }

    /// An upper bound of [`Impacts::share`] over a block whose best posting scores `best` under
    /// [`Impacts::block_weight`].
    ///
    /// That posting was the best under other constants. Let r be its share there, so that every
    /// posting of the block has norm' / tf >= (1 - r) / r; its norm here is at least `shrink`
    /// times that norm', hence its share is at most 1 / (1 + shrink (1 - r) / r).
    pub(crate) fn share_bound(&self, best: f32) -> f64 {
        // The margins cover single precision there and rounding here.
        let share = (f64::from(best) / self.block_top) * (1.0 + 1e-4);
        if !(share > 0.0 && share < 1.0) {
            return 1.0;
        }
        let bound = 1.0 / (1.0 + self.shrink * (1.0 - share) / share);
        (bound * (1.0 + 1e-9)).min(1.0)
    }
}

fn saturate(tf: f64, norm: f64) -> f64 {
    if tf > 0.0 { tf / (tf + norm) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_out_of_range_are_refused() {
        for (k1, b) in [
            (-0.1, 0.5),
            (101.0, 0.5),
            (f64::NAN, 0.5),
            (1.2, 1.1),
            (1.2, f64::NAN),
        ] {
            assert!(Bm25Params::new(k1, b).is_err(), "{k1} {b}");
        }
        Bm25Params::new(0.0, 0.0).unwrap();
    }

    #[test]
    fn no_posting_is_worth_more_than_its_blocks_bound() {
        for (k1, b) in [
            (1.2, 0.75),
            (0.9, 0.4),
            (2.0, 1.0),
            (0.5, 0.0),
            (0.0, 0.5),
            (100.0, 1.0),
        ] {
            let impacts = Impacts::new(Bm25Params::new(k1, b).unwrap(), 5_000, 100, 3_000);
            for norm in (0..=u8::MAX).filter(|id| FieldNormReader::id_to_fieldnorm(*id) <= 3_000) {
                for tf in [1, 2, 3, 15, 16, 17, 200, 255, 100_000] {
                    let best = impacts.block_weight().score(norm, tf);
                    let (share, bound) = (impacts.share(norm, tf), impacts.share_bound(best));
                    assert!(
                        share <= bound,
                        "k1 {k1} b {b} norm {norm} tf {tf}: {share} > {bound}"
                    );
                }
            }
        }
    }
}
