//! What holds for every input.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use routir_core::{Hit, Params, Ranking};
use routir_fusion::{Method, Normalisation, comb_sum, methods, rrf};

type Rankings = Vec<Arc<Ranking>>;

/// Up to six lists over few documents, so that they overlap and tie.
fn rankings() -> impl Strategy<Value = Rankings> {
    let score = prop_oneof![(-8i32..8).prop_map(f64::from), -1e3..1e3];
    let list = proptest::collection::btree_map("[a-h][0-2]?", score, 0..16);
    let ranking = list.prop_map(|hits| {
        let hits = hits
            .into_iter()
            .map(|(doc, score)| Hit::new(doc, score))
            .collect();
        Arc::new(Ranking::from_hits(hits).unwrap())
    });
    proptest::collection::vec(ranking, 0..6)
}

fn method() -> impl Strategy<Value = Method> {
    proptest::sample::select(methods()).prop_map(|info| info.method)
}

fn fused(method: Method, rankings: &Rankings, limit: Option<usize>) -> Ranking {
    method
        .fuse(rankings, false, limit, &Params::default())
        .unwrap()
}

fn rescaled(ranking: &Ranking, factor: f64, shift: f64) -> Arc<Ranking> {
    let hit = |hit: &Hit| Hit {
        doc: hit.doc.clone(),
        score: hit.score * factor + shift,
    };
    Arc::new(Ranking::from_hits(ranking.hits().iter().map(hit).collect()).unwrap())
}

fn documents<'a>(rankings: impl IntoIterator<Item = &'a Ranking>) -> BTreeSet<&'a str> {
    rankings
        .into_iter()
        .flatten()
        .map(|hit| hit.doc.as_str())
        .collect()
}

fn score(ranking: &Ranking, doc: &str) -> Option<f64> {
    ranking
        .hits()
        .iter()
        .find(|hit| hit.doc.as_str() == doc)
        .map(|hit| hit.score)
}

proptest! {
    #[test]
    fn the_documents_are_those_of_the_lists_each_once(rankings in rankings(), method in method()) {
        let fused = fused(method, &rankings, None);
        let union = documents(rankings.iter().map(|ranking| &**ranking));
        prop_assert_eq!(fused.len(), union.len());
        prop_assert_eq!(documents([&fused]), union);
    }

    #[test]
    fn the_answer_is_in_total_order(rankings in rankings(), method in method()) {
        let fused = fused(method, &rankings, None);
        prop_assert!(fused.hits().is_sorted_by(|a, b| a.rank_order(b).is_lt()));
    }

    #[test]
    fn a_limit_gives_a_prefix(rankings in rankings(), method in method(), limit in 0usize..40) {
        let mut all = fused(method, &rankings, None);
        all.truncate(limit);
        prop_assert_eq!(fused(method, &rankings, Some(limit)), all);
    }

    #[test]
    fn the_order_of_the_lists_does_not_matter_to_the_last_bit(
        (lists, shuffled) in rankings().prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle())),
        method in method(),
    ) {
        prop_assert_eq!(fused(method, &lists, None), fused(method, &shuffled, None));
    }

    #[test]
    fn equal_weights_are_no_weights(rankings in rankings(), method in method(), expanded: bool) {
        prop_assume!(!rankings.is_empty());
        let weights = vec![1.0; rankings.len()];
        let params = serde_json::json!({ "weights": weights });
        let params = Params::from(params.as_object().unwrap().clone());
        let weighted = method.fuse(&rankings, expanded, None, &params).unwrap();
        prop_assert_eq!(weighted, fused(method, &rankings, None));
    }

    #[test]
    fn rrf_sees_ranks_alone(rankings in rankings(), factor in 0.5f64..2.0) {
        let other: Rankings = rankings.iter().map(|r| rescaled(r, factor, 0.0)).collect();
        prop_assert_eq!(
            rrf(&rankings, 60.0, None, None).unwrap(),
            rrf(&other, 60.0, None, None).unwrap()
        );
    }

    #[test]
    fn rrf_rewards_a_better_rank(mut rankings in rankings(), k in 0.0f64..100.0) {
        prop_assume!(rankings.first().is_some_and(|ranking| ranking.len() >= 2));
        let before = rrf(&rankings, k, None, None).unwrap();
        let mut hits = rankings[0].hits().to_vec();
        let last = hits.last_mut().unwrap();
        let doc = last.doc.clone();
        last.score = 1e6;
        rankings[0] = Arc::new(Ranking::from_hits(hits).unwrap());
        let after = rrf(&rankings, k, None, None).unwrap();
        prop_assert!(score(&after, &doc) > score(&before, &doc));
        for hit in before.hits().iter().filter(|hit| hit.doc != doc) {
            prop_assert!(score(&after, &hit.doc).unwrap() <= hit.score);
        }
    }

    #[test]
    fn normalised_sums_do_not_see_a_lists_scale(
        rankings in rankings(),
        factor in prop_oneof![Just(0.125), Just(2.0), Just(1024.0), 0.01f64..100.0],
        shift in -100.0f64..100.0,
    ) {
        let other: Rankings = rankings.iter().map(|r| rescaled(r, factor, shift)).collect();
        for normalisation in
            [Normalisation::MinMax, Normalisation::ZScore, Normalisation::Distribution]
        {
            let ours = comb_sum(&rankings, normalisation, None, None).unwrap();
            let theirs = comb_sum(&other, normalisation, None, None).unwrap();
            for hit in &ours {
                let other = score(&theirs, &hit.doc).unwrap();
                prop_assert!((hit.score - other).abs() < 1e-6, "{}: {} {other}", hit.doc, hit.score);
            }
        }
    }

    #[test]
    fn no_scores_and_no_weights_panic(
        scores in proptest::collection::vec(any::<f64>(), 0..6),
        weights in proptest::collection::vec(any::<f64>(), 0..3),
        method in method(),
        expanded: bool,
    ) {
        let hits = scores.iter().filter(|score| score.is_finite()).enumerate();
        let hits = hits.map(|(n, score)| Hit::new(format!("d{n}"), *score)).collect();
        let ranking = Arc::new(Ranking::from_hits(hits).unwrap());
        let params = serde_json::json!({ "weights": weights, "rrf_k": 60 });
        let params = Params::from(params.as_object().unwrap().clone());
        let _ = method.fuse(&[Arc::clone(&ranking), ranking], expanded, None, &params);
    }
}
