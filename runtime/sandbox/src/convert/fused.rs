//! What a fusion answers: one score per handle, made a ranking.

use routir_core::{DocId, Hit, Ranking};

use super::{Candidates, Checked, said};

/// The `limit` best documents by a fusion's scores; those of negative infinity are left out.
pub(crate) fn fused(
    scores: &[f64],
    candidates: &Candidates,
    limit: Option<usize>,
) -> Checked<Ranking> {
    let (given, documents) = (scores.len(), candidates.len());
    if given != documents {
        return Err(format!("answered {given} scores for {documents} documents"));
    }
    let mut order = Vec::with_capacity(given);
    for (handle, score) in (0_u32..).zip(scores) {
        if score.is_finite() {
            order.push((falling_key(score + 0.0), handle));
        } else if *score != f64::NEG_INFINITY {
            let doc = candidates.doc(handle).map_or("", DocId::as_str);
            return Err(format!(
                "gave document `{}` (handle {handle}) the score {score}, which is not a finite \
                 number",
                said(&routir_core::shorten(doc))
            ));
        }
    }
    keep_best(&mut order, limit.unwrap_or(usize::MAX), candidates);
    let hits = order.into_iter().filter_map(|(key, handle)| {
        let doc = candidates.doc(handle)?.clone();
        let score = score_of(key);
        Some(Hit { doc, score })
    });
    // All scores are finite, so this cannot fail; if it did, its words would do.
    Ranking::from_hits(hits.collect()).map_err(|error| format!("answered no ranking: {error}"))
}

/// Sorts by key, then document, and keeps the first `limit`. Selects before it sorts.
fn keep_best(order: &mut Vec<(u64, u32)>, limit: usize, candidates: &Candidates) {
    if limit == 0 {
        order.clear();
    } else if limit < order.len() {
        let (_, &mut (worst, _), _) = order.select_nth_unstable_by_key(limit - 1, |(key, _)| *key);
        // What ties with the last place may stand on either side of it.
        order.retain(|(key, _)| *key <= worst);
    }
    order.sort_unstable_by_key(|(key, _)| *key);
    for ties in order.chunk_by_mut(|(a, _), (b, _)| a == b) {
        if ties.len() > 1 {
            ties.sort_unstable_by_key(|(_, handle)| candidates.doc(*handle));
        }
    }
    order.truncate(limit);
}

const SIGN: u64 = 1 << 63;

/// A key that grows as a finite score falls, so that scores sort as whole numbers.
fn falling_key(score: f64) -> u64 {
    let bits = score.to_bits();
    if bits & SIGN == 0 {
        !(bits | SIGN)
    } else {
        bits
    }
}

fn score_of(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key & !SIGN } else { key })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::candidates::tests::ranking;
    use super::*;

    fn candidates(ids: &[&str]) -> Candidates {
        let hits: Vec<_> = ids.iter().map(|id| (*id, 1.0)).collect();
        // One list per document keeps handles in the order given.
        let lists = hits.iter().map(|hit| ranking(std::slice::from_ref(hit)));
        Candidates::new(lists.collect()).unwrap().0
    }

    fn answer(scores: &[f64], limit: Option<usize>) -> Checked<Vec<(String, f64)>> {
        let ids: Vec<String> = (0..scores.len()).map(|n| format!("d{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let ranking = fused(scores, &candidates(&ids), limit)?;
        let pairs = ranking.into_hits().into_iter();
        Ok(pairs.map(|hit| (hit.doc.to_string(), hit.score)).collect())
    }

    #[test]
    fn exactly_one_score_per_document() {
        let of = candidates(&["a", "b"]);
        for wrong in [vec![], vec![1.0], vec![1.0; 3]] {
            let error = fused(&wrong, &of, None).unwrap_err();
            let expected = format!("answered {} scores for 2 documents", wrong.len());
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn refuses_what_is_no_number() {
        for bad in [f64::NAN, f64::INFINITY] {
            let error = answer(&[0.0, bad], Some(1)).unwrap_err();
            assert!(error.contains("`d1` (handle 1) the score"), "{error}");
        }
    }

    #[test]
    fn negative_infinity_leaves_out() {
        let kept = answer(&[f64::NEG_INFINITY, 2.0, f64::NEG_INFINITY], None).unwrap();
        assert_eq!(kept, [("d1".to_owned(), 2.0)]);
        assert!(answer(&[f64::NEG_INFINITY], Some(5)).unwrap().is_empty());
    }

    #[test]
    fn ties_go_by_document_also_at_the_cut_and_zeros_are_one_score() {
        let of = candidates(&["z", "y", "x", "w"]);
        let ranking = fused(&[0.0, -0.0, 0.0, 1.0], &of, Some(3)).unwrap();
        let order: Vec<_> = ranking.hits().iter().map(|hit| hit.doc.as_str()).collect();
        assert_eq!(order, ["w", "x", "y"]);
    }

    proptest! {
        #[test]
        fn as_if_all_had_been_sorted(
            scores in prop::collection::vec(
                prop_oneof![(-3_i8..3).prop_map(f64::from), -1e300..1e300, Just(f64::NEG_INFINITY)],
                0..40,
            ),
            limit in prop::option::of(0_usize..45),
        ) {
            let kept = answer(&scores, limit).unwrap();
            let hits = scores.iter().enumerate().filter(|(_, score)| score.is_finite());
            let hits = hits.map(|(n, score)| Hit::new(format!("d{n}"), *score)).collect();
            let all = Arc::new(Ranking::top(hits, limit.unwrap_or(usize::MAX)).unwrap());
            let all: Vec<_> = all.hits().iter().map(|hit| (hit.doc.to_string(), hit.score)).collect();
            prop_assert_eq!(kept, all);
        }
    }
}
