//! Engine names, and `TokenOverlap`.

mod common;

use common::Home;
use routir_core::{ErrorCode, Params, ScoreRequest};
use routir_engines::engine_names;
use serde_json::{Value, json};

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
    // Extensions are built elsewhere, and are engines to whoever writes a configuration.
    assert_eq!(
        refusal("Extention").message(),
        "service `svc`: unknown engine `Extention`; did you mean `Extension`?"
    );
    let upstream = refusal("Extension");
    assert!(
        upstream.message().contains("a service of its own"),
        "{upstream}"
    );
}

/// What becomes of an engine's name in a file of RoutIR's.
enum Fate {
    /// It is here, with these roles where its configuration is as simple as can be.
    Works(&'static str, Value),
    /// It is refused with advice that says this.
    Refused(&'static str),
}

/// Every engine name that RoutIR and its examples know, and what it is here.
#[test]
fn every_engine_of_routir_works_or_is_refused_with_the_way_on() {
    use Fate::{Refused, Works};
    let model = json!({"model_name_or_path": "model"});
    let llm = json!({"model_name_or_path": "m", "server_endpoint": "http://h/v1"});
    let run = json!({"run": "run.txt", "topics": "topics.tsv"});
    let fusion = json!({"upstream_service": [{"engine": "TrecRun", "config": run}]});
    let embeddings = json!({"embedding_base_url": "http://h/v1", "embedding_model_name": "e"});
    let reranks = |config: &Value| {
        let mut config = config.clone();
        let more = json!({
            "upstream_service": {"engine": "TrecRun", "config": run},
            "text_service": {"collection": "docs"}, "rerank_topk_max": 50, "rerank_multiplier": 2.5,
        });
        let more = more.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(more);
        config
    };
    let table = [
        // Its own.
        ("Fusion", Works("search", fusion)),
        ("LLMEngine", Works("score decompose", llm.clone())),
        ("LLMEngine", Works("search score decompose", reranks(&llm))),
        (
            "LSR",
            Works(
                "search",
                json!({"model_name": "model", "index_path": "lsr", "build": true}),
            ),
        ),
        ("MT5Reranker", Works("score", model.clone())),
        ("MT5Reranker", Works("search score", reranks(&model))),
        ("PLAIDX", Works("score", json!({"checkpoint": "model"}))),
        ("Qwen3", Works("score", embeddings.clone())),
        ("Qwen3Reranker", Works("score", model.clone())),
        ("Qwen3Reranker", Works("search score", reranks(&model))),
        ("RRF", Works("fuse", json!({}))),
        (
            "Relay",
            Works(
                "search score",
                json!({"service": "s", "endpoint": "http://h"}),
            ),
        ),
        ("ScoreFusion", Works("fuse", json!({}))),
        ("SentenceTransformerEngine", Works("score", embeddings)),
        (
            "SentenceTransformerEngine",
            Works("score", json!({"embedding_model_name": "model"})),
        ),
        // As its documents call one.
        ("mT5", Works("score", model.clone())),
        ("mT5", Works("search score", reranks(&model))),
        // What they are made of.
        ("Engine", Refused("`CrossEncoder`")),
        ("Reranker", Refused("`CrossEncoder`")),
        // Its examples.
        ("PyTerrier", Refused("native engine `BM25`")),
        ("PyTerrierBM25", Refused("native engine `BM25`")),
        ("PyTerrierEngine", Refused("native engine `BM25`")),
        ("PyseriniBM25", Refused("native engine `BM25`")),
        ("PyseriniEngine", Refused("native engine `BM25`")),
        ("Qwen3VllmRerankerEngine", Refused("`LLMEngine`")),
        ("Rank1Engine", Refused("`LLMEngine`")),
        // Ours, in the place of those.
        ("BM25", Works("search", json!({}))),
        ("CrossEncoder", Works("search score", reranks(&model))),
    ];
    let home = Home::new()
        .collection("docs", &[("d", "text")])
        .file("model/model.onnx", "")
        .file("model/tokenizer.json", "{}")
        .file("topics.tsv", "1\tq\n")
        .file("run.txt", "1 Q0 d 1 1 r\n");
    for (engine, fate) in table {
        match fate {
            Works(wanted, config) => {
                let roles = home.try_out(engine, &config);
                let roles = roles.unwrap_or_else(|error| panic!("{engine}: {error}"));
                let played = [
                    ("search", roles.search.is_some()),
                    ("score", roles.score.is_some()),
                    ("fuse", roles.fuse.is_some()),
                    ("decompose", roles.decompose.is_some()),
                ];
                let played = played
                    .iter()
                    .filter(|(_, plays)| *plays)
                    .map(|(role, _)| *role);
                assert_eq!(played.collect::<Vec<_>>().join(" "), wanted, "{engine}");
                assert!(engine_names().contains(&engine), "{engine}");
            }
            Refused(way) => {
                let error = home.build(engine, &json!({})).err().unwrap();
                assert_eq!(error.code(), ErrorCode::Unsupported, "{error}");
                assert!(error.message().contains(way), "{error}");
                assert!(!engine_names().contains(&engine), "{engine}");
            }
        }
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
