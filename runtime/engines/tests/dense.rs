//! Dense engines over tiny models with random weights and FAISS, against the numbers of an
//! independent reference; and over all-MiniLM-L6-v2.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and helpers are not seen as tests"
)]

mod common;
#[path = "common/faiss.rs"]
mod faiss;

use std::fs;
use std::sync::Arc;

use common::{Home, ask, ask_with, cached, ids, params, score_request, tiny};
use futures_util::future::join_all;
use routir_core::{Batching, ErrorCode, Roles, SearchEngine, SearchRequest};
use routir_index::faiss::Metric;
use serde_json::{Value, json};

fn vectors(expected: &Value) -> Vec<Vec<f32>> {
    let numbers = |row: &Value| {
        let row = row.as_array().unwrap().iter();
        row.map(|number| number.as_f64().unwrap() as f32).collect()
    };
    expected["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(numbers)
        .collect()
}

fn texts(expected: &Value) -> Vec<String> {
    let texts = expected["texts"].as_array().unwrap().iter();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

/// An index of `vectors`, whose ids are `d0`, `d1` and so on.
fn index(home: &Home, name: &str, factory: &str, metric: Metric, vectors: &[Vec<f32>]) {
    let ids: Vec<String> = (0..vectors.len()).map(|n| format!("d{n}")).collect();
    let folder = home.dir.path().join(name);
    faiss::index(&folder, (factory, metric), &vectors.concat(), &ids);
}

fn dot(one: &[f32], other: &[f32]) -> f64 {
    let products = one
        .iter()
        .zip(other)
        .map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}

async fn one(
    searcher: &Arc<dyn SearchEngine>,
    request: SearchRequest,
) -> routir_core::Result<Vec<(String, f64)>> {
    let ranking = searcher.search(vec![request]).await.remove(0)?;
    Ok(ranking
        .into_hits()
        .into_iter()
        .map(|hit| (hit.doc.to_string(), hit.score))
        .collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finds_what_the_reference_finds() {
    let home = Home::new();
    let Some((folder, expected)) = tiny(&home, "dense-mean") else {
        return;
    };
    if faiss::loaded().is_none() {
        return;
    }
    let (texts, vectors) = (texts(&expected), vectors(&expected));
    for factory in ["Flat", "HNSW8"] {
        index(&home, factory, factory, Metric::InnerProduct, &vectors);
        let config = json!({"embedding_model_name": folder, "index_path": factory});
        let roles = home.build("SentenceTransformerEngine", &config).unwrap();
        let (searcher, scorer) = (roles.search.unwrap(), roles.score.unwrap());
        assert_eq!(searcher.batching(), Batching::Inside);
        // All at once, each a request of its own.
        let asked = texts.iter().map(|text| searcher.search(vec![ask(text, 4)]));
        for (query, answer) in vectors.iter().zip(join_all(asked).await) {
            let mut best: Vec<f64> = vectors.iter().map(|vector| dot(query, vector)).collect();
            best.sort_by(|a, b| b.total_cmp(a));
            let hits = answer[0].as_ref().unwrap().hits();
            assert_eq!(hits.len(), 4);
            for (hit, best) in hits.iter().zip(&best) {
                assert!((hit.score - best).abs() < 1e-4, "{hit:?} {best}");
                let document: usize = hit.doc.as_str()[1..].parse().unwrap();
                assert!((dot(query, &vectors[document]) - hit.score).abs() < 1e-4);
            }
        }
        let passages: Vec<&str> = texts.iter().map(String::as_str).collect();
        let scores = scorer
            .score(vec![score_request(passages[0], &passages)])
            .await
            .remove(0)
            .unwrap();
        for (score, vector) in scores.iter().zip(&vectors) {
            assert!((score - dot(&vectors[0], vector)).abs() < 1e-4, "{score}");
        }
        assert_eq!(scores.len(), passages.len());
    }
    let metrics = home.metrics.encode();
    assert!(
        metrics.contains("service=\"index:svc\",role=\"index\""),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qwen3_is_told_its_task() {
    let home = Home::new();
    let Some((folder, expected)) = tiny(&home, "dense-last") else {
        return;
    };
    if faiss::loaded().is_none() {
        return;
    }
    let (texts, vectors) = (texts(&expected), vectors(&expected));
    index(&home, "index", "Flat", Metric::InnerProduct, &vectors);
    let config = json!({"embedding_model_name": folder, "index_path": "index", "k_scale": 1, "max_length": null});
    let searcher = home.build("Qwen3", &config).unwrap().search.unwrap();
    // The model's own prompt for queries is that of this task.
    for (number, text) in texts.iter().enumerate() {
        let task = json!({"instruction": "find passages", "maxp": true});
        let request = ask_with(text, 11, &task);
        let hits = one(&searcher, request).await.unwrap();
        let (_, score) = hits
            .iter()
            .find(|(id, _)| *id == format!("d{number}"))
            .unwrap();
        assert!((score - 1.0).abs() < 1e-4, "{text}: {score}");
    }
    let other = one(&searcher, ask(&texts[0], 1)).await.unwrap();
    assert!(other[0].1 < 0.9999, "another task made the same vector");
    let named = ask_with("x", 1, &json!({"prompt_name": "qurey"}));
    let error = one(&searcher, named).await.unwrap_err();
    assert!(
        error
            .message()
            .contains("no prompt `qurey`; it has document, query"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_go_around_queries_as_configured() {
    let home = Home::new();
    let Some((folder, expected)) = tiny(&home, "dense-last") else {
        return;
    };
    let (texts, vectors) = (texts(&expected), vectors(&expected));
    let cosine = async |config: Value| {
        let mut config = config;
        config["embedding_model_name"] = json!(folder);
        let scorer = home
            .build("SentenceTransformerEngine", &config)
            .unwrap()
            .score
            .unwrap();
        // The passage spells out what stands before the query, so equal vectors are equal texts.
        let passage = format!("Instruct: find passages\nQuery:{}", texts[0]);
        scorer
            .score(vec![score_request(&texts[0], &[&passage])])
            .await
            .remove(0)
            .unwrap()[0]
    };
    assert!((dot(&vectors[0], &vectors[0]) - 1.0).abs() < 1e-4);
    for config in [
        json!({"prompt_name_query": "query"}),
        json!({"encode_based_on_type": true}),
        json!({"instruction": "Instruct: find passages\nQuery:{query}"}),
        json!({"prompt_name_query": "", "instruction": "Instruct: find passages\nQuery:{query}"}),
    ] {
        let cosine = cosine(config.clone()).await;
        assert!((cosine - 1.0).abs() < 1e-4, "{config}: {cosine}");
    }
    let bare = cosine(json!({})).await;
    assert!(bare < 0.9999, "{bare}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subsets_and_parameters_are_those_of_the_request() {
    let home = Home::new().file(
        "subsets.json",
        r#"{"d0": "even", "d1": "odd", "d2": "even", "d3": "odd", "d4": "even"}"#,
    );
    let Some((folder, expected)) = tiny(&home, "dense-mean") else {
        return;
    };
    if faiss::loaded().is_none() {
        return;
    }
    let (texts, vectors) = (texts(&expected), vectors(&expected));
    index(&home, "index", "Flat", Metric::L2, &vectors);
    let config = json!({
        "embedding_model_name": folder,
        "index_path": "index",
        "id_to_subset_mapping": "subsets.json",
        "nprobe": 3,
    });
    let searcher = home
        .build("SentenceTransformerEngine", &config)
        .unwrap()
        .search
        .unwrap();
    let odd =
        json!({"subset": "odd", "ef_search": 7, "k_factor": 2.5, "nprobe": 1_000_000_000_u64});
    let odd = ask_with(&texts[1], 10, &odd);
    let even = ask_with(&texts[1], 10, &json!({"subset": "even"}));
    let all = ask(&texts[1], 10);
    let unknown = ask_with(&texts[1], 10, &json!({"subset": "od"}));
    let answers = searcher.search(vec![odd, even, all, unknown]).await;
    let mut found = ids(answers[0].as_ref().unwrap());
    assert_eq!(found[0], "d1", "the nearest to itself, at distance 0");
    found.sort_unstable();
    assert_eq!(found, ["d1", "d3"]);
    let mut found = ids(answers[1].as_ref().unwrap());
    found.sort_unstable();
    assert_eq!(found, ["d0", "d2", "d4"]);
    assert_eq!(answers[2].as_ref().unwrap().len(), 10);
    let error = answers[3].as_ref().unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains("did you mean `odd`?"), "{error}");
    let small = one(&searcher, ask_with("x", 1, &json!({"k_factor": 0.5})))
        .await
        .unwrap_err();
    assert!(
        small.message().contains("`k_factor` must be at least 1"),
        "{small}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_share_a_model_and_an_index() {
    let home = Home::new();
    let Some((folder, expected)) = tiny(&home, "dense-mean") else {
        return;
    };
    if faiss::loaded().is_none() {
        return;
    }
    let vectors = vectors(&expected);
    index(&home, "index", "Flat", Metric::InnerProduct, &vectors);
    let config = json!({"embedding_model_name": folder, "index_path": "index"});
    let built: Vec<Roles> = (0..3)
        .map(|_| home.build("SentenceTransformerEngine", &config).unwrap())
        .collect();
    let asked = (0..120).map(|n| {
        built[n % 3]
            .search
            .as_ref()
            .unwrap()
            .search(vec![ask("honey", 2)])
    });
    for answer in join_all(asked).await {
        assert_eq!(answer[0].as_ref().unwrap().len(), 2);
    }
    let metrics = home.metrics.encode();
    let counted = |name: &str| {
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with(name) && line.contains("model:"));
        let numbers: Vec<f64> = lines
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(numbers.len(), 1, "one queue before one model: {metrics}");
        numbers[0]
    };
    assert_eq!(counted("routir_batch_size_sum"), 120.0);
    assert!(counted("routir_batch_size_count") < 60.0, "{metrics}");
}

#[test]
fn bad_configurations_are_told_at_start() {
    let home = Home::new();
    let Some((folder, expected)) = tiny(&home, "dense-mean") else {
        return;
    };
    if faiss::loaded().is_none() {
        return;
    }
    let vectors = vectors(&expected);
    index(&home, "index", "Flat", Metric::InnerProduct, &vectors);
    let narrow: Vec<Vec<f32>> = vectors.iter().map(|vector| vector[..8].to_vec()).collect();
    index(&home, "narrow", "Flat", Metric::InnerProduct, &narrow);
    index(&home, "short", "Flat", Metric::InnerProduct, &vectors);
    fs::write(home.dir.path().join("short/index.ids"), "d0\nd1\n").unwrap();
    index(&home, "broken", "Flat", Metric::InnerProduct, &vectors);
    fs::write(home.dir.path().join("broken/index.faiss"), "not an index").unwrap();
    let refusal = |config: Value| {
        let mut config = config;
        if config.get("embedding_model_name").is_none() {
            config["embedding_model_name"] = json!(folder);
        }
        home.refusal("SentenceTransformerEngine", &config)
    };
    let narrow = refusal(json!({"index_path": "narrow"}));
    assert!(
        narrow.contains("vectors of 16 numbers") && narrow.contains("vectors of 8;"),
        "{narrow}"
    );
    let short = refusal(json!({"index_path": "short"}));
    assert!(
        short.contains("has 2 ids, but the index has 11 vectors"),
        "{short}"
    );
    let broken = refusal(json!({"index_path": "broken"}));
    assert!(broken.contains("broken"), "{broken}");
    let absent = refusal(json!({"index_path": "nowhere"}));
    assert!(absent.contains("nowhere/index.faiss"), "{absent}");
    let several = refusal(json!({
        "index_path": "index", "instruction": "no place", "task_query": "retrieval.query",
        "k_scale": 0, "normalise_embeddings": true, "pooling": "sum", "device": "gpu",
    }));
    for part in [
        "must have {query}",
        "`task_query` is not possible",
        "`k_scale` must be at least 1, not 0",
        "did you mean `normalize_embeddings`?",
        "`pooling` must be one of",
        "`device` is one of `cpu`, `cuda`",
    ] {
        assert!(several.contains(part), "{part}: {several}");
    }
    let api = home.refusal(
        "Qwen3",
        &json!({"embedding_model_name": folder, "api_key": "k"}),
    );
    assert!(api.contains("unknown key `api_key`"), "{api}");
}

#[test]
fn a_check_opens_nothing() {
    let home = Home::new()
        .file("index/index.faiss", "")
        .file("index/index.ids", "");
    let Some((folder, _)) = tiny(&home, "dense-mean") else {
        return;
    };
    let mut config = json!({"embedding_model_name": folder, "index_path": "index"});
    let roles = home.check("SentenceTransformerEngine", &config).unwrap();
    let specs = roles.search.unwrap().params();
    let given = params(&json!({"subset": "a", "nprobe": 2}));
    assert_eq!(specs.check(&given).len(), 1, "there are no subsets");
    config["id_to_subset_mapping"] = json!("index/none.json");
    let error = home
        .check("SentenceTransformerEngine", &config)
        .map(drop)
        .unwrap_err();
    assert!(error.message().contains("none.json"), "{error}");
    config["id_to_subset_mapping"] = Value::Null;
    config["file"] = json!("model_int4.onnx");
    let error = home
        .check("SentenceTransformerEngine", &config)
        .map(drop)
        .unwrap_err();
    assert!(error.message().contains("model_int4.onnx"), "{error}");
    let hub = json!({"embedding_model_name": "hf:owner/name", "index_path": "index"});
    assert!(home.check("Qwen3", &hub).is_ok(), "a check fetches nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minilm_ranks_by_meaning() {
    let home = Home::new();
    let Some(folder) = cached("models/minilm") else {
        return;
    };
    if tiny(&home, "dense-mean").is_none() {
        return;
    }
    let config =
        json!({"embedding_model_name": folder.to_str().unwrap(), "file": "model_int8.onnx"});
    let scorer = home
        .build("SentenceTransformerEngine", &config)
        .unwrap()
        .score
        .unwrap();
    let long = "word ".repeat(100_000);
    let passages = [
        "Bees make it out of nectar and keep it in combs.",
        "The train leaves at noon from platform four.",
        &long,
        "",
    ];
    let scores = scorer
        .score(vec![score_request("where does honey come from", &passages)])
        .await;
    let scores = scores[0].as_ref().unwrap();
    assert!(scores[0] > scores[1] + 0.2, "{scores:?}");
    assert!(
        scores.iter().all(|score| score.abs() <= 1.0001),
        "{scores:?}"
    );
}
