//! Exact search on the processor: what a device must equal.

use rayon::prelude::*;
use routir_core::{Error, Result};

use super::{ExactSearch, check, is_allowed, rounded, score};
use crate::order::{Best, key};
use crate::{Found, Metric, Rows};

/// Vectors that a thread takes at a time.
const PIECE: usize = 1024;

/// Vectors in memory.
pub struct ExactOnCpu {
    rows: Rows,
    metric: Metric,
}

impl ExactOnCpu {
    /// Searches `rows`.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when there are more than fit a position.
    pub fn new(rows: Rows, metric: Metric) -> Result<Self> {
        if u32::try_from(rows.len()).is_err() {
            return Err(Error::invalid(format!(
                "{} vectors are too many",
                rows.len()
            )));
        }
        Ok(Self { rows, metric })
    }
}

impl ExactSearch for ExactOnCpu {
    fn dim(&self) -> usize {
        self.rows.dim()
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn search(&self, queries: &[f32], k: usize, allowed: Option<&[u8]>) -> Result<Vec<Vec<Found>>> {
        let dim = self.dim();
        let count = check(queries, dim, k)?;
        let queries = rounded(queries, self.rows.element())?;
        let none = || (0..count).map(|_| Best::new(k)).collect::<Vec<_>>();
        let pieces = (0..self.len().div_ceil(PIECE)).into_par_iter();
        let best = pieces
            .fold(none, |mut best, piece| {
                let mut row = Vec::with_capacity(dim);
                for at in piece * PIECE..((piece + 1) * PIECE).min(self.len()) {
                    if !is_allowed(allowed, at) {
                        continue;
                    }
                    self.rows.read(at, &mut row);
                    for (best, query) in best.iter_mut().zip(queries.chunks_exact(dim)) {
                        // Checked at the beginning.
                        let position = u32::try_from(at).unwrap_or(u32::MAX);
                        best.push(key(score(self.metric, query, &row), position));
                    }
                }
                best
            })
            .reduce(none, |a, b| {
                a.into_iter().zip(b).map(|(a, b)| a.add(b)).collect()
            });
        best.into_iter().map(Best::found).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Element;

    proptest! {
        #[test]
        fn equals_a_sort_of_all_scores(
            dim in 1_usize..20,
            values in prop::collection::vec(-4_i8..4, 0..400),
            query in prop::collection::vec(-4_i8..4, 20),
            k in 0_usize..60,
            bits in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
            l2 in any::<bool>(),
        ) {
            let values: Vec<f32> = values.iter().map(|it| f32::from(*it)).collect();
            let values = &values[..values.len() / dim * dim];
            let query: Vec<f32> = query[..dim].iter().map(|it| f32::from(*it)).collect();
            let metric = if l2 { Metric::L2 } else { Metric::InnerProduct };
            let mut all: Vec<Found> = values
                .chunks(dim)
                .enumerate()
                .filter(|(at, _)| match &bits {
                    None => true,
                    Some(bits) => bits.get(at / 8).is_some_and(|it| it >> (at % 8) & 1 == 1),
                })
                .map(|(at, row)| {
                    let pairs = row.iter().zip(&query);
                    let score = match metric {
                        Metric::InnerProduct => pairs.map(|(a, b)| a * b).sum::<f32>(),
                        Metric::L2 => -pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>(),
                    };
                    Found { position: at as u32, score: score + 0.0 }
                })
                .collect();
            all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.position.cmp(&b.position)));
            all.truncate(k);
            // Small whole numbers: every element holds them and every sum is exact.
            for element in [Element::F32, Element::F16] {
                let rows = Rows::new(element, dim, values).unwrap();
                let search = ExactOnCpu::new(rows, metric).unwrap();
                let found = search.search(&query, k, bits.as_deref()).unwrap();
                prop_assert_eq!(&found[0], &all);
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let rows = Rows::new(Element::F16, 2, &[1.0, 2.0, 3.0, 4.0]).unwrap();
        let search = ExactOnCpu::new(rows, Metric::InnerProduct).unwrap();
        assert!(search.search(&[], 5, None).unwrap().is_empty());
        for (query, k) in [
            (&[1.0][..], 1),
            (&[1.0, f32::NAN], 1),
            (&[1.0, 1e6], 1),
            (&[1.0, 1.0], 1025),
        ] {
            assert!(search.search(query, k, None).is_err());
        }
        let rows = Rows::new(Element::F32, 1, &[f32::MAX]).unwrap();
        let search = ExactOnCpu::new(rows, Metric::InnerProduct).unwrap();
        let error = search.search(&[10.0], 1, None).unwrap_err();
        assert!(error.message().contains("not a finite number"), "{error}");
    }
}
