//! What surrounds a run, and that nothing of it stays behind.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod bounds;
#[path = "../common/mod.rs"]
mod common;
mod kept;
mod readiness;
mod reports;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use routir_core::{Batching, ErrorCode, Result, ScoreRequest, SearchRequest};
use routir_exec::{PipelineAnswer, RunOptions, Runtime};
use serde_json::json;

fn search(query: &str, limit: usize, params: serde_json::Value) -> SearchRequest {
    let serde_json::Value::Object(map) = params else {
        panic!("arguments are an object")
    };
    SearchRequest {
        query: Arc::from(query),
        limit,
        params: map.into(),
        context: Arc::new(context()),
    }
}

/// What the service `a` answers.
async fn ask(runtime: &Runtime, request: SearchRequest) -> Result<PipelineAnswer> {
    runtime.search("a", request, RunOptions::default()).await
}

#[tokio::test]
async fn single_calls_use_routirs_words() {
    let runtime = builder()
        .service(spec("bm25", searcher(&Searcher::named("a"))))
        .service(spec("rr", scorer(&Scorer::new(1.0))))
        .collection("docs", Library::new(&[("x", 1)]))
        .build()
        .unwrap();
    let options = RunOptions::default();
    let wrong = runtime
        .search("bm52", search("q", 3, json!({})), options)
        .await;
    let wrong = wrong.unwrap_err();
    assert_eq!(
        wrong.message(),
        "Service 'bm52' not found or does not support search"
    );
    assert_eq!(
        wrong.problems()[0].help.as_deref(),
        Some("did you mean `bm25`?")
    );
    assert_eq!(wrong.code(), ErrorCode::UnknownName);
    let request = ScoreRequest {
        query: Arc::from("q"),
        passages: vec![].into(),
        params: Default::default(),
        context: Arc::new(context()),
    };
    let wrong = runtime.score("bm25", request.clone()).await.unwrap_err();
    assert_eq!(
        wrong.message(),
        "Service 'bm25' not found or does not support score"
    );
    assert!(runtime.score("rr", request).await.unwrap().value.is_empty());
    let id = "zz".into();
    let wrong = runtime
        .content(&context(), "docs", None, &id)
        .await
        .unwrap_err();
    assert_eq!(wrong.message(), "ID zz is not found.");
    let wrong = runtime
        .content(&context(), "dosc", None, &id)
        .await
        .unwrap_err();
    assert_eq!(
        wrong.message(),
        "Service 'dosc' not found or does not support content"
    );
}

#[tokio::test]
async fn a_document_that_the_collection_lacks_fails_the_rerank_and_says_where() {
    let runtime = builder()
        .service(spec(
            "a",
            searcher(&Searcher::fixed(&[("x", 3.0), ("gone", 2.0)])),
        ))
        .service(spec("rr", scorer(&Scorer::new(1.0))))
        .collection("docs", Library::new(&[("x", 1)]))
        .build()
        .unwrap();
    let error = run(&runtime, over_docs("a >> rr[second]"))
        .await
        .unwrap_err();
    let says = "stage `second`: service `rr`: collection `docs`: ID gone is not found.";
    assert_eq!(error.message(), says);
}

/// A run's stages and the run hold each other while it goes; neither may outlive the request.
#[tokio::test]
async fn nothing_of_a_run_stays_behind() {
    let slow = Arc::new(Searcher {
        hangs: true,
        ..Searcher::default()
    });
    let library = Library::new(&[]);
    let runtime = builder()
        .service(spec("slow", searcher(&slow)))
        .service(spec("rr", scorer(&Scorer::new(1.0))))
        .collection("docs", Arc::clone(&library) as Arc<_>)
        .build()
        .unwrap();
    {
        let running = runtime.pipeline(over_docs("slow >> rr"));
        assert!(
            tokio::time::timeout(Duration::from_millis(20), running)
                .await
                .is_err()
        );
    }
    drop(runtime);
    // The snapshot, and with it the collection, lives as long as any run of it.
    for _ in 0..200 {
        if Arc::strong_count(&library) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a cancelled run is still held by something");
}

#[tokio::test]
async fn aliases_are_checked_before_anybody_uses_them() {
    let services = || builder().service(spec("a", searcher(&Searcher::named("a"))));
    let circle = services().alias("x", "y").alias("y", "x").build();
    let message = circle.err().unwrap().message().to_owned();
    assert!(message.contains("pipeline_aliases"), "{message}");
    let shadow = services().alias("a", "b").build();
    assert!(shadow.is_err());
}

/// A model gets what waits for it in one batch, if batches may be larger than one; an engine that gains nothing from that gets each
/// request alone, so that none waits for a slower one, and no more at once than it was promised.
#[tokio::test]
async fn requests_are_batched_only_for_engines_that_gain_from_it() {
    let sizes = [
        (Batching::Together, 32, 9),
        (Batching::Together, 1, 1),
        (Batching::Alone, 32, 1),
        (Batching::Inside, 32, 1),
    ];
    for (batching, batch_size, largest) in sizes {
        let engine = Arc::new(Searcher {
            batching,
            ..Searcher::default()
        });
        let mut service = spec("a", searcher(&engine));
        service.batch.policy.max_requests = batch_size;
        service.batch.concurrency = 1;
        service.at_once = 2;
        let runtime = builder().service(service).build().unwrap();
        let runtime = &runtime;
        let one = |query: String| async move {
            let request = search(&query, 3, json!({}));
            ask(runtime, request).await.unwrap()
        };
        futures_util::future::join_all((0..10).map(|i| one(format!("q{i}")))).await;
        let batches = engine.batches.lock().unwrap();
        assert_eq!(batches.iter().sum::<usize>(), 10);
        assert_eq!(batches.iter().max(), Some(&largest), "{batches:?}");
    }
}
