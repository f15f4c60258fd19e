//! Engine names, and `TokenOverlap`.

mod common;

use common::Home;
use routir_core::{ErrorCode, Params, ScoreRequest};
use serde_json::json;

#[test]
fn unknown_engines_are_refused_with_the_way_on() {
    let home = Home::new();
    let refusal = |engine| home.build(engine, &json!({})).map(|_| ()).unwrap_err();
    let typo = refusal("BM52");
    assert_eq!(typo.code(), ErrorCode::UnknownName);
    assert_eq!(
        typo.message(),
        "service `svc`: unknown engine `BM52`; did you mean `BM25`?"
    );
    assert!(
        refusal("Unheard")
            .message()
            .contains("known: BM25, TrecRun, Fusion, TokenOverlap, ")
    );
    for (engine, way) in [
        ("PyseriniBM25", "`BM25`"),
        ("LLMEngine", "`TrecRun`"),
        ("Rank1Engine", "not built yet"),
    ] {
        let error = refusal(engine);
        assert_eq!(error.code(), ErrorCode::Unsupported, "{error}");
        assert!(error.message().contains(way), "{error}");
    }
}

#[tokio::test]
async fn token_overlap_scores_passages_in_their_order() {
    let engine = Home::new()
        .build("TokenOverlap", &json!({}))
        .unwrap()
        .score
        .unwrap();
    let request = |query: &str, passages: &[&str]| ScoreRequest {
        query: query.into(),
        passages: passages.iter().map(|text| (*text).into()).collect(),
        params: Params::default(),
        context: Default::default(),
    };
    let passages = [
        "nothing",
        "Computers",
        "computer memories",
        "memory memory computing computer",
        "",
    ];
    let batch = vec![
        request("the computer's memory", &passages),
        request("the", &["the"]),
        request("x", &[]),
    ];
    let answers = engine.score(batch).await;
    let scores = answers[0].as_ref().unwrap();
    assert_eq!(scores[..3], [0.0, 0.25, 0.5]);
    assert!((scores[3] - 2.0 / 3.0).abs() < 1e-12, "{scores:?}");
    assert_eq!(scores[4], 0.0);
    assert_eq!(answers[1].as_ref().unwrap(), &[0.0]);
    assert!(answers[2].as_ref().unwrap().is_empty());
    let refused = Home::new().refusal("TokenOverlap", &json!({"k1": 1}));
    assert!(
        refused.contains("unknown key `k1` in `config`; it takes none"),
        "{refused}"
    );
}
