//! Scores that a guest gives to passages.

use super::Checked;

/// One finite score per passage.
pub(crate) fn scores(scores: Vec<f64>, passages: usize) -> Checked<Vec<f64>> {
    if scores.len() != passages {
        let given = scores.len();
        return Err(format!("answered {given} scores for {passages} passages"));
    }
    match scores.iter().position(|score| !score.is_finite()) {
        Some(place) => {
            let score = scores.get(place).copied().unwrap_or(f64::NAN);
            Err(format!(
                "gave passage {} the score {score}, which is not a finite number",
                place + 1
            ))
        }
        None => Ok(scores),
    }
}

#[cfg(test)]
mod tests {
    use super::scores;

    #[test]
    fn one_finite_score_per_passage() {
        assert_eq!(scores(vec![1.0, -2.5], 2).unwrap(), [1.0, -2.5]);
        assert_eq!(scores(vec![], 0).unwrap(), [0.0; 0]);
        let short = scores(vec![1.0], 2).unwrap_err();
        assert_eq!(short, "answered 1 scores for 2 passages");
        let long = scores(vec![1.0; 3], 2).unwrap_err();
        assert_eq!(long, "answered 3 scores for 2 passages");
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = scores(vec![1.0, bad], 2).unwrap_err();
            assert!(error.starts_with("gave passage 2 the score"), "{error}");
        }
    }
}
