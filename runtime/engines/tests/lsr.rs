//! `LSR` searches with a model of weights of terms, over an index of such weights.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and helpers are not seen as tests"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{Home, ask, ask_with, ids, search, tiny};
use futures_util::future::join_all;
use routir_core::{Batching, ErrorCode};
use routir_index::sparse::{SparseBuilder, SparseOptions};
use serde_json::{Value, json};

const DOCUMENTS: [(&str, &str); 5] = [
    ("bees", "Bees dance."),
    ("moon", "The tide of the moon."),
    ("honey", "honey honey honey"),
    ("empty", ""),
    ("is", "Is it relevant?"),
];

/// Where `tests/models/tiny.py` cuts its texts.
const MAX_TOKENS: usize = 24;

type Weights = Vec<(u32, f32)>;

/// The reference's weights of each of its texts.
fn reference(expected: &Value) -> Vec<(String, Weights)> {
    let weight = |pair: &Value| {
        let term = u32::try_from(pair[0].as_u64().unwrap()).unwrap();
        (term, pair[1].as_f64().unwrap() as f32)
    };
    let texts = expected["texts"].as_array().unwrap().iter();
    let weights = expected["weights"].as_array().unwrap().iter();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .zip(weights.map(|row| row.as_array().unwrap().iter().map(weight).collect()))
        .collect()
}

fn dot(one: &Weights, other: &Weights) -> f64 {
    let of = |term| other.iter().find(|it| it.0 == term).map_or(0.0, |it| it.1);
    one.iter()
        .map(|(term, weight)| f64::from(*weight) * f64::from(of(*term)))
        .sum()
}

fn index(folder: &Path, vocabulary: usize, documents: &[(String, Weights)]) {
    let options = SparseOptions {
        vocabulary,
        ..SparseOptions::default()
    };
    let mut builder = SparseBuilder::create(folder, options).unwrap();
    for (number, (_, weights)) in documents.iter().enumerate() {
        builder.add(&format!("d{number}"), weights).unwrap();
    }
    builder.finish(&mut |_, _, _| {}).unwrap();
}

/// How many terms the tiny model has.
fn vocabulary(model: &str) -> usize {
    let tokenizer = fs::read(Path::new(model).join("tokenizer.json")).unwrap();
    let tokenizer: Value = serde_json::from_slice(&tokenizer).unwrap();
    tokenizer["model"]["vocab"].as_object().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finds_what_the_reference_finds() {
    let home = Home::new();
    let Some((model, expected)) = tiny(&home, "splade") else {
        return;
    };
    let texts = reference(&expected);
    index(&home.dir.path().join("lsr"), vocabulary(&model), &texts);
    let config = json!({"model_name": model, "index_path": "lsr", "max_length": MAX_TOKENS,
        "batch_size": 8, "k_scale": 20, "device": "cpu"});
    let roles = home.build("LSR", &config).unwrap();
    assert!(roles.score.is_none());
    let searcher = roles.search.as_ref().unwrap();
    assert_eq!(searcher.batching(), Batching::Inside);
    assert!(searcher.prefix_stable());
    // All at once, each a request of its own.
    let asked = texts
        .iter()
        .map(|(text, _)| searcher.search(vec![ask(text, 4)]));
    for ((text, weights), answer) in texts.iter().zip(join_all(asked).await) {
        let mut best: Vec<f64> = texts.iter().map(|(_, other)| dot(weights, other)).collect();
        best.sort_by(|a, b| b.total_cmp(a));
        let hits = answer[0].as_ref().unwrap().hits();
        assert_eq!(
            hits.len(),
            best.iter().filter(|it| **it > 0.0).count().min(4)
        );
        for (hit, best) in hits.iter().zip(&best) {
            // The index keeps a weight to a 510th of its term's largest.
            assert!(
                (hit.score / best - 1.0).abs() < 0.01,
                "{text}: {hit:?} {best}"
            );
            let document: usize = hit.doc.as_str()[1..].parse().unwrap();
            let exact = dot(weights, &texts[document].1);
            assert!(
                (hit.score / exact - 1.0).abs() < 0.01,
                "{text}: {hit:?} {exact}"
            );
        }
    }
    let metrics = home.metrics.encode();
    assert!(metrics.contains("role=\"model\""), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_built_of_a_collection_once_and_again_when_that_changes() {
    let home = Home::new().collection("texts", &DOCUMENTS);
    let Some((model, _)) = tiny(&home, "splade") else {
        return;
    };
    let config = json!({"model_name": model, "index_path": "lsr", "build": true});
    let encoded = |home: &Home| {
        let mut tasks = home.tasks.lock().unwrap();
        let found = tasks.iter().any(|task| task == "encoding documents");
        tasks.clear();
        found
    };
    let roles = home.build("LSR", &config).unwrap();
    assert!(encoded(&home));
    let ranking = search(&roles, ask("honey honey honey", 10)).await.unwrap();
    let best = search(&roles, ask("honey honey honey", 1)).await.unwrap();
    assert_eq!(best.hits(), &ranking.hits()[..1]);
    home.build("LSR", &config).unwrap();
    assert!(!encoded(&home));
    let Home { dir, .. } = home;
    let changed = Home {
        dir,
        ..Home::new().collection("texts", &DOCUMENTS[..2])
    };
    let roles = changed.build("LSR", &config).unwrap();
    assert!(encoded(&changed));
    let ranking = search(&roles, ask("honey honey honey", 10)).await.unwrap();
    assert!(ranking.len() <= 2);
    // What somebody else built is never replaced.
    let foreign = json!({"model_name": model, "index_path": "foreign", "build": true});
    let documents = [(String::new(), vec![(1, 1.0)])];
    index(
        &changed.dir.path().join("foreign"),
        vocabulary(&model),
        &documents,
    );
    changed.build("LSR", &foreign).unwrap();
    assert!(!encoded(&changed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_choose_a_subset_and_how_exact_they_are() {
    let home = Home::new().file(
        "sets.json",
        r#"{"d0": "one", "d1": "two", "d4": "one", "d8": "two"}"#,
    );
    let Some((model, expected)) = tiny(&home, "splade") else {
        return;
    };
    let texts = reference(&expected);
    index(&home.dir.path().join("lsr"), vocabulary(&model), &texts);
    let mut config =
        json!({"model_name": model, "index_path": "lsr", "id_to_subset_mapping": "sets.json"});
    let roles = home.build("LSR", &config).unwrap();
    let all = search(&roles, ask("what is honey", 50)).await.unwrap();
    let one = ask_with("what is honey", 50, &json!({"subset": "one"}));
    let one = search(&roles, one).await.unwrap();
    let wanted: Vec<_> = ids(&all)
        .into_iter()
        .filter(|it| ["d0", "d4"].contains(it))
        .collect();
    assert_eq!(ids(&one), wanted);
    for (params, why) in [
        (json!({"subset": "ones"}), "did you mean `one`?"),
        (json!({"alpha": 2}), "`alpha`"),
    ] {
        let request = ask_with("what is honey", 5, &params);
        let error = search(&roles, request).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains(why), "{error}");
    }
    config["alpha"] = json!(0.8);
    config["max_terms"] = json!(1);
    let roles = home.build("LSR", &config).unwrap();
    assert!(!roles.search.as_ref().unwrap().prefix_stable());
    let (_, weights) = &texts[0];
    let heaviest = weights
        .iter()
        .copied()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap();
    let best = search(&roles, ask(&texts[0].0, 1)).await.unwrap();
    let most = texts
        .iter()
        .map(|(_, it)| dot(&vec![heaviest], it))
        .fold(0.0, f64::max);
    assert!((best.hits()[0].score / most - 1.0).abs() < 0.01);
}

#[test]
fn what_cannot_be_is_told_before_anything_is_searched() {
    let home = Home::new()
        .file("lucene/segments_2", "")
        .file("none/readme", "");
    let Some((model, _)) = tiny(&home, "splade") else {
        return;
    };
    let refused = |config: &Value, why: &str| {
        for told in [
            home.refusal("LSR", config),
            home.check("LSR", config).err().unwrap().to_string(),
        ] {
            assert!(told.contains(why), "{told}");
        }
    };
    refused(
        &json!({}),
        "`model_name` is missing; `index_path` is missing",
    );
    let config = |index: &str| json!({"model_name": model, "index_path": index});
    refused(
        &config("lucene"),
        "an index of Lucene (Anserini, Pyserini), which is not read here",
    );
    refused(&config("none"), "there is no sparse index in");
    let checked = home.check("LSR", &config("none")).err().unwrap();
    assert_eq!(checked.code(), ErrorCode::InvalidArgument);
    refused(
        &json!({"model_name": model, "index_path": "none", "alpha": 0}),
        "`alpha` must be above 0",
    );
    refused(
        &json!({"model_name": model, "index_path": "none", "view": "text"}),
        "set `build` to true",
    );
    let other = home.dir.path().join("other");
    index(&other, 7, &[(String::new(), vec![(1, 1.0)])]);
    assert!(home.check("LSR", &config("other")).is_ok());
    let told = home.refusal("LSR", &config("other"));
    assert!(told.contains("was made with a vocabulary of 7"), "{told}");
}
