//! How much each list counts.

use routir_core::{Error, Result};

/// One weight per list, checked.
pub(crate) struct Weights(Option<Vec<f64>>);

impl Weights {
    /// One weight for each of `lists` lists; `None` weighs all the same.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] unless there are as many, none negative or not
    /// finite, and one above 0.
    pub(crate) fn per_list(weights: Option<&[f64]>, lists: usize) -> Result<Self> {
        let Some(weights) = weights else {
            return Ok(Self(None));
        };
        if weights.len() != lists {
            return Err(Error::invalid(format!(
                "`weights` has {} for {}; give one per branch",
                counted(weights.len(), "number"),
                counted(lists, "ranking"),
            )));
        }
        check(weights)?;
        Ok(Self(Some(weights.to_vec())))
    }

    /// The weight of list number `list`, from 0.
    pub(crate) fn of(&self, list: u32) -> f64 {
        self.0
            .as_ref()
            .and_then(|weights| weights.get(list as usize))
            .copied()
            .unwrap_or(1.0)
    }
}

/// Repeats each branch's weight for every ranking of the branch: under an expander there is one
/// per sub-query, branch after branch.
///
/// # Errors
/// [`routir_core::ErrorCode::InvalidArgument`] when the rankings cannot be shared evenly among the
/// weights.
pub(crate) fn spread_over_branches(weights: &[f64], rankings: usize) -> Result<Vec<f64>> {
    if weights.is_empty() || !rankings.is_multiple_of(weights.len()) {
        return Err(Error::invalid(format!(
            "`weights` has {} for {}, which is not the same number of rankings for each; give one \
             weight per branch",
            counted(weights.len(), "number"),
            counted(rankings, "ranking"),
        )));
    }
    let each = rankings / weights.len();
    Ok(weights
        .iter()
        .flat_map(|weight| std::iter::repeat_n(*weight, each))
        .collect())
}

fn check(weights: &[f64]) -> Result<()> {
    if let Some(bad) = weights
        .iter()
        .find(|weight| !weight.is_finite() || **weight < 0.0)
    {
        return Err(Error::invalid(format!(
            "`weights` must be finite numbers of at least 0, not {bad}"
        )));
    }
    if !weights.is_empty() && weights.iter().all(|weight| *weight == 0.0) {
        return Err(Error::invalid(
            "`weights` must have a number above 0, all are 0",
        ));
    }
    Ok(())
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_weights_are_refused_with_the_reason() {
        let message = |weights: &[f64], lists| {
            Weights::per_list(Some(weights), lists)
                .err()
                .map(|error| error.to_string())
        };
        for (weights, lists, expected) in [
            (
                &[1.0][..],
                2,
                "`weights` has 1 number for 2 rankings; give one per branch",
            ),
            (
                &[1.0, 2.0, 3.0],
                1,
                "`weights` has 3 numbers for 1 ranking; give one per branch",
            ),
            (
                &[1.0, -0.5],
                2,
                "`weights` must be finite numbers of at least 0, not -0.5",
            ),
            (
                &[f64::NAN],
                1,
                "`weights` must be finite numbers of at least 0, not NaN",
            ),
            (
                &[f64::INFINITY],
                1,
                "`weights` must be finite numbers of at least 0, not inf",
            ),
            (
                &[0.0, 0.0],
                2,
                "`weights` must have a number above 0, all are 0",
            ),
        ] {
            assert_eq!(message(weights, lists).as_deref(), Some(expected));
        }
        assert_eq!(message(&[0.0, 0.5], 2), None);
    }

    #[test]
    fn a_branchs_weight_holds_for_all_its_sub_queries() {
        let spread = spread_over_branches(&[2.0, 1.0], 6).unwrap();
        assert_eq!(spread, [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]);
        assert!(spread_over_branches(&[2.0, 1.0], 5).is_err());
        assert!(spread_over_branches(&[], 5).is_err());
    }
}
