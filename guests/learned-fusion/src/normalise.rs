//! Scores of one list on a scale that lists share.

/// How scores of different engines become comparable.
#[derive(Clone, Copy)]
pub(crate) enum Normalisation {
    /// As they are.
    None,
    /// From 0, the list's worst, to 1, its best; 1 where all are equal.
    MinMax,
    /// Standard deviations above the list's mean; 0 where all are equal.
    ZScore,
}

pub(crate) fn normalised(scores: &[f64], how: Normalisation) -> Vec<f64> {
    match how {
        Normalisation::None => scores.to_vec(),
        Normalisation::MinMax => {
            let min = scores.iter().copied().fold(f64::INFINITY, f64::min);
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            map(scores, |score| match max > min {
                true => (score - min) / (max - min),
                false => 1.0,
            })
        }
        Normalisation::ZScore => {
            let count = scores.len() as f64;
            let mean = scores.iter().sum::<f64>() / count;
            let variance = scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / count;
            map(scores, |score| match variance > 0.0 {
                true => (score - mean) / variance.sqrt(),
                false => 0.0,
            })
        }
    }
}

fn map(scores: &[f64], by: impl Fn(f64) -> f64) -> Vec<f64> {
    scores.iter().copied().map(by).collect()
}
