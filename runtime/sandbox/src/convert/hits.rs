//! Hits that a guest finds.

use hashbrown::{DefaultHashBuilder, HashSet};
use routir_core::{Hit, Ranking, shorten};

use super::Checked;
use super::limits::MAX_ID;
use super::said;
use crate::bindings::types;

/// The `limit` best of what a guest found: every id once, none empty or endless, every score
/// finite.
pub(crate) fn hits(found: types::Hits, limit: usize) -> Checked<Ranking> {
    let types::Hits { ids, scores } = found;
    if ids.len() != scores.len() {
        let (ids, scores) = (ids.len(), scores.len());
        return Err(format!("answered {ids} ids with {scores} scores"));
    }
    check_ids(&ids)?;
    let hits = ids.into_iter().zip(scores).map(|(id, score)| {
        if score.is_finite() {
            Ok(Hit::new(id, score))
        } else {
            Err(format!(
                "gave document `{}` the score {score}, which is not a finite number",
                shown(&id)
            ))
        }
    });
    let hits = hits.collect::<Checked<Vec<_>>>()?;
    // All scores are finite, so this cannot fail; if it did, its words would do.
    Ranking::top(hits, limit).map_err(|error| format!("answered no ranking: {error}"))
}

fn check_ids(ids: &[String]) -> Checked<()> {
    let hasher = DefaultHashBuilder::default();
    let mut seen = HashSet::with_capacity_and_hasher(ids.len(), hasher);
    for (place, id) in (1..).zip(ids) {
        if id.is_empty() {
            return Err(format!("answered an empty document id (hit {place})"));
        }
        if id.len() > MAX_ID {
            return Err(format!(
                "answered a document id of {} bytes (hit {place}); the most is {MAX_ID}",
                id.len()
            ));
        }
        if !seen.insert(id.as_str()) {
            return Err(format!("answered document `{}` twice", shown(id)));
        }
    }
    Ok(())
}

fn shown(id: &str) -> String {
    said(&shorten(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ids: &[&str], scores: &[f64]) -> types::Hits {
        types::Hits {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            scores: scores.to_vec(),
        }
    }

    fn refusal(ids: &[&str], scores: &[f64]) -> String {
        hits(found(ids, scores), 10).unwrap_err()
    }

    #[test]
    fn orders_and_cuts() {
        let ranking = hits(found(&["c", "b", "a"], &[1.0, 2.0, 1.0]), 2).unwrap();
        let order: Vec<_> = ranking.hits().iter().map(|hit| hit.doc.as_str()).collect();
        assert_eq!(order, ["b", "a"]);
        assert!(hits(found(&[], &[]), 10).unwrap().is_empty());
        assert!(hits(found(&["a"], &[1.0]), 0).unwrap().is_empty());
    }

    #[test]
    fn columns_are_of_one_length() {
        assert_eq!(refusal(&["a"], &[]), "answered 1 ids with 0 scores");
        assert_eq!(refusal(&["a"], &[1.0, 2.0]), "answered 1 ids with 2 scores");
    }

    #[test]
    fn every_document_once() {
        let error = refusal(&["a", "b", "a"], &[1.0, 2.0, 3.0]);
        assert_eq!(error, "answered document `a` twice");
    }

    #[test]
    fn ids_are_neither_empty_nor_endless() {
        let error = refusal(&["a", ""], &[1.0, 1.0]);
        assert_eq!(error, "answered an empty document id (hit 2)");
        let error = refusal(&[&"x".repeat(MAX_ID + 1)], &[1.0]);
        assert!(
            error.contains("4097 bytes (hit 1); the most is 4096"),
            "{error}"
        );
        assert!(hits(found(&[&"x".repeat(MAX_ID)], &[1.0]), 1).is_ok());
    }

    #[test]
    fn scores_are_finite() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = refusal(&["a", "b\n"], &[1.0, bad]);
            assert!(error.starts_with("gave document `b` the score"), "{error}");
        }
    }
}
