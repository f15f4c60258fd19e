//! Answers that are kept, and for whom.

use std::sync::Arc;

use routir_core::{ErrorCode, ScoreRequest, SearchRequest};
use routir_exec::{KeyFields, RunOptions, Runtime, RuntimeSettings};
use serde_json::json;

use super::common::*;
use super::{ask, search};

async fn cached(runtime: &Runtime, request: SearchRequest) -> bool {
    ask(runtime, request).await.unwrap().cached
}

#[tokio::test]
async fn a_service_cache_answers_with_the_first_time_and_never_for_another_request() {
    let found = Searcher::named("a");
    let service = kept(spec("a", searcher(&found)), KeyFields::Default);
    let runtime = builder().service(service).build().unwrap();
    let first = ask(&runtime, search("q", 3, json!({}))).await.unwrap();
    let again = ask(&runtime, search("q", 3, json!({}))).await.unwrap();
    assert!(!first.cached && again.cached);
    assert_eq!(first.timestamp, again.timestamp);
    assert_eq!(first.ranking, again.ranking);
    let differs = [("another limit", "q", 4), ("another query", "p", 3)];
    for (what, query, limit) in differs {
        let request = search(query, limit, json!({}));
        assert!(!cached(&runtime, request).await, "{what}");
    }
    // The default fields know nothing of further arguments, so such answers are not kept at all.
    for _ in 0..2 {
        assert!(!cached(&runtime, search("q", 3, json!({"subset": "en"}))).await);
    }
}

#[tokio::test]
async fn a_service_uses_its_own_key_fields() {
    let with_subset = KeyFields::Only(vec!["query".to_owned(), "subset".to_owned()]);
    let service = kept(spec("a", searcher(&Searcher::named("a"))), with_subset);
    let other = kept(
        spec("b", searcher(&Searcher::named("b"))),
        KeyFields::Only(vec![]),
    );
    let runtime = builder().service(service).service(other).build().unwrap();
    assert!(!cached(&runtime, search("q", 3, json!({"subset": "en"}))).await);
    assert!(!cached(&runtime, search("q", 3, json!({"subset": "de"}))).await);
    assert!(
        cached(
            &runtime,
            search("q", 3, json!({"subset": "en", "depth": 1}))
        )
        .await
    );
    assert!(
        !cached(&runtime, search("q", 4, json!({"subset": "en"}))).await,
        "a limit counts"
    );
}

#[tokio::test]
async fn scores_are_kept_where_that_is_asked_for() {
    for (kept_too, computed) in [(false, 2), (true, 1)] {
        let engine = Scorer::new(1.0);
        let mut service = kept(spec("rr", scorer(&engine)), KeyFields::Default);
        service.cache.as_mut().unwrap().scores = kept_too;
        let runtime = builder().service(service).build().unwrap();
        let ask = async |passages: [&str; 2]| {
            let request = ScoreRequest {
                query: Arc::from("q"),
                passages: passages.map(Arc::from).to_vec().into(),
                params: Default::default(),
                context: Arc::new(context()),
            };
            runtime.score("rr", request).await.unwrap()
        };
        let (first, again) = (ask(["x 1", "y 2"]).await, ask(["x 1", "y 2"]).await);
        assert_eq!((first.stats.cached, again.stats.cached), (false, kept_too));
        assert_eq!(first.value, again.value);
        assert_eq!(engine.asked.lock().unwrap().len(), computed);
        // The same passages in another order are another request.
        let turned = ask(["y 2", "x 1"]).await;
        assert!(!turned.stats.cached && turned.value[0] == first.value[1]);
    }
}

#[tokio::test]
async fn without_a_pipeline_cache_the_last_stage_says_whether_it_was_kept() {
    let service = kept(
        spec("a", searcher(&Searcher::named("a"))),
        KeyFields::Default,
    );
    let sum = spec("Sum", merger(&Arc::default()));
    let runtime = builder().service(service).service(sum).build().unwrap();
    let cached = async |pipeline: &str| run(&runtime, call(pipeline)).await.unwrap().cached;
    assert!(!cached("a%3").await && cached("a%3").await);
    assert!(!cached("{a%3}Sum").await, "what was fused was not kept");
}

#[tokio::test]
async fn errors_are_never_cached() {
    let bad = Arc::new(Searcher {
        fails: true,
        ..Searcher::default()
    });
    let runtime = builder()
        .service(kept(spec("a", searcher(&bad)), KeyFields::Default))
        .build()
        .unwrap();
    for _ in 0..2 {
        let result = ask(&runtime, search("q", 3, json!({}))).await;
        assert_eq!(result.unwrap_err().code(), ErrorCode::EngineFailure);
    }
    assert_eq!(bad.queries().len(), 2);
}

#[tokio::test]
async fn the_pipeline_cache_sees_through_spelling_and_aliases() {
    let found = Searcher::named("a");
    let settings = RuntimeSettings {
        pipeline_cache: Some(kept_here()),
        ..RuntimeSettings::default()
    };
    let runtime = Runtime::builder(settings)
        .service(spec("a", searcher(&found)))
        .service(spec("Sum", merger(&Arc::default())))
        .service(spec("exp", expander(&["s"])))
        .alias("both", "{a%2, a%3}Sum")
        .build()
        .unwrap();
    let first = run(&runtime, call("both%4")).await.unwrap();
    let again = run(&runtime, call(" { a%2,a %3 } Sum %4")).await.unwrap();
    assert!(!first.cached && again.cached);
    assert_eq!(first.ranking, again.ranking);
    assert!(!run(&runtime, call("both%5")).await.unwrap().cached);
    let other = with_kwargs(call("both%4"), "a", json!({"depth": 1}));
    assert!(!run(&runtime, other).await.unwrap().cached);
    // What the answer tells beside the ranking is kept too.
    run(&runtime, call("exp{a}Sum")).await.unwrap();
    let again = run(&runtime, call("exp{a}Sum")).await.unwrap();
    assert!(again.cached);
    assert_eq!(again.expanded_queries.unwrap(), [Arc::from("s")]);
    // A question about the run is answered by a run.
    let explain = RunOptions {
        explain: true,
        ..RunOptions::default()
    };
    assert!(
        !run(&runtime, with_options(call("both%4"), explain))
            .await
            .unwrap()
            .cached
    );
}

#[tokio::test]
async fn the_pipeline_cache_keeps_no_failure_and_tells_queries_apart() {
    let bad = Arc::new(Searcher {
        fails: true,
        ..Searcher::default()
    });
    let good = Searcher::named("a");
    let settings = RuntimeSettings {
        pipeline_cache: Some(kept_here()),
        ..RuntimeSettings::default()
    };
    let runtime = Runtime::builder(settings)
        .service(spec("bad", searcher(&bad)))
        .service(spec("a", searcher(&good)))
        .build()
        .unwrap();
    for asked in 1..=2 {
        assert!(run(&runtime, call("bad%4")).await.is_err());
        assert_eq!(bad.queries().len(), asked);
    }
    let mut other = call("a%4");
    run(&runtime, other.clone()).await.unwrap();
    assert!(run(&runtime, other.clone()).await.unwrap().cached);
    other.query = Arc::from("another query");
    assert!(!run(&runtime, other).await.unwrap().cached);
}
