//! Fusions: what they are given, and what becomes of what they answer.

mod common;

use std::sync::Arc;

use common::{Guest, House, fuse, fuse_request, fuse_with, limits, owned, params, two_lists};
use proptest::prelude::*;
use routir_core::{ErrorCode, Hit, ParamsSpec, Ranking};
use serde_json::json;

#[tokio::test]
async fn reciprocal_ranks_give_the_expected_ranking() {
    let house = House::new();
    let roles = house.roles(Guest::rrf()).await;
    let expected = [
        ("a", 1.0 / 61.0 + 1.0 / 62.0),
        ("c", 1.0 / 63.0 + 1.0 / 61.0),
        ("b", 1.0 / 62.0),
        ("d", 1.0 / 63.0),
    ];
    assert_eq!(fuse(&roles).await.unwrap(), owned(&expected));
    assert!(roles.search.is_none() && roles.score.is_none() && roles.decompose.is_none());
    house.holds_nothing(None).await;
}

#[tokio::test]
async fn the_host_sorts_breaks_ties_and_cuts() {
    let house = House::new();
    let roles = house.roles(Guest::answers(&[1.0, 2.0, 1.0, 1.0])).await;
    let mut request = fuse_request(two_lists(), json!({}));
    let all = fuse_with(&roles, request.clone()).await.unwrap();
    assert_eq!(
        all,
        owned(&[("b", 2.0), ("a", 1.0), ("c", 1.0), ("d", 1.0)])
    );
    request.limit = Some(2);
    let best = fuse_with(&roles, request).await.unwrap();
    assert_eq!(best, owned(&[("b", 2.0), ("a", 1.0)]));
}

#[tokio::test]
async fn negative_infinity_leaves_a_document_out() {
    let house = House::new();
    let scores = [1.0, f64::NEG_INFINITY, 2.0, f64::NEG_INFINITY];
    let roles = house.roles(Guest::answers(&scores)).await;
    assert_eq!(
        fuse(&roles).await.unwrap(),
        owned(&[("c", 2.0), ("a", 1.0)])
    );
}

#[tokio::test]
async fn a_call_goes_over_the_service_over_the_manifest() {
    let house = House::new();
    let one = || vec![common::ranking(&[("a", 1.0)])];
    let first = |k: f64| owned(&[("a", 1.0 / (k + 1.0))]);
    let spec = |value| move |spec: &mut routir_sandbox::ExtensionSpec| spec.params = params(value);
    let plain = house.roles(Guest::rrf()).await;
    let set = house
        .changed(&limits(), Guest::rrf(), spec(json!({"k": 9})))
        .await;
    let ask = async |roles: &_, call| fuse_with(roles, fuse_request(one(), call)).await;
    assert_eq!(ask(&plain, json!({})).await.unwrap(), first(60.0));
    assert_eq!(ask(&set, json!({})).await.unwrap(), first(9.0));
    assert_eq!(ask(&set, json!({"k": 1})).await.unwrap(), first(1.0));
    assert_eq!(ask(&set, json!({"k": null})).await.unwrap(), first(9.0));

    let error = ask(&set, json!({"kk": 1})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    let wrong = house
        .changed(&limits(), Guest::rrf(), spec(json!({"k": "many"})))
        .await;
    let error = ask(&wrong, json!({})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains("acme/test"), "{error}");

    let ParamsSpec::Known(known) = plain.fuse.unwrap().params() else {
        panic!("open")
    };
    assert_eq!(known.len(), 1);
}

#[tokio::test]
async fn nothing_to_fuse_asks_nobody() {
    let house = House::new();
    let tried = "(if (i32.eq (local.get $ql) (i32.const 1)) (then unreachable))";
    let answer = "(call $ok (call $alloc (i32.const 64)) (local.get $docs))";
    let roles = house
        .roles(Guest::fusion(&format!("{tried} {answer}")))
        .await;
    assert!(fuse(&roles).await.is_err());
    let request = fuse_request(vec![common::ranking(&[])], json!({}));
    assert_eq!(fuse_with(&roles, request).await.unwrap(), owned(&[]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn as_native_fusion_whatever_the_lists(
        lists in prop::collection::vec(prop::collection::btree_set(0_u16..300, 0..200), 1..5),
        limit in prop::option::of(0_usize..300),
    ) {
        let rankings: Vec<_> = lists
            .iter()
            .map(|ids| {
                // Spread, so that lists are in different orders.
                let score = |id: u16| f64::from(id.wrapping_mul(25_173) % 997);
                let hits = ids.iter().map(|id| Hit::new(format!("d{id}"), score(*id)));
                Arc::new(Ranking::from_hits(hits.collect()).unwrap())
            })
            .collect();
        let mut sums: Vec<(String, f64)> = Vec::new();
        for ranking in &rankings {
            for (rank, hit) in (1..).zip(ranking.hits()) {
                let part = 1.0 / (60.0 + f64::from(rank));
                match sums.iter_mut().find(|(id, _)| *id == hit.doc.as_str()) {
                    Some((_, sum)) => *sum += part,
                    None => sums.push((hit.doc.to_string(), part)),
                }
            }
        }
        sums.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        sums.truncate(limit.unwrap_or(usize::MAX));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let fused = runtime.block_on(async {
            let house = House::new();
            let roles = house.roles(Guest::rrf()).await;
            let mut request = fuse_request(rankings, json!({}));
            request.limit = limit;
            fuse_with(&roles, request).await.unwrap()
        });
        prop_assert_eq!(fused, sums);
    }
}
