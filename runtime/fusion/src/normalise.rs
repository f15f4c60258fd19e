//! Scores of different systems brought to one scale, list by list.

use routir_core::Ranking;

/// How the scores of one list are brought to a scale that lists share.
///
/// All but [`Normalisation::None`] are unchanged when a list's scores are shifted or multiplied by
/// a positive number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Normalisation {
    /// The scores as they are.
    None,
    /// `(s - min) / (max - min)`: from 0 to 1. All 1 when all scores are equal, since being found
    /// at all must not count for nothing. Lee, "Analyses of Multiple Evidence Combination",
    /// SIGIR 1997.
    MinMax,
    /// `(s - μ) / σ`: mean 0, variance 1, σ over the whole list (divided by n). All 0 when all
    /// scores are equal. A document that a list does not hold gets 0 from it, as one of average
    /// score would. Montague & Aslam, "Relevance Score Normalization for Metasearch", CIKM 2001
    /// (there: ZMUV).
    ZScore,
    /// `(s - (μ - 3σ)) / 6σ`: from about 0 to 1, σ of a sample (divided by n - 1). All 0.5 when
    /// all scores are equal. Scores beyond 3σ go beyond 0 and 1 and keep their order: in a long
    /// list the best few often are. Mazzeschi, "Distribution-Based Score Fusion", 2023, as Qdrant
    /// computes it.
    Distribution,
}

/// A list's own map from score to normalised score: `(s / part - low) * slope + offset`.
///
/// `part` is 1, or 2 where the distance between the largest and the smallest score is beyond what
/// a number holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    part: f64,
    low: f64,
    range: f64,
    centre: f64,
    spread: f64,
    offset: f64,
}

const UNCHANGED: Scale = Scale {
    part: 1.0,
    low: 0.0,
    range: 1.0,
    centre: 0.0,
    spread: 1.0,
    offset: 0.0,
};

impl Scale {
    /// The map for `ranking`.
    pub(crate) fn of(ranking: &Ranking, normalisation: Normalisation) -> Self {
        let (Some(first), Some(last)) = (ranking.hits().first(), ranking.hits().last()) else {
            return UNCHANGED;
        };
        let count = ranking.len() as f64;
        let part = if (first.score - last.score).is_finite() {
            1.0
        } else {
            2.0
        };
        let low = last.score / part;
        let range = first.score / part - low;
        let constant = |offset| Self {
            range: f64::INFINITY,
            offset,
            ..UNCHANGED
        };
        // Mean and variance are taken from 0 to 1, where nothing overflows or cancels.
        let unit = || {
            ranking
                .hits()
                .iter()
                .map(|hit| (hit.score / part - low) / range)
        };
        let mean = || unit().sum::<f64>() / count;
        let deviation = |mean: f64, divisor: f64| {
            (unit().map(|u| (u - mean) * (u - mean)).sum::<f64>() / divisor).sqrt()
        };
        let unit_scale = Self {
            part,
            low,
            range,
            ..UNCHANGED
        };
        match normalisation {
            Normalisation::None => UNCHANGED,
            Normalisation::MinMax if range == 0.0 => constant(1.0),
            Normalisation::ZScore if range == 0.0 => constant(0.0),
            Normalisation::Distribution if range == 0.0 => constant(0.5),
            Normalisation::MinMax => unit_scale,
            Normalisation::ZScore => {
                let centre = mean();
                Self {
                    centre,
                    spread: deviation(centre, count),
                    ..unit_scale
                }
            }
            Normalisation::Distribution => {
                let centre = mean();
                let spread = 6.0 * deviation(centre, count - 1.0);
                Self {
                    centre,
                    spread,
                    offset: 0.5,
                    ..unit_scale
                }
            }
        }
    }

    /// The normalised score.
    pub(crate) fn apply(&self, score: f64) -> f64 {
        ((score / self.part - self.low) / self.range - self.centre) / self.spread + self.offset
    }
}

#[cfg(test)]
mod tests {
    use routir_core::Hit;

    use super::*;

    fn normalised(scores: &[f64], normalisation: Normalisation) -> Vec<f64> {
        let hits = scores.iter().enumerate();
        let hits = hits
            .map(|(n, score)| Hit::new(format!("{n:04}"), *score))
            .collect();
        let ranking = Ranking::from_hits(hits).unwrap();
        let scale = Scale::of(&ranking, normalisation);
        ranking
            .hits()
            .iter()
            .map(|hit| scale.apply(hit.score))
            .collect()
    }

    #[test]
    fn equal_scores_and_single_hits_have_their_fixed_value() {
        for scores in [
            &[7.5][..],
            &[0.1, 0.1, 0.1],
            &[-1e308],
            &[f64::MAX, f64::MAX],
            &[0.0],
        ] {
            for (normalisation, value) in [
                (Normalisation::MinMax, 1.0),
                (Normalisation::ZScore, 0.0),
                (Normalisation::Distribution, 0.5),
            ] {
                assert_eq!(normalised(scores, normalisation), vec![value; scores.len()]);
            }
        }
    }

    #[test]
    fn the_whole_range_of_numbers_is_normalised_without_overflow() {
        let widest = [f64::MAX, 0.0, -f64::MAX];
        assert_eq!(normalised(&widest, Normalisation::MinMax), [1.0, 0.5, 0.0]);
        let z = normalised(&widest, Normalisation::ZScore);
        assert!((z[0] - 1.5f64.sqrt()).abs() < 1e-12 && z[1].abs() < 1e-12);
        let narrowest = [f64::from_bits(3), f64::from_bits(2), f64::from_bits(1)];
        assert_eq!(
            normalised(&narrowest, Normalisation::MinMax),
            [1.0, 0.5, 0.0]
        );
    }

    #[test]
    fn an_outlier_of_a_long_list_stays_above_the_next() {
        let mut scores = vec![1.0; 100];
        scores[0] = 100.0;
        scores[1] = 90.0;
        let found = normalised(&scores, Normalisation::Distribution);
        assert!(found[0] > found[1] && found[1] > 1.0, "{:?}", &found[..3]);
    }
}
