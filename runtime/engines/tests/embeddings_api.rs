//! Dense engines whose vectors a server makes, one that stands in for one with OpenAI's API.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and helpers are not seen as tests"
)]

mod common;
#[path = "common/faiss.rs"]
mod faiss;
#[path = "../../remote/tests/stand_in/mod.rs"]
mod stand_in;

use std::sync::Arc;
use std::time::Duration;

use common::{Home, ask, ask_with, ids, score, score_request, search};
use futures_util::future::join_all;
use routir_core::ErrorCode;
use routir_index::faiss::Metric;
use serde_json::{Value, json};
use stand_in::{Reply, Seen, StandIn, vectors};

/// The vector of a text: how often it has an a, a b, a c.
fn vector(text: &str) -> Vec<f32> {
    let count = |letter| text.matches(letter).count() as f32;
    vec![count('a'), count('b'), count('c')]
}

fn letters(_: usize, seen: &Seen) -> Reply {
    let all: Vec<Vec<f32>> = seen.input().iter().map(|text| vector(text)).collect();
    Reply::Json(vectors(&all))
}

fn config(server: &StandIn, more: Value) -> Value {
    let mut config = json!({"embedding_base_url": server.url, "embedding_model_name": "e"});
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    config
}

/// A home with an index of the letters `a`, `b` and `c`; `None`, told loudly, without FAISS.
fn home() -> Option<Home> {
    faiss::loaded()?;
    let (home, ids) = (Home::new(), ["a", "b", "c"]);
    let vectors = ids.map(vector).concat();
    let folder = home.dir.path().join("index");
    faiss::index(&folder, ("Flat", Metric::InnerProduct), &vectors, &ids);
    Some(home)
}

#[tokio::test]
async fn finds_what_is_nearest_to_the_servers_vector() {
    let Some(home) = home() else { return };
    let server = StandIn::start(letters).await;
    let more = json!({"index_path": "index", "api_key": "k", "instruction": "find: {query}"});
    let config = config(&server, more);
    let roles = home.build("SentenceTransformerEngine", &config).unwrap();
    let found = search(&roles, ask("cabc bcc", 2)).await.unwrap();
    assert_eq!(ids(&found), ["c", "b"]);
    assert_eq!(found.hits()[0].score, 4.0);
    let mut seen = server.seen();
    let Seen { path, head, body } = seen.remove(0);
    assert_eq!(path, "/v1/embeddings");
    assert!(head.contains("authorization: bearer k"), "{head}");
    let expected = json!({"model": "e", "input": ["find: cabc bcc"], "encoding_format": "float"});
    assert_eq!(body, expected);
    let said = ask_with("a", 1, &json!({"instruction": "{query}!"}));
    assert_eq!(ids(&search(&roles, said).await.unwrap()), ["a"]);
    assert_eq!(server.seen()[1].input(), ["a!"]);
}

#[tokio::test]
async fn qwen3_has_its_words_and_vectors_of_length_one() {
    let Some(home) = home() else { return };
    let server = StandIn::start(letters).await;
    let config = json!({"embedding_base_url": server.url, "index_path": "index"});
    let roles = home.build("Qwen3", &config).unwrap();
    let found = search(&roles, ask(&"b".repeat(30), 1)).await.unwrap();
    assert_eq!(ids(&found), ["b"]);
    assert!(found.hits()[0].score <= 1.0, "{found:?}");
    let seen = server.seen().remove(0);
    assert_eq!(seen.body["model"], "Qwen/Qwen3-Embedding-8B");
    let task = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:";
    assert_eq!(seen.input(), [format!("{task}{}", "b".repeat(30))]);

    let config = json!({"embedding_base_url": server.url, "instruction": "x"});
    let roles = home.build("Qwen3", &config).unwrap();
    assert!(roles.search.is_none());
    // Of "Instruct: x\nQuery:ab" the letters are c, a, b.
    let scores = score(&roles, score_request("ab", &["abc", "cc", "a"]))
        .await
        .unwrap();
    for (score, wanted) in scores
        .iter()
        .zip([1.0, 1.0 / 3_f64.sqrt(), 1.0 / 3_f64.sqrt()])
    {
        assert!((score - wanted).abs() < 1e-6, "{scores:?}");
    }
    assert!(
        score(&roles, score_request("q", &[]))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn texts_of_all_callers_share_calls_within_bounds() {
    let slow = |before: usize, seen: &Seen| match letters(before, seen) {
        Reply::Json(value) => Reply::Late(Duration::from_millis(20), value),
        other => other,
    };
    let server = StandIn::start(slow).await;
    let config = config(&server, json!({"batch_size": 8, "max_concurrency": 2}));
    let home = Home::new();
    let roles = home.build("SentenceTransformerEngine", &config).unwrap();
    let passages: Vec<String> = (0..5).map(|n| "b".repeat(n)).collect();
    let passages: Vec<&str> = passages.iter().map(String::as_str).collect();
    let asked = (0..16).map(|_| score(&roles, score_request("b", &passages)));
    for scores in join_all(asked).await {
        assert_eq!(scores.unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0]);
    }
    let seen = server.seen();
    let sizes: Vec<usize> = seen.iter().map(|seen| seen.input().len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 16 * 6);
    assert!(sizes.iter().all(|size| *size <= 8), "{sizes:?}");
    // One call for each text would be 96, one for each request with nobody else's text 16.
    assert!(sizes.len() < 32, "{sizes:?}");
    assert!(server.most_at_once() <= 2);
    let metrics = home.metrics.encode();
    assert!(
        metrics.contains("service=\"api:svc\",role=\"api\""),
        "{metrics}"
    );
}

#[tokio::test]
async fn vectors_of_another_size_are_an_error_unless_they_are_to_be_cut() {
    let Some(home) = home() else { return };
    let long = |_: usize, seen: &Seen| {
        let vector = |text: &&str| [vector(text), vec![9.0]].concat();
        Reply::Json(vectors(
            &seen.input().iter().map(vector).collect::<Vec<_>>(),
        ))
    };
    let server = StandIn::start(long).await;
    let roles = home
        .build(
            "SentenceTransformerEngine",
            &config(&server, json!({"index_path": "index"})),
        )
        .unwrap();
    let error = search(&roles, ask("a", 1)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::EngineFailure);
    assert!(
        error.message().contains("vectors of 4 numbers, not of 3"),
        "{error}"
    );
    let cut = config(
        &server,
        json!({"index_path": "index", "truncate_dim": 3, "normalize_embeddings": true}),
    );
    let roles = home.build("SentenceTransformerEngine", &cut).unwrap();
    let found = search(&roles, ask("aaa", 1)).await.unwrap();
    assert_eq!(
        (found.hits()[0].doc.as_str(), found.hits()[0].score),
        ("a", 1.0)
    );
    // At start, as far as it shows.
    let wrong = config(&server, json!({"index_path": "index", "truncate_dim": 2}));
    let refusal = home.refusal("SentenceTransformerEngine", &wrong);
    assert!(refusal.contains("vectors of 2 numbers"), "{refusal}");
}

#[tokio::test]
async fn what_the_server_does_wrong_fails_who_asked_and_nobody_later() {
    let server = StandIn::start(|before, seen| match before {
        0 => Reply::Json(vectors(&[vec![1.0]])),
        1 => Reply::Text("[]".to_owned()),
        2 => Reply::Status(400, "", json!({"error": {"message": "too long"}})),
        3 => Reply::Status(429, "retry-after-ms: 1\r\n", json!({})),
        _ => letters(before, seen),
    })
    .await;
    let roles = Home::new()
        .build("SentenceTransformerEngine", &config(&server, json!({})))
        .unwrap();
    for part in [
        "1 vectors for 2 texts",
        "no answer of OpenAI's API",
        "answered 400: too long",
    ] {
        let error = score(&roles, score_request("a", &["a"])).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::EngineFailure, "{error}");
        assert!(error.message().contains(part), "{error}");
    }
    assert_eq!(
        score(&roles, score_request("a", &["aa"])).await.unwrap(),
        [2.0]
    );

    let stalls = StandIn::start(|_, _| Reply::Stall).await;
    let roles = Home::new()
        .build("SentenceTransformerEngine", &config(&stalls, json!({})))
        .unwrap();
    let scorer = Arc::clone(roles.score.as_ref().unwrap());
    let call = tokio::spawn(async move { scorer.score(vec![score_request("q", &["a"])]).await });
    stalls.requests(1).await;
    call.abort();
    stalls.callers_left(1).await;
}

#[tokio::test]
async fn a_text_that_the_server_refuses_fails_nobody_but_who_brought_it() {
    let picky = |before: usize, seen: &Seen| {
        if seen.input().iter().any(|text| text.contains('!')) {
            return Reply::Status(400, "", json!({"error": {"message": "too long"}}));
        }
        match letters(before, seen) {
            // The others wait meanwhile, and go together.
            Reply::Json(value) if before == 0 => Reply::Late(Duration::from_millis(200), value),
            other => other,
        }
    };
    let server = StandIn::start(picky).await;
    let config = config(&server, json!({"max_concurrency": 1}));
    let home = Home::new();
    let roles = home.build("SentenceTransformerEngine", &config).unwrap();
    let good = || score(&roles, score_request("b", &["b", "bb"]));
    let bad = score(&roles, score_request("b", &["!"]));
    let (first, second, bad, third) = futures_util::join!(good(), good(), bad, good());
    for scores in [first, second, third] {
        assert_eq!(scores.unwrap(), [1.0, 2.0]);
    }
    let error = bad.unwrap_err();
    assert_eq!(error.code(), ErrorCode::EngineFailure, "{error}");
    assert!(error.message().contains("too long"), "{error}");
    // The first alone, all others together, and each of those once again.
    let sizes: Vec<_> = server.seen().iter().map(|it| it.input().len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 3 + 2 * 8, "{sizes:?}");
    assert!(sizes.len() >= 5, "{sizes:?}");
}

#[test]
fn keys_that_need_the_model_here_are_refused() {
    let home = Home::new();
    let config = json!({
        "embedding_base_url": "http://h/v1", "max_length": 5, "prompt_name_query": "q", "task_query": "t",
        "encode_based_on_type": true, "batch_size": 5000, "pooling": "cls", "device": "cuda",
    });
    let all = home.refusal("SentenceTransformerEngine", &config);
    for part in [
        "`embedding_model_name` is missing",
        "truncate_prompt_tokens",
        "`prompt_name_query` is not possible",
        "`task_query` is not possible",
        "`encode_based_on_type` is not possible",
        "`batch_size` must be at most 2048",
        "unknown key `pooling`",
    ] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
    let roles = home
        .check("Qwen3", &json!({"embedding_base_url": "http://h/v1"}))
        .unwrap();
    assert!(roles.score.is_some() && roles.search.is_none());
    let no_index = home.refusal(
        "Qwen3",
        &json!({"embedding_base_url": "http://h/v1", "index_path": "no"}),
    );
    assert!(no_index.contains("index.faiss"), "{no_index}");
}
