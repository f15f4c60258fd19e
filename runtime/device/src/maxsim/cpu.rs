//! MaxSim on the processor: what a device must equal.

use rayon::prelude::*;
use routir_core::Result;

use super::{MaxSim, TokenRows, check, finite};
use crate::Metric;
use crate::exact::score;

/// Documents in memory.
pub struct MaxSimOnCpu {
    documents: TokenRows,
}

impl MaxSimOnCpu {
    /// Scores `documents`.
    #[must_use]
    pub fn new(documents: TokenRows) -> Self {
        Self { documents }
    }
}

impl MaxSim for MaxSimOnCpu {
    fn dim(&self) -> usize {
        self.documents.dim()
    }

    fn len(&self) -> usize {
        self.documents.len()
    }

    fn score(&self, queries: &TokenRows, pairs: &[[u32; 2]]) -> Result<Vec<f32>> {
        let dim = self.dim();
        check(queries, pairs, dim, self.len())?;
        let queries: Vec<Vec<f32>> = (0..queries.len()).map(|at| queries.read(at)).collect();
        let of_pair = |[query, document]: &[u32; 2]| {
            let document = self.documents.read(*document as usize);
            let Some(query) = queries
                .get(*query as usize)
                .filter(|_| !document.is_empty())
            else {
                return 0.0;
            };
            let best = query.chunks_exact(dim).map(|query| {
                let products = document
                    .chunks_exact(dim)
                    .map(|row| score(Metric::InnerProduct, query, row));
                products.fold(
                    f32::NEG_INFINITY,
                    |best, it| if it > best { it } else { best },
                )
            });
            best.sum()
        };
        finite(pairs.par_iter().map(of_pair).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Found, MAX_QUERY_ROWS};

    proptest! {
        #[test]
        fn equals_the_definition_on_texts_of_any_lengths(
            dim in 1_usize..12,
            lengths in prop::collection::vec(0_usize..9, 1..8),
            seed in any::<u64>(),
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut text = |rows: usize| -> Vec<f32> {
                (0..rows * dim).map(|_| random.i8(-3..=3).into()).collect()
            };
            let documents: Vec<Vec<f32>> = lengths.iter().map(|len| text(*len)).collect();
            let queries = [text(0), text(3), text(5)];
            let tokens = |all: &[Vec<f32>]| {
                TokenRows::new(dim, all.iter().map(Vec::as_slice)).unwrap()
            };
            let search = MaxSimOnCpu::new(tokens(&documents));
            let found = search.candidates(&tokens(&queries), 4).unwrap();
            for (query, found) in queries.iter().zip(found) {
                let mut wanted: Vec<Found> = documents
                    .iter()
                    .zip(0..)
                    .map(|(document, position)| {
                        let best = |q: &[f32]| {
                            let product = |d: &[f32]| q.iter().zip(d).map(|(a, b)| a * b).sum();
                            document.chunks(dim).map(product).fold(f32::NEG_INFINITY, f32::max)
                        };
                        let sum = query.chunks(dim).map(best).sum::<f32>();
                        let score = if document.is_empty() { 0.0 } else { sum + 0.0 };
                        Found { position, score }
                    })
                    .collect();
                wanted.sort_by(|a, b| {
                    b.score.total_cmp(&a.score).then(a.position.cmp(&b.position))
                });
                wanted.truncate(4);
                prop_assert_eq!(found, wanted);
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let one = |rows: usize| TokenRows::new(2, [vec![1.0; rows * 2].as_slice()]).unwrap();
        let search = MaxSimOnCpu::new(one(3));
        assert_eq!(search.score(&one(2), &[[0, 0]]).unwrap(), [4.0]);
        assert!(search.score(&one(2), &[[1, 0]]).is_err());
        assert!(search.score(&one(2), &[[0, 1]]).is_err());
        assert!(search.score(&one(MAX_QUERY_ROWS + 1), &[]).is_err());
        assert!(search.candidates(&one(1), 5000).is_err());
        let other = TokenRows::new(3, [[1.0; 3].as_slice()]).unwrap();
        assert!(search.score(&other, &[[0, 0]]).is_err());
        assert!(TokenRows::new(2, [[1.0; 3].as_slice()]).is_err());
        assert!(TokenRows::new(2, [[1.0, f32::NAN].as_slice()]).is_err());
    }
}
