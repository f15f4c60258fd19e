//! Weights as small whole numbers.
//!
//! A document's weight of a term becomes an impact from 1 to 255: the weight by the term's scale,
//! which is a 255th of the term's largest weight. So a weight is off by at most half a scale, and one
//! below half a scale by less than a scale. Terms whose weights are whole numbers up to 255, as those
//! of indices that were quantised before, have the scale 1 and are exact.
//!
//! A query's weights, times the scales, become whole numbers whose sum is about 2^24: the scores of a
//! query are sums that fit 32 bits, are the same in whatever order they are added, and differ from
//! sums of real numbers by about 2^-24 per term, relative to the largest possible score. When the
//! numbers are whole to begin with, scores are exact.

use routir_core::{Error, ErrorCode, Result};

use super::search::MAX_QUERY_TERMS;

/// The largest impact.
const MOST: f32 = 255.0;
/// What the weights of a query add up to at most: times the largest impact, it fits 32 bits.
const SUM: f64 = (1 << 24) as f64;

/// What an impact of 1 stands for, for a term with the largest weight `max`, all weights `whole` or
/// not.
pub(crate) fn scale(max: f32, whole: bool) -> f32 {
    if whole && max <= MOST {
        1.0
    } else {
        (max / MOST).max(f32::MIN_POSITIVE)
    }
}

/// A weight above 0 as an impact.
pub(crate) fn impact(weight: f32, scale: f32) -> u8 {
    (f64::from(weight) / f64::from(scale))
        .round()
        .clamp(1.0, f64::from(MOST)) as u8
}

/// Terms with their weights, each above 0 and finite, by id, none twice: weights of one term are
/// added, those of 0 left out.
///
/// # Errors
/// For a weight that is negative, infinite or no number.
pub(crate) fn tidy(terms: &[(u32, f32)]) -> Result<Vec<(u32, f32)>> {
    if let Some((term, weight)) = terms.iter().find(|it| !(it.1.is_finite() && it.1 >= 0.0)) {
        return Err(Error::invalid(format!(
            "the weight of term {term} is {weight}; weights are finite and not negative"
        )));
    }
    let mut tidy: Vec<_> = terms.iter().copied().filter(|it| it.1 > 0.0).collect();
    // Stable, so that equal input adds up in one order.
    tidy.sort_by_key(|it| it.0);
    tidy.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = (kept.1 + next.1).min(f32::MAX);
        }
        same
    });
    Ok(tidy)
}

/// A query in whole numbers.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Query {
    /// Terms, by their places among the index's terms, with their weights.
    pub(crate) terms: Vec<(usize, u32)>,
    /// What a score of 1 stands for.
    pub(crate) unit: f64,
}

impl Query {
    /// A query of weights; `find` tells a term's place and scale, if any document has it.
    ///
    /// # Errors
    /// For weights as in [`tidy`], and for too many terms.
    pub(crate) fn new(
        weights: &[(u32, f32)],
        find: impl Fn(u32) -> Option<(usize, f32)>,
    ) -> Result<Self> {
        if weights.len() > MAX_QUERY_TERMS {
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!(
                    "the query has {} weighted terms, more than {MAX_QUERY_TERMS}; keep those with \
                     the largest weights",
                    weights.len()
                ),
            ));
        }
        let found = tidy(weights)?.into_iter().filter_map(|(term, weight)| {
            let (place, scale) = find(term)?;
            Some((place, f64::from(weight) * f64::from(scale)))
        });
        let found: Vec<(usize, f64)> = found.collect();
        let sum: f64 = found.iter().map(|it| it.1).sum();
        // Rounding, and rounding up to 1, adds less than one per term.
        let most = SUM - found.len() as f64;
        let whole = sum <= most && found.iter().all(|it| it.1.fract() == 0.0);
        let unit = if whole { 1.0 } else { sum / most };
        let weigh =
            |(place, weight): (usize, f64)| (place, (weight / unit).round().max(1.0) as u32);
        Ok(Self {
            terms: found.into_iter().map(weigh).collect(),
            unit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_off_by_half_a_scale() {
        for max in [0.7_f32, 3.3, 1e-40, 1e30] {
            let scale = scale(max, false);
            for part in 1..=1000 {
                let weight = max * (part as f32 / 1000.0);
                let off = (f32::from(impact(weight, scale)) * scale - weight).abs();
                let most = if weight < scale / 2.0 {
                    scale
                } else {
                    scale * 0.5001
                };
                assert!(off <= most, "{weight} of {max}: {off}");
            }
        }
        assert_eq!(scale(200.0, true), 1.0);
        assert_eq!(impact(200.0, 1.0), 200);
        assert_eq!(scale(510.0, true), 2.0);
    }

    #[test]
    fn a_querys_scores_fit_and_whole_numbers_are_exact() {
        let scales = |scale: f32| move |term: u32| (term < 9000).then_some((term as usize, scale));
        let whole = Query::new(&[(3, 2.0), (1, 7.0), (3, 1.0), (9001, 5.0)], scales(1.0)).unwrap();
        assert_eq!((whole.terms, whole.unit), (vec![(1, 7), (3, 3)], 1.0));
        for scale in [1e-38, 0.013, 1e36] {
            let weights: Vec<_> = (0..4096)
                .map(|it| (it, if it == 0 { 1e30 } else { 1e-30 }))
                .collect();
            let query = Query::new(&weights, scales(scale)).unwrap();
            let sum: u64 = query.terms.iter().map(|it| u64::from(it.1)).sum();
            assert!(sum * 255 <= u64::from(u32::MAX), "{sum}");
            assert!(sum > (1 << 24) - 5000 && query.terms.iter().all(|it| it.1 > 0));
        }
    }

    #[test]
    fn weights_that_mean_nothing_are_refused() {
        for bad in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(tidy(&[(1, 0.5), (2, bad)]).is_err());
        }
        assert_eq!(tidy(&[(5, 0.5), (2, 0.0), (5, 0.25)]).unwrap(), [(5, 0.75)]);
    }
}
