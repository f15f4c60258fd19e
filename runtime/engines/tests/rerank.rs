//! Rerankers over tiny models with random weights, against the numbers of an independent reference.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and helpers are not seen as tests"
)]

mod common;

use common::{Home, params, score_request, tiny};
use futures_util::future::join_all;
use routir_core::{Batching, ErrorCode};
use serde_json::{Value, json};

/// Scores each pair in a request of its own, all at once, and all passages of the first query in one.
async fn compare(engine: &str, config: Value, expected: &Value, numbers: &str) {
    let home = Home::new();
    let roles = home.build(engine, &config).unwrap();
    assert!(roles.search.is_none());
    let scorer = roles.score.unwrap();
    assert_eq!(scorer.batching(), Batching::Inside);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pairs = expected["pairs"].as_array().unwrap().iter();
    let pairs: Vec<_> = pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
    let wanted = expected[numbers].as_array().unwrap().iter();
    let wanted: Vec<f64> = wanted.map(|number| number.as_f64().unwrap()).collect();
    let close = |got: f64, wanted: f64| (got - wanted).abs() < 2e-5;

    let alone = pairs
        .iter()
        .map(|(query, passage)| scorer.score(vec![score_request(query, &[passage])]));
    for ((pair, answer), wanted) in pairs.iter().zip(join_all(alone).await).zip(&wanted) {
        let got = answer[0].as_ref().unwrap()[0];
        assert!(
            close(got, *wanted),
            "{engine} {pair:?}: {got} is not {wanted}"
        );
    }
    let query = &pairs[0].0;
    let (passages, wanted): (Vec<&str>, Vec<f64>) = pairs
        .iter()
        .zip(&wanted)
        .filter(|((other, _), _)| other == query)
        .map(|((_, passage), wanted)| (passage.as_str(), *wanted))
        .unzip();
    let batch = vec![score_request(query, &passages), score_request(query, &[])];
    let answers = scorer.score(batch).await;
    let got = answers[0].as_ref().unwrap();
    assert!(
        got.iter()
            .zip(&wanted)
            .all(|(got, wanted)| close(*got, *wanted)),
        "{got:?} {wanted:?}"
    );
    assert_eq!(got.len(), wanted.len());
    assert!(answers[1].as_ref().unwrap().is_empty());

    let metrics = home.metrics.encode();
    assert!(
        metrics.contains("routir_batch_size_sum{service=\"model:"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cross_encoders_score_pairs() {
    for name in ["cross-encoder", "cross-encoder-two"] {
        let Some((folder, expected)) = tiny(&Home::new(), name) else {
            return;
        };
        let config = json!({"model_name_or_path": folder, "batch_size": 8, "device": "cpu"});
        compare("CrossEncoder", config, &expected, "raw").await;
        let config = json!({"model_name_or_path": folder, "sigmoid": true});
        compare("CrossEncoder", config, &expected, "sigmoid").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequence_to_sequence_models_say_yes_or_no() {
    for name in ["seq2seq", "seq2seq-split"] {
        let Some((folder, expected)) = tiny(&Home::new(), name) else {
            return;
        };
        // RoutIR's limits of query and passage, and nine tokens around them.
        let around = expected["max_tokens"].as_u64().unwrap() - 9;
        let config = json!({
            "model_name_or_path": folder,
            "q_max_length": 10,
            "d_max_length": around - 10,
            "token_false": "▁false",
            "token_true": "▁true",
            "use_gpu": false,
        });
        compare("mT5", config.clone(), &expected, "scores").await;
        compare("MT5Reranker", config, &expected, "scores").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn causal_models_say_yes_or_no() {
    for name in ["causal", "causal-cache"] {
        let Some((folder, expected)) = tiny(&Home::new(), name) else {
            return;
        };
        let config = json!({"model_name_or_path": folder, "max_length": expected["max_tokens"]});
        compare("Qwen3Reranker", config, &expected, "scores").await;
    }
}

#[tokio::test]
async fn a_check_loads_nothing_and_its_roles_answer_nothing() {
    let home = Home::new();
    let Some((folder, _)) = tiny(&home, "cross-encoder") else {
        return;
    };
    let roles = home
        .check("CrossEncoder", &json!({"model_name_or_path": folder}))
        .unwrap();
    assert!(roles.search.is_none());
    let answers = roles
        .score
        .unwrap()
        .score(vec![score_request("q", &["p"])])
        .await;
    assert_eq!(
        answers[0].as_ref().unwrap_err().code(),
        ErrorCode::Unavailable
    );
    assert!(home.tasks.lock().unwrap().is_empty());
}

#[test]
fn what_cannot_be_done_is_refused_with_why() {
    let home = Home::new().file("empty/config.json", "{}");
    let check = |engine, config: Value| home.check(engine, &config).map(drop).unwrap_err();
    let upstream = json!({
        "model_name_or_path": "empty",
        "rerank_topk_max": 0,
        "use_gpu": true,
        "device": "cpu",
        "max_lenght": 3,
    });
    let message = check("CrossEncoder", upstream).to_string();
    for part in [
        "`rerank_topk_max` must be a whole number of at least 1",
        "`use_gpu` is true and `device` is `cpu`; leave one of them out",
        "unknown key `max_lenght` in `config`; did you mean `max_length`?",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let missing = check("Qwen3Reranker", json!({}));
    assert!(
        missing
            .message()
            .contains("`model_name_or_path` is missing"),
        "{missing}"
    );
    let half = check(
        "mT5",
        json!({"model_name_or_path": "empty", "token_true": "yes"}),
    );
    assert!(half.message().contains("go together"), "{half}");
    let empty = check("mT5", json!({"model_name_or_path": "empty"}));
    assert!(empty.message().contains(".onnx"), "{empty}");
    let absent = check("mT5", json!({"model_name_or_path": "no/such/model"}));
    assert!(absent.message().contains("no/such/model"), "{absent}");
    assert_eq!(absent.code(), ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn a_reranker_takes_no_parameters() {
    let home = Home::new();
    let Some((folder, _)) = tiny(&home, "cross-encoder") else {
        return;
    };
    let scorer = home
        .check("CrossEncoder", &json!({"model_name_or_path": folder}))
        .unwrap()
        .score
        .unwrap();
    let problems = scorer.params().check(&params(&json!({"instruction": "x"})));
    assert_eq!(problems.len(), 1);
}
