//! `Fusion` and the native mergers.
#![allow(clippy::unwrap_used, reason = "a helper is not seen as a test")]

mod common;

use std::sync::Arc;

use common::{Home, ask, ids};
use routir_core::{ErrorCode, FuseRequest, Hit, Ranking, Roles};
use routir_engines::builtin_mergers;
use serde_json::{Value, json};

fn home() -> Home {
    Home::new()
        .file("topics.tsv", "1\tq\n2\tonly first\n")
        .file("other.tsv", "1\tq\n")
        .file(
            "a.txt",
            "1 Q0 x 1 10 a\n1 Q0 y 2 9 a\n1 Q0 v 3 1 a\n2 Q0 x 1 1 a\n",
        )
        .file("b.txt", "1 Q0 y 1 5 b\n1 Q0 z 2 4 b\n")
}

fn upstreams() -> Value {
    json!([
        {"engine": "TrecRun", "config": {"run": "a.txt", "topics": "topics.tsv"}},
        {"engine": "TrecRun", "config": {"run": "b.txt", "topics": "other.tsv"}},
    ])
}

async fn search(config: Value, query: &str, limit: usize) -> routir_core::Result<Ranking> {
    let engine = home().build("Fusion", &config).unwrap().search.unwrap();
    engine.search(vec![ask(query, limit)]).await.remove(0)
}

#[tokio::test]
async fn searches_its_upstreams_and_fuses() {
    let rrf = search(json!({"upstream_service": upstreams()}), "q", 10)
        .await
        .unwrap();
    assert_eq!(rrf.hits()[0], Hit::new("y", 1.5));
    assert_eq!(ids(&rrf), ["y", "x", "z", "v"]);

    let config = json!({"upstream_service": upstreams(), "fusion_method": "score"});
    let sum = search(config, "q", 10).await.unwrap();
    assert_eq!(sum.hits()[0], Hit::new("y", 14.0));

    // Each upstream is asked for as many as are wanted: y is then unknown to the first.
    let cut = search(json!({"upstream_service": upstreams()}), "q", 1)
        .await
        .unwrap();
    assert_eq!(cut.hits(), [Hit::new("x", 1.0)]);

    let args = json!({"smoothing_k": 60});
    let config =
        json!({"upstream_service": upstreams(), "fusion_method": "RRF", "fusion_args": args});
    let smooth = search(config, "q", 10).await.unwrap();
    assert!((smooth.hits()[0].score - (1.0 / 61.0 + 1.0 / 62.0)).abs() < 1e-12);
}

#[tokio::test]
async fn one_upstream_may_be_given_without_a_list_and_fusions_nest() {
    let inner = json!({"engine": "Fusion", "config": {"upstream_service": upstreams()}});
    let ranking = search(json!({"upstream_service": inner}), "q", 2)
        .await
        .unwrap();
    assert_eq!(ids(&ranking), ["y", "x"]);
}

#[tokio::test]
async fn a_request_that_an_upstream_refuses_fails_alone() {
    let engine = home()
        .build("Fusion", &json!({"upstream_service": upstreams()}))
        .unwrap()
        .search
        .unwrap();
    let answers = engine
        .search(vec![ask("q", 10), ask("only first", 10), ask("q", 2)])
        .await;
    assert_eq!(answers[0].as_ref().unwrap().len(), 4);
    assert_eq!(
        answers[1].as_ref().unwrap_err().code(),
        ErrorCode::InvalidArgument
    );
    assert_eq!(ids(answers[2].as_ref().unwrap()), ["y", "x"]);
}

#[test]
fn what_it_does_not_understand_is_refused() {
    let refusal = |config: Value| home().refusal("Fusion", &config);
    let missing = refusal(json!({"fusion_method": "rrf"}));
    assert_eq!(
        missing,
        "service `svc` (engine Fusion): `upstream_service` is missing; unknown `fusion_method` `rrf`; \
         did you mean `RRF`?"
    );
    let inside =
        refusal(json!({"upstream_service": [upstreams()[0], {"engine": "TrecRun", "config": {}}]}));
    assert!(
        inside.contains("`upstream_service` 2: service `svc` (engine TrecRun): `run` is missing"),
        "{inside}"
    );
    let args = refusal(json!({"upstream_service": upstreams(), "fusion_args": {"rrf_kk": 1}}));
    assert!(
        args.contains("`fusion_args`: unknown parameter `rrf_kk`; did you mean `rrf_k`?"),
        "{args}"
    );
    let weights = json!({"weights": [1, 2, 3]});
    let weights = refusal(
        json!({"upstream_service": upstreams(), "fusion_method": "score", "fusion_args": weights}),
    );
    assert!(weights.contains("`fusion_args`"), "{weights}");
    let role = refusal(json!({"upstream_service": {"engine": "RRF"}}));
    assert!(role.contains("engine `RRF` does not search"), "{role}");
}

async fn fuse(roles: &Roles, params: Value) -> Ranking {
    let list = |hits: &[(&str, f64)]| {
        let hits = hits
            .iter()
            .map(|(id, score)| Hit::new(*id, *score))
            .collect();
        Arc::new(Ranking::from_hits(hits).unwrap())
    };
    let request = FuseRequest {
        query: "q".into(),
        rankings: vec![list(&[("x", 2.0), ("y", 1.0)]), list(&[("y", 1.0)])],
        sources: Vec::new(),
        sub_queries: None,
        limit: Some(1),
        params: common::params(&params),
        context: Arc::default(),
    };
    roles.fuse.as_ref().unwrap().fuse(request).await.unwrap()
}

#[tokio::test]
async fn mergers_are_services_and_engines_with_defaults() {
    let mergers = builtin_mergers();
    let (_, rrf) = mergers.iter().find(|(name, _)| *name == "RRF").unwrap();
    assert!(mergers.iter().any(|(name, _)| *name == "ScoreFusion"));
    assert_eq!(fuse(rrf, json!({})).await.hits(), [Hit::new("y", 1.5)]);

    let set = home().build("RRF", &json!({"rrf_k": 1})).unwrap();
    assert_eq!(
        fuse(&set, json!({})).await.hits()[0].score,
        1.0 / 3.0 + 1.0 / 2.0
    );
    assert_eq!(fuse(&set, json!({"rrf_k": 0})).await.hits()[0].score, 1.5);
    let wrong = home().refusal("RRF", &json!({"rrf_k": "many"}));
    assert!(wrong.contains("`rrf_k` must be a number"), "{wrong}");
}
