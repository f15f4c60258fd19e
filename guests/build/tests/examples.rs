//! The example guests that are more than a formula, against a runtime that answers from a few
//! canned documents.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;

use common::Runtime;
use routir_core::{
    DecomposeEngine, DecomposeRequest, ErrorCode, FuseRequest, FuseSource, Hit, Ranking,
    RequestContext, Result, SearchRequest,
};
use serde_json::{Value, json};

fn context() -> Arc<RequestContext> {
    Arc::new(RequestContext::new("examples"))
}

fn ranking(hits: &[(&str, f64)]) -> Arc<Ranking> {
    let hits = hits
        .iter()
        .map(|(id, score)| Hit::new(*id, *score))
        .collect();
    Arc::new(Ranking::from_hits(hits).unwrap())
}

fn shown(ranking: &Ranking) -> Vec<(&str, f64)> {
    let hits = ranking.hits().iter();
    hits.map(|hit| (hit.doc.as_str(), hit.score)).collect()
}

async fn fused(params: Value) -> Option<Result<Ranking>> {
    let roles = common::roles("learned-fusion", Arc::default(), Value::Null).await?;
    let source = |stage: &str| FuseSource {
        stage: stage.into(),
        query: "q".into(),
    };
    let request = FuseRequest {
        query: "q".into(),
        rankings: vec![
            ranking(&[("a", 30.0), ("b", 20.0), ("c", 10.0)]),
            ranking(&[("c", 0.9), ("a", 0.5)]),
        ],
        sources: vec![source("bm25"), source("dense")],
        sub_queries: None,
        limit: None,
        params: common::params(params),
        context: context(),
    };
    Some(roles.fuse.unwrap().fuse(request).await)
}

#[tokio::test]
async fn learned_fusion_weighs_normalised_scores_by_source() {
    let weights = json!({"weights": {"bm25": 0.25, "dense": 0.75}});
    let Some(answer) = fused(weights).await else {
        return;
    };
    assert_eq!(
        shown(&answer.unwrap()),
        [("c", 0.75), ("a", 0.25), ("b", 0.125)]
    );
    // The same weights by branch, and scores as they are.
    let raw = json!({"weights": [1, 10], "normalisation": "none", "missing": "zero"});
    let answer = fused(raw).await.unwrap().unwrap();
    assert_eq!(shown(&answer), [("a", 35.0), ("b", 20.0), ("c", 19.0)]);
}

#[tokio::test]
async fn learned_fusion_refuses_what_makes_no_sense() {
    for (params, message) in [
        (json!({}), "`weights` is needed"),
        (
            json!({"weights": "much"}),
            "`weights` must be numbers by source",
        ),
        (json!({"weights": [1, 2, 3]}), "`weights` has 3 for 2 lists"),
        (
            json!({"weights": [1, 2], "missing": "max"}),
            "`missing` must be min or zero",
        ),
    ] {
        let Some(answer) = fused(params).await else {
            return;
        };
        let error = answer.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.to_string().contains(message), "{error}");
    }
}

async fn decomposed(
    engine: &dyn DecomposeEngine,
    query: &str,
    limit: Option<usize>,
    params: Value,
) -> Result<Vec<Arc<str>>> {
    let request = DecomposeRequest {
        query: query.into(),
        limit,
        params: common::params(params),
        context: context(),
    };
    engine.decompose(vec![request]).await.remove(0)
}

#[tokio::test]
async fn rules_split_questions_and_conjunctions() {
    let Some(roles) = common::roles("rules-decomposer", Arc::default(), Value::Null).await else {
        return;
    };
    let engine = roles.decompose.unwrap();
    for (query, limit, params, expected) in [
        (
            "who wrote Faust and when was it printed?",
            None,
            json!({}),
            &[
                "who wrote Faust and when was it printed?",
                "who wrote Faust",
                "when was it printed",
            ][..],
        ),
        ("sand castles", None, json!({}), &["sand castles"]),
        (
            "cats, big dogs as well as small birds",
            None,
            json!({"keep_original": false}),
            &["cats", "big dogs", "small birds"],
        ),
        (
            "salt and pepper of the sea",
            None,
            json!({"min_words": 1, "keep_original": false}),
            &["salt", "pepper of the sea"],
        ),
        (
            "a dog; a cat; a bird",
            Some(2),
            json!({}),
            &["a dog; a cat; a bird", "a dog"],
        ),
    ] {
        let parts = decomposed(engine.as_ref(), query, limit, params)
            .await
            .unwrap();
        let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
        assert_eq!(parts, expected, "{query}");
    }
}

fn library() -> Arc<Runtime> {
    Arc::new(Runtime {
        rankings: [
            ("bm25", vec![("d1", 9.0), ("d2", 8.5), ("d3", 1.0)]),
            ("dense", vec![("d3", 0.9), ("d4", 0.8), ("d1", 0.7)]),
            ("nothing", vec![]),
        ]
        .into(),
        texts: [
            (
                "d1",
                "solar panels turn sunlight into current; panels need an inverter",
            ),
            ("d2", "an inverter joins panels to the grid"),
            ("d3", "gardens"),
        ]
        .into(),
        scores: [("d1", 0.1), ("d2", 0.4), ("d3", 0.3), ("d4", 0.2)].into(),
        ..Runtime::default()
    })
}

#[tokio::test]
async fn feedback_searches_first_and_expands_with_what_it_found() {
    let runtime = library();
    let params = json!({"service": "bm25", "collection": "docs", "documents": 2, "terms": 2});
    let roles = common::roles("prf-decomposer", Arc::clone(&runtime), params).await;
    let Some(roles) = roles else {
        return;
    };
    let engine = roles.decompose.unwrap();
    let queries = decomposed(engine.as_ref(), "solar roofs", None, json!({}))
        .await
        .unwrap();
    assert_eq!(queries[0].as_ref(), "solar roofs");
    assert_eq!(queries[1].as_ref(), "solar roofs panels inverter");
    assert_eq!(queries.len(), 2);
    let calls = runtime.calls.lock().unwrap().clone();
    assert_eq!(calls, ["search bm25 \"solar roofs\" 2", "content docs"]);

    // Nothing found: the query alone. A service that is not there: the host's own error.
    let other = |service: &str| json!({ "service": service });
    let alone = decomposed(engine.as_ref(), "x", None, other("nothing"))
        .await
        .unwrap();
    assert_eq!(alone.len(), 1);
    let error = decomposed(engine.as_ref(), "x", None, other("bm52"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("there is no service `bm52`"),
        "{error}"
    );
    let error = decomposed(engine.as_ref(), "x", None, json!({"query_weight": 2})).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn two_stages_search_at_once_and_rerank_the_best() {
    let runtime = library();
    let params = json!({
        "first": "bm25", "second": "dense", "reranker": "cross", "collection": "docs", "rerank": 3
    });
    let roles = common::roles("two-stage-engine", Arc::clone(&runtime), params).await;
    let Some(roles) = roles else {
        return;
    };
    let search = async |limit, params| {
        let request = SearchRequest {
            query: "solar".into(),
            limit,
            params: common::params(params),
            context: context(),
        };
        let engine = roles.search.as_ref().unwrap();
        engine.search(vec![request]).await.remove(0)
    };
    // By reciprocal ranks d3 and d1 lead; d2 is ahead of d4 by its id.
    let found = search(2, json!({"depth": 3})).await.unwrap();
    assert_eq!(shown(&found), [("d2", 0.4), ("d3", 0.3)]);
    let calls = runtime.calls.lock().unwrap().clone();
    assert_eq!(
        calls,
        [
            "search bm25 \"solar\" 3 | dense \"solar\" 3",
            "score cross d1 d3 d2"
        ]
    );
    // What was not reranked follows, below the worst that was.
    let found = search(10, json!({})).await.unwrap();
    assert_eq!(
        shown(&found),
        [("d2", 0.4), ("d3", 0.3), ("d1", 0.1), ("d4", 0.1 - 1.0)]
    );
    let error = search(10, json!({"second": "bm52"})).await.unwrap_err();
    assert!(
        error.to_string().contains("there is no service `bm52`"),
        "{error}"
    );
    let error = search(10, json!({"second": ""})).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}
