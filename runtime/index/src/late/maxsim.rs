//! MaxSim, the score of late interaction: for each row of the query its best inner product with a
//! row of the passage, summed over the query (Khattab and Zaharia, "ColBERT", 2020).

use half::f16;
use routir_core::{Error, Result};

use super::kernel::{Panel, WIDTH};

/// Passage rows whose products are held at once.
const BLOCK: usize = 64;

/// The most rows of one query.
pub const MAX_QUERY_ROWS: usize = 1024;

/// A query as rows of equal dimension, laid out for scoring many passages.
#[derive(Clone, Debug)]
pub struct LateQuery {
    dim: usize,
    rows: usize,
    panels: Vec<Panel>,
}

impl LateQuery {
    /// Takes rows of `dim` values, one after another. None at all is a query that matches nothing.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when the values are not whole rows, are not all
    /// finite, or make more than [`MAX_QUERY_ROWS`] rows.
    pub fn new(rows: &[f32], dim: usize) -> Result<Self> {
        check_rows(rows, dim).map_err(|e| e.at("the query"))?;
        let rows: Vec<&[f32]> = rows.chunks_exact(dim).collect();
        if rows.len() > MAX_QUERY_ROWS {
            return Err(Error::invalid(format!(
                "the query has {} token vectors and {MAX_QUERY_ROWS} at most are searched; shorten it",
                rows.len()
            )));
        }
        let panels = rows.chunks(WIDTH).map(|rows| {
            let mut panel = Panel::new(dim);
            panel.hold(rows);
            panel
        });
        Ok(Self {
            dim,
            rows: rows.len(),
            panels: panels.collect(),
        })
    }

    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many values a row has.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    pub(crate) fn panels(&self) -> &[Panel] {
        &self.panels
    }

    /// The score of a passage of these rows, one after another. Without rows, the query's or the
    /// passage's, it is 0. Values behind the last whole row do not count.
    #[must_use]
    pub fn maxsim(&self, passage: &[f32]) -> f32 {
        let mut best = Maxima::new(self);
        for block in passage.chunks(BLOCK * self.dim.max(1)) {
            best.take(block);
        }
        best.sum()
    }

    /// As [`LateQuery::maxsim`], for rows in half precision.
    #[must_use]
    pub fn maxsim_half(&self, passage: &[f16]) -> f32 {
        let mut best = Maxima::new(self);
        let mut rows = Vec::new();
        for block in passage.chunks(BLOCK * self.dim.max(1)) {
            rows.clear();
            rows.extend(block.iter().map(|value| value.to_f32()));
            best.take(&rows);
        }
        best.sum()
    }
}

/// The score of a passage for a query, both as rows of `dim` values one after another; 0 when either
/// has no whole row. For many passages, [`LateQuery`] saves laying out the query each time.
///
/// # Errors
/// As [`LateQuery::new`].
pub fn maxsim(query: &[f32], passage: &[f32], dim: usize) -> Result<f32> {
    Ok(LateQuery::new(query, dim)?.maxsim(passage))
}

/// Checks that `rows` are whole rows of `dim` finite values.
pub(crate) fn check_rows(rows: &[f32], dim: usize) -> Result<()> {
    if dim == 0 || !rows.len().is_multiple_of(dim) {
        return Err(Error::invalid(format!(
            "{} values are no whole number of rows of dimension {dim}; check that model and index \
             belong together",
            rows.len()
        )));
    }
    match rows.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::invalid(format!(
            "token vector {} has a value that is not a finite number",
            at / dim
        ))),
        None => Ok(()),
    }
}

/// The best products so far of each row of a query.
pub(crate) struct Maxima<'a> {
    query: &'a LateQuery,
    seen: bool,
    best: Vec<f32>,
    products: Vec<f32>,
}

impl<'a> Maxima<'a> {
    pub(crate) fn new(query: &'a LateQuery) -> Self {
        Self {
            query,
            seen: false,
            best: vec![f32::NEG_INFINITY; query.panels.len() * WIDTH],
            products: vec![0.0; BLOCK * WIDTH],
        }
    }

    /// Forgets what it has seen.
    pub(crate) fn clear(&mut self) {
        self.seen = false;
        self.best.fill(f32::NEG_INFINITY);
    }

    /// Takes in at most [`BLOCK`] rows.
    pub(crate) fn take(&mut self, rows: &[f32]) {
        let count = (rows.len() / self.query.dim.max(1)).min(BLOCK);
        self.seen |= count > 0;
        for (panel, best) in self
            .query
            .panels
            .iter()
            .zip(self.best.chunks_exact_mut(WIDTH))
        {
            let width = panel.width();
            let Some(products) = self.products.get_mut(..count * width) else {
                return;
            };
            panel.products(rows, products);
            for products in products.chunks_exact(width) {
                for (best, product) in best.iter_mut().zip(products) {
                    *best = if *product > *best { *product } else { *best };
                }
            }
        }
    }

    /// The sum over the query's rows; 0 when nothing was taken in. Not finite when a row of the query
    /// had no product that is a number.
    pub(crate) fn sum(&self) -> f32 {
        if !self.seen {
            return 0.0;
        }
        let rows = self.query.panels.iter().zip(self.best.chunks_exact(WIDTH));
        rows.flat_map(|(panel, best)| best.iter().take(panel.rows()))
            .sum()
    }
}

/// How many rows [`Maxima::take`] takes in at once.
pub(crate) const fn block_rows() -> usize {
    BLOCK
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(query: &[f32], passage: &[f32], dim: usize) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        query
            .chunks(dim)
            .map(|q| {
                passage
                    .chunks(dim)
                    .map(|p| dot(q, p))
                    .fold(f32::NEG_INFINITY, f32::max)
            })
            .sum()
    }

    proptest! {
        #[test]
        fn is_the_sum_of_the_best_products(
            dim in 1_usize..20,
            query in prop::collection::vec(-1.0_f32..1.0, 20..1500),
            passage in prop::collection::vec(-1.0_f32..1.0, 20..3000),
        ) {
            let query = &query[..query.len() / dim * dim];
            let passage = &passage[..passage.len() / dim * dim];
            prop_assume!(query.len() / dim <= MAX_QUERY_ROWS);
            let score = maxsim(query, passage, dim).unwrap();
            prop_assert!((score - naive(query, passage, dim)).abs() < 1e-3 * (1.0 + score.abs()));
            let half: Vec<f16> = passage.iter().map(|x| f16::from_f32(*x)).collect();
            let rounded: Vec<f32> = half.iter().map(|x| x.to_f32()).collect();
            let query = LateQuery::new(query, dim).unwrap();
            prop_assert_eq!(query.maxsim_half(&half), query.maxsim(&rounded));
        }
    }

    #[test]
    fn nothing_scores_nothing_and_bad_rows_are_refused() {
        assert_eq!(maxsim(&[], &[1.0, 2.0], 2).unwrap(), 0.0);
        assert_eq!(maxsim(&[1.0, 2.0], &[], 2).unwrap(), 0.0);
        assert!(maxsim(&[1.0], &[1.0, 2.0], 2).is_err());
        assert!(maxsim(&[1.0], &[1.0], 0).is_err());
        assert!(maxsim(&[f32::NAN, 1.0], &[1.0, 1.0], 2).is_err());
        assert!(LateQuery::new(&[0.0; 2 * 1025], 2).is_err());
        assert!(
            !maxsim(&[1.0, 0.0], &[f32::NAN, 0.0], 2)
                .unwrap()
                .is_finite()
        );
    }
}
