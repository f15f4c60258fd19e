//! `PLAIDX` searches and scores with a model of vectors per token.

mod common;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use common::{Home, ask, ask_with, cached, ids, score_request, search, tiny};
use routir_core::ErrorCode;
use routir_index::late::{LateBuilder, LateOptions};
use serde_json::{Value, json};

const DOCUMENTS: [(&str, &str); 5] = [
    ("bees", "Bees dance."),
    ("moon", "The tide of the moon."),
    ("honey", "honey honey honey"),
    ("empty", ""),
    ("is", "Is it relevant?"),
];

fn model(home: &Home) -> Option<String> {
    tiny(home, "multi-vector").map(|(folder, _)| folder)
}

fn home() -> Home {
    Home::new().collection("texts", &DOCUMENTS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_answers_what_scoring_each_document_does() {
    let home = home();
    let Some(model) = model(&home) else { return };
    let config = json!({"checkpoint": model, "index_path": "late", "build": true, "bits": 16,
        "sliding_window_size": 20, "use_gpu": false, "inference_batch_size": 32});
    let roles = home.build("PLAIDX", &config).unwrap();
    assert!(
        home.tasks
            .lock()
            .unwrap()
            .iter()
            .any(|task| task == "encoding documents")
    );
    for query in ["what is honey", "tide of the moon?", ""] {
        let ranking = search(&roles, ask(query, 10)).await.unwrap();
        assert_eq!(ranking.len(), DOCUMENTS.len());
        let texts: Vec<&str> = DOCUMENTS.iter().map(|(_, text)| *text).collect();
        let scorer = roles.score.as_ref().unwrap();
        let request = score_request(query, &texts);
        let scores = scorer.score(vec![request]).await.pop().unwrap().unwrap();
        for ((id, _), score) in DOCUMENTS.iter().zip(scores) {
            let hit = ranking
                .hits()
                .iter()
                .find(|hit| hit.doc.as_str() == *id)
                .unwrap();
            assert!(
                (hit.score - score).abs() < 0.02,
                "{query}: {id}: {} {score}",
                hit.score
            );
        }
        let best = search(&roles, ask(query, 1)).await.unwrap();
        assert_eq!(best.hits(), &ranking.hits()[..1]);
    }
    drop(roles);
    // Built once; again when the collection has changed.
    home.tasks.lock().unwrap().clear();
    home.build("PLAIDX", &config).unwrap();
    assert!(
        !home
            .tasks
            .lock()
            .unwrap()
            .iter()
            .any(|task| task == "encoding documents")
    );
    let Home { dir, .. } = home;
    let changed = Home {
        dir,
        ..Home::new().collection("texts", &DOCUMENTS[..2])
    };
    let roles = changed.build("PLAIDX", &config).unwrap();
    let ranking = search(&roles, ask("what is honey", 10)).await.unwrap();
    assert_eq!(ranking.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passages_become_documents_and_subsets_confine() {
    let home = home()
        .file("map.tsv", "0\tx_0\n1\tx_1\n2\ty_0\n3\tz_z_0\n4\tx_2\n")
        .file("short.tsv", "0\tx_0\n")
        .file("sets.json", r#"{"x": "one", "y": "two", "bees": "old"}"#);
    let Some(model) = model(&home) else { return };
    let plain = json!({"checkpoint": model, "index_path": "late", "build": true, "sliding_window_size": 20});
    home.build("PLAIDX", &plain).unwrap();
    let mut config = json!({"checkpoint": model, "index_path": "late", "passage_mapping": "map.tsv",
        "id_to_subset_mapping": "sets.json", "sliding_window_size": 20});
    let roles = home.build("PLAIDX", &config).unwrap();
    let ranking = search(&roles, ask("what is honey", 10)).await.unwrap();
    let found: HashSet<_> = ids(&ranking).into_iter().collect();
    assert_eq!(found, HashSet::from(["x", "y", "z_z"]));
    let within = |name: &str| ask_with("what is honey", 10, &json!({"subset": name}));
    let ranking = search(&roles, within("two")).await.unwrap();
    assert_eq!(ids(&ranking), ["y"]);
    let error = search(&roles, within("tow")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains("did you mean `two`?"), "{error}");
    let thorough = json!({"probes": 9999, "rerank": 9999});
    let thorough = ask_with("what is honey", 2, &thorough);
    assert_eq!(search(&roles, thorough).await.unwrap().len(), 2);
    config["passage_mapping"] = json!("short.tsv");
    assert!(
        home.refusal("PLAIDX", &config)
            .contains("1 lines and the index 5 passages")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_index_it_scores_by_the_best_window() {
    let home = home();
    let Some(model) = model(&home) else { return };
    let config = json!({"model": model, "sliding_window_size": 4, "sliding_window_stride": 2});
    let roles = home.build("PLAIDX", &config).unwrap();
    assert!(roles.search.is_none());
    let scorer = roles.score.unwrap();
    let long = "the moon ".repeat(2000);
    let requests = vec![
        score_request("tide of the moon?", &["the moon the moon", &long, "", "x"]),
        score_request("what is honey", &[]),
    ];
    let mut answers = scorer.score(requests).await;
    assert_eq!(answers.pop().unwrap().unwrap(), [] as [f64; 0]);
    let scores = answers.pop().unwrap().unwrap();
    assert_eq!(scores.len(), 4);
    assert!(scores.iter().all(|score| score.is_finite()));
    // Its windows are the short text's and some that begin in the middle of a word's pieces.
    assert!(scores[1] >= scores[0] - 1e-4, "{scores:?}");
}

#[test]
fn what_does_not_fit_is_refused_at_start() {
    let home = home().file("plaid/centroids.pt", "x");
    let Some(model) = model(&home) else { return };
    let refusal = |config: Value| home.refusal("PLAIDX", &config);
    let m = || json!(model);
    assert!(refusal(json!({})).contains("`checkpoint` is missing"));
    assert!(refusal(json!({"checkpoint": m(), "index_path": "none"})).contains("routir-rt index"));
    assert!(refusal(json!({"checkpoint": m(), "index_path": "plaid"})).contains("PyTorch"));
    assert!(
        refusal(json!({"checkpoint": m(), "sliding_window_size": 100_000}))
            .contains("windows of 100000")
    );
    assert!(refusal(json!({"checkpoint": m(), "bits": 4})).contains("set `build` to true"));
    assert!(refusal(json!({"checkpoint": m(), "build": true})).contains("`index_path` is missing"));
    assert!(
        refusal(json!({"checkpoint": m(), "build": true, "index_path": "i", "bits": 3}))
            .contains("2, 4 or 16")
    );
    assert!(
        refusal(json!({"checkpoint": m(), "index_pth": "i"}))
            .contains("did you mean `index_path`?")
    );
    let other = home.dir.path().join("other");
    let mut builder = LateBuilder::create(&other, LateOptions::new(3)).unwrap();
    builder.add("d", &[1.0, 0.0, 0.0]).unwrap();
    builder.finish().unwrap();
    let message =
        refusal(json!({"checkpoint": m(), "index_path": "other", "sliding_window_size": 20}));
    assert!(
        message.contains("makes vectors of 8 values") && message.contains("has 3"),
        "{message}"
    );
    let checked = home
        .check("PLAIDX", &json!({"checkpoint": m(), "index_path": "other"}))
        .unwrap();
    assert!(checked.search.is_some() && checked.score.is_some());
    let checked = home.check("PLAIDX", &json!({"checkpoint": m(), "index_path": "none"}));
    assert_eq!(checked.err().unwrap().code(), ErrorCode::InvalidArgument);
}

/// MaxSim over the token vectors of MiniLM, which was not trained for it, on a part of vaswani: the
/// documents relevant to some of 40 queries, and every sixteenth of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effectiveness_on_vaswani() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vaswani");
    if !data.is_dir() {
        let skipped = "SKIPPED: effectiveness_on_vaswani: ../shared/data/vaswani is absent";
        let _ = writeln!(std::io::stderr(), "{skipped}");
        return;
    }
    let (Some(model), Some(_)) = (cached("models/minilm"), model(&Home::new())) else {
        return;
    };
    let read = |name: &str| fs::read_to_string(data.join(name)).unwrap();
    let topics = read("topics.tsv");
    let topics: Vec<_> = topics
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .take(40)
        .collect();
    let mut relevant: HashMap<String, HashSet<String>> = HashMap::new();
    for line in read("qrels.txt").lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        if fields[3] != "0" && topics.iter().any(|(topic, _)| *topic == fields[0]) {
            relevant
                .entry(fields[0].into())
                .or_default()
                .insert(fields[2].into());
        }
    }
    let wanted: HashSet<&String> = relevant.values().flatten().collect();
    let documents: Vec<(String, String)> = read("docs.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|value| {
            (
                value["id"].as_str().unwrap().to_owned(),
                value["text"].as_str().unwrap().to_owned(),
            )
        })
        .enumerate()
        .filter(|(at, (id, _))| at % 16 == 0 || wanted.contains(id))
        .map(|(_, document)| document)
        .collect();
    let documents: Vec<_> = documents
        .iter()
        .map(|(id, text)| (id.as_str(), text.as_str()))
        .collect();
    let home = Home::new().collection("vaswani", &documents);
    let config = json!({"checkpoint": model, "file": "model_int8.onnx", "index_path": "late", "build": true});
    let roles = home.build("PLAIDX", &config).unwrap();
    let mut total = 0.0;
    for (topic, query) in &topics {
        let relevant = &relevant[*topic];
        let ranking = search(&roles, ask(query, 10)).await.unwrap();
        let gain = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
        let found = ids(&ranking)
            .into_iter()
            .enumerate()
            .filter(|(_, id)| relevant.contains(*id));
        let best: f64 = (0..relevant.len().min(10)).map(gain).sum();
        total += found.map(|(rank, _)| gain(rank)).sum::<f64>() / best;
    }
    let ndcg = total / topics.len() as f64;
    eprintln!(
        "vaswani, {} of 11429 documents: nDCG@10 {ndcg:.4}",
        documents.len()
    );
    assert!(ndcg >= 0.5, "nDCG@10 {ndcg:.4}");
}
