//! `BM25` through the search role.

mod common;

use common::{Home, ask, ids};
use futures_util::future::join_all;
use routir_core::ErrorCode;
use serde_json::json;

const DOCS: [(&str, &str); 3] = [
    ("d1", "Compact memories have flexible capacities"),
    ("d2", "An electronic analogue computer"),
    ("d3", "Computers and their memory; computing memories"),
];

#[tokio::test]
async fn searches_a_batch_and_a_bad_request_fails_alone() {
    let home = Home::new().collection("docs", &DOCS);
    let engine = home.build("BM25", &json!({})).unwrap().search.unwrap();
    assert!(engine.prefix_stable());
    let long: String = (0..2_000).map(|n| format!("word{n} ")).collect();
    let batch = vec![
        ask("memory", 10),
        ask(&long, 10),
        ask("\"computer\" AND (", 1),
        ask("memory", 0),
    ];
    let answers = engine.search(batch).await;
    assert_eq!(answers.len(), 4);
    assert_eq!(ids(answers[0].as_ref().unwrap()), ["d3", "d1"]);
    assert_eq!(answers[1].as_ref().unwrap_err().code(), ErrorCode::TooLarge);
    assert_eq!(answers[2].as_ref().unwrap().len(), 1);
    assert!(answers[3].as_ref().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_many_callers_at_once() {
    let home = Home::new().collection("docs", &DOCS);
    let engine = home.build("BM25", &json!({})).unwrap().search.unwrap();
    let calls = (0..50).map(|_| engine.search(vec![ask("memory", 10); 4]));
    for answers in join_all(calls).await {
        for answer in answers {
            assert_eq!(ids(&answer.unwrap()), ["d3", "d1"]);
        }
    }
}

#[tokio::test]
async fn services_over_one_collection_share_an_index_with_constants_of_their_own() {
    let home = Home::new().collection("a/../docs", &DOCS);
    let one = home
        .build("BM25", &json!({"collection": "a/../docs"}))
        .unwrap()
        .search
        .unwrap();
    assert!(
        home.tasks
            .lock()
            .unwrap()
            .iter()
            .any(|task| task == "reading documents")
    );
    assert!(
        home.dir
            .path()
            .join("cache/bm25/a%2f%2e%2e%2fdocs/index")
            .is_dir()
    );
    home.tasks.lock().unwrap().clear();
    let two = home
        .build("BM25", &json!({"k1": 2.0, "b": 1.0}))
        .unwrap()
        .search
        .unwrap();
    assert!(home.tasks.lock().unwrap().is_empty(), "built again");
    let score = async |engine: &std::sync::Arc<dyn routir_core::SearchEngine>| {
        engine
            .search(vec![ask("memory", 1)])
            .await
            .remove(0)
            .unwrap()
            .hits()[0]
            .score
    };
    assert_ne!(score(&one).await, score(&two).await);
}

#[test]
fn an_index_lies_where_the_configuration_says() {
    let home = Home::new().collection("docs", &DOCS);
    home.build(
        "BM25",
        &json!({"index_path": "here", "view": "text", "threads": 1, "memory_mb": 32}),
    )
    .unwrap();
    assert!(home.dir.path().join("here/index").is_dir());
}

#[test]
fn what_it_does_not_understand_is_refused() {
    let home = Home::new()
        .collection("docs", &DOCS)
        .collection("more", &DOCS);
    assert_eq!(
        home.refusal("BM25", &json!({"k1": "x", "b": 2, "colection": "docs"})),
        "service `svc` (engine BM25): `k1` must be a number, not \"x\"; `b` must be between 0 and 1, \
         not 2; unknown key `colection` in `config`; did you mean `collection`?"
    );
    assert_eq!(
        home.refusal("BM25", &json!({})),
        "service `svc` (engine BM25): `collection` is missing and there are several: docs, more"
    );
    let none = Home::new().refusal("BM25", &json!({}));
    assert!(none.contains("there is no collection to index"), "{none}");
    let wrong = home.refusal("BM25", &json!({"collection": "other"}));
    assert!(wrong.contains("there is no collection `other`"), "{wrong}");
}
