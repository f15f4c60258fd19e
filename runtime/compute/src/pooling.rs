//! From one vector per token to one vector per text.

use routir_core::{Error, Result};
use serde::Deserialize;

/// How the vectors of a text's tokens, special ones included, become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean.
    #[default]
    Mean,
    /// The first token's.
    Cls,
    /// The last token's.
    #[serde(alias = "last", alias = "lasttoken")]
    LastToken,
    /// The largest value of each dimension.
    Max,
    /// The sum, divided by the square root of the number of tokens.
    MeanSqrtLen,
}

impl Pooling {
    /// Reads its name: `mean`, `cls`, `last_token`, `max` or `mean_sqrt_len`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "mean" => Self::Mean,
            "cls" => Self::Cls,
            "last_token" | "lasttoken" | "last" => Self::LastToken,
            "max" => Self::Max,
            "mean_sqrt_len" => Self::MeanSqrtLen,
            _ => {
                return Err(Error::invalid(format!(
                    "there is no pooling `{name}`; known: mean, cls, last_token, max, mean_sqrt_len"
                )));
            }
        })
    }

    /// Pools the first `count` vectors of `dim` numbers each; padding comes after them.
    pub(crate) fn pool(self, tokens: &[f32], count: usize, dim: usize) -> Vec<f32> {
        let mut rows = tokens.chunks_exact(dim.max(1)).take(count);
        match self {
            Self::Cls => rows.next().unwrap_or_default().to_vec(),
            Self::LastToken => rows.next_back().unwrap_or_default().to_vec(),
            Self::Max => fold(rows, dim, f32::NEG_INFINITY, f32::max),
            Self::Mean => scaled(fold(rows, dim, 0.0, |a, b| a + b), 1.0 / count as f32),
            Self::MeanSqrtLen => scaled(
                fold(rows, dim, 0.0, |a, b| a + b),
                1.0 / (count as f32).sqrt(),
            ),
        }
    }
}

fn fold<'a>(
    rows: impl Iterator<Item = &'a [f32]>,
    dim: usize,
    start: f32,
    join: impl Fn(f32, f32) -> f32,
) -> Vec<f32> {
    let mut pooled = vec![start; dim];
    for row in rows {
        for (pooled, &value) in pooled.iter_mut().zip(row) {
            *pooled = join(*pooled, value);
        }
    }
    pooled
}

fn scaled(mut vector: Vec<f32>, factor: f32) -> Vec<f32> {
    vector.iter_mut().for_each(|value| *value *= factor);
    vector
}

/// Scales a vector to length 1; one of length 0 stays as it is.
pub(crate) fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    let factor = 1.0 / length.max(1e-12);
    vector.iter_mut().for_each(|value| *value *= factor);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_the_tokens_of_the_text_and_no_padding() {
        let tokens = [1.0, -2.0, 3.0, 4.0, 100.0, 100.0];
        let pool = |pooling: Pooling| pooling.pool(&tokens, 2, 2);
        assert_eq!(pool(Pooling::Mean), [2.0, 1.0]);
        assert_eq!(pool(Pooling::Cls), [1.0, -2.0]);
        assert_eq!(pool(Pooling::LastToken), [3.0, 4.0]);
        assert_eq!(pool(Pooling::Max), [3.0, 4.0]);
        let root = 2.0_f32.sqrt();
        assert_eq!(
            pool(Pooling::MeanSqrtLen),
            [4.0 * (1.0 / root), 2.0 * (1.0 / root)]
        );
    }

    #[test]
    fn what_has_no_direction_stays_without() {
        let mut zero = [0.0, 0.0];
        normalize(&mut zero);
        assert_eq!(zero, [0.0, 0.0]);
        let mut vector = [3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
    }

    #[test]
    fn names_are_read() {
        for (name, pooling) in [("mean", Pooling::Mean), ("last", Pooling::LastToken)] {
            assert_eq!(Pooling::parse(name).unwrap(), pooling);
        }
        assert!(Pooling::parse("median").is_err());
    }
}
