//! Scored documents, best first.

use std::cmp::Ordering;

use crate::{DocId, Error, ErrorCode, Result};

/// One scored document of a ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The document.
    pub doc: DocId,
    /// Its score: finite, higher is better.
    pub score: f64,
}

impl Hit {
    /// A hit of `doc` with `score`.
    pub fn new(doc: impl Into<DocId>, score: f64) -> Self {
        Self {
            doc: doc.into(),
            score,
        }
    }

    /// The total order of a ranking: score descending, then document id ascending.
    #[must_use]
    pub fn rank_order(&self, other: &Self) -> Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then_with(|| self.doc.cmp(&other.doc))
    }
}

/// Hits in total order (score descending, then document id ascending), all scores finite.
///
/// The only ways in check or establish the order, so a reader may rely on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking(Vec<Hit>);

impl Ranking {
    /// Orders `hits`. A NaN or infinite score is an engine's mistake, not an order.
    ///
    /// # Errors
    /// [`ErrorCode::EngineFailure`] naming the first document whose score is not finite.
    pub fn from_hits(mut hits: Vec<Hit>) -> Result<Self> {
        for hit in &mut hits {
            if !hit.score.is_finite() {
                return Err(Error::new(
                    ErrorCode::EngineFailure,
                    format!(
                        "the score of document `{}` is {}, not a finite number",
                        hit.doc, hit.score
                    ),
                ));
            }
            // -0.0 and 0.0 are one score on every wire, so they must not order documents.
            hit.score += 0.0;
        }
        if !hits.is_sorted_by(|a, b| a.rank_order(b) != Ordering::Greater) {
            hits.sort_unstable_by(Hit::rank_order);
        }
        Ok(Self(hits))
    }

    /// As [`Ranking::from_hits`], keeping only the `limit` best.
    ///
    /// # Errors
    /// As [`Ranking::from_hits`].
    pub fn top(hits: Vec<Hit>, limit: usize) -> Result<Self> {
        let mut ranking = Self::from_hits(hits)?;
        ranking.truncate(limit);
        Ok(ranking)
    }

    /// The hits, best first.
    #[must_use]
    pub fn hits(&self) -> &[Hit] {
        &self.0
    }

    /// The hits, best first, owned.
    #[must_use]
    pub fn into_hits(self) -> Vec<Hit> {
        self.0
    }

    /// How many hits there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the `limit` best.
    pub fn truncate(&mut self, limit: usize) {
        self.0.truncate(limit);
    }
}

impl<'a> IntoIterator for &'a Ranking {
    type Item = &'a Hit;
    type IntoIter = std::slice::Iter<'a, Hit>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_by_score_then_document() {
        let hits = vec![Hit::new("b", 1.0), Hit::new("c", 2.0), Hit::new("a", 1.0)];
        let ranking = Ranking::from_hits(hits).unwrap();
        let ids: Vec<_> = ranking.hits().iter().map(|h| h.doc.as_str()).collect();
        assert_eq!(ids, ["c", "a", "b"]);
    }

    #[test]
    fn negative_zero_does_not_order() {
        let ranking = Ranking::from_hits(vec![Hit::new("b", 0.0), Hit::new("a", -0.0)]).unwrap();
        assert_eq!(ranking.hits()[0].doc.as_str(), "a");
    }

    #[test]
    fn a_score_that_is_no_number_is_the_engines_failure() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = Ranking::from_hits(vec![Hit::new("d1", bad)]).unwrap_err();
            assert_eq!(error.code(), ErrorCode::EngineFailure);
            assert!(error.to_string().contains("`d1`"), "{error}");
        }
    }
}
