//! The semantics of pipelines, by the numbers of the compatibility document: what RoutIR gets
//! wrong must not be ours.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::*;
use routir_core::ErrorCode;
use routir_exec::{RunOptions, Runtime, RuntimeSettings};
use serde_json::json;

/// 1. Rerank scores belong to their documents, whatever the order of fetching.
#[tokio::test]
async fn s1_rerank_scores_belong_to_their_documents() {
    let found = Searcher::fixed(&[("c", 9.0), ("a", 8.0), ("d", 7.0), ("b", 6.0)]);
    let reranker = Scorer::new(1.0);
    let runtime = builder()
        .service(spec("bm25", searcher(&found)))
        .service(spec("rr", scorer(&reranker)))
        .collection(
            "docs",
            Library::new(&[("a", 10), ("b", 40), ("c", 20), ("d", 30)]),
        )
        .build()
        .unwrap();
    let answer = run(&runtime, over_docs("bm25%50 >> rr")).await.unwrap();
    assert_eq!(
        hits(&answer),
        [("b", 40.01), ("d", 30.01), ("c", 20.01), ("a", 10.01)]
    );
}

/// 2. Parallel rerankers are fused.
#[tokio::test]
async fn s2_parallel_rerankers_are_fused() {
    let found = Searcher::fixed(&[("a", 3.0), ("b", 2.0), ("c", 1.0)]);
    let (up, double) = (Scorer::new(1.0), Scorer::new(2.0));
    let runtime = builder()
        .service(spec("bm25", searcher(&found)))
        .service(spec("rr1", scorer(&up)))
        .service(spec("rr2", scorer(&double)))
        .service(spec("Sum", merger(&Arc::default())))
        .collection("docs", Library::new(&[("a", 1), ("b", 2), ("c", 3)]))
        .build()
        .unwrap();
    let answer = run(&runtime, over_docs("bm25%50 >> {rr1, rr2}Sum%2"))
        .await
        .unwrap();
    assert_eq!(docs(&answer), ["c", "b"]);
    assert!((answer.ranking.hits()[0].score - 9.02).abs() < 1e-9);
    assert_eq!(found.queries().len(), 1, "both rerankers read one search");
}

/// 3. Every sub-query is searched in every branch, and the sub-queries reported are those run.
#[tokio::test]
async fn s3_sub_queries_are_searched_in_every_branch() {
    let (a, b) = (Searcher::named("a"), Searcher::named("b"));
    let sum = Arc::new(Summer::default());
    let runtime = builder()
        .service(spec("a", searcher(&a)))
        .service(spec("b", searcher(&b)))
        .service(spec("Sum", merger(&sum)))
        .service(spec("exp", expander(&["s1", "s2", "s3"])))
        .build()
        .unwrap();
    let answer = run(&runtime, call("exp%2{a%1, b%1}Sum")).await.unwrap();
    assert_eq!(docs(&answer), ["a-s1-1", "a-s2-1", "b-s1-1", "b-s2-1"]);
    assert_eq!(
        answer.expanded_queries.unwrap(),
        [Arc::from("s1"), Arc::from("s2")]
    );
    assert_eq!(a.queries(), ["s1", "s2"]);
    let asked = sum.asked.lock().unwrap();
    let order: Vec<_> = asked[0]
        .rankings
        .iter()
        .map(|ranking| ranking.hits()[0].doc.as_str())
        .collect();
    assert_eq!(
        order,
        ["a-s1-1", "a-s2-1", "b-s1-1", "b-s2-1"],
        "branch by branch"
    );
    assert_eq!(
        asked[0].sub_queries.as_deref().unwrap().len(),
        2,
        "the merger sees the sub-queries"
    );
    assert_eq!(&*asked[0].query, "q");
}

/// 4. An expander in rerank position reranks once per sub-query what the query found.
#[tokio::test]
async fn s4_an_expander_in_rerank_position_reranks_per_sub_query() {
    let found = Searcher::fixed(&[("a", 3.0), ("b", 2.0)]);
    let reranker = Scorer::new(1.0);
    let runtime = builder()
        .service(spec("bm25", searcher(&found)))
        .service(spec("rr", scorer(&reranker)))
        .service(spec("Sum", merger(&Arc::default())))
        .service(spec("exp", expander(&["one", "three"])))
        .collection("docs", Library::new(&[("a", 1), ("b", 2)]))
        .build()
        .unwrap();
    let answer = run(&runtime, over_docs("bm25 >> exp{rr}Sum"))
        .await
        .unwrap();
    assert_eq!(found.queries(), ["q"], "the search is for the query itself");
    let mut asked: Vec<_> = reranker
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|request| request.query.to_string())
        .collect();
    asked.sort();
    assert_eq!(asked, ["one", "three"]);
    assert_eq!(docs(&answer), ["b", "a"]);
    assert!((answer.ranking.hits()[0].score - 4.08).abs() < 1e-9);
}

/// 5. All runtime arguments reach the engine; those that it does not know are refused.
#[tokio::test]
async fn s5_runtime_kwargs_reach_the_engine_or_are_refused() {
    let found = Searcher::named("a");
    let runtime = builder()
        .service(spec("a", searcher(&found)))
        .build()
        .unwrap();
    let good = with_kwargs(
        call("a[x]"),
        "x",
        json!({"subset": "en", "depth": 3, "limit": 7}),
    );
    let answer = run(&runtime, good).await.unwrap();
    assert_eq!(answer.ranking.len(), 7, "limit is the stage's limit");
    let asked = found.asked.lock().unwrap().pop().unwrap();
    assert_eq!(
        *asked.params.as_map(),
        *json!({"subset": "en", "depth": 3}).as_object().unwrap()
    );

    let bad = with_kwargs(call("a[x]"), "x", json!({"subst": "en", "depth": "deep"}));
    let error = run(&runtime, bad).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(
        error.message().contains("did you mean `subset`?"),
        "{error}"
    );
    assert_eq!(error.problems().len(), 2, "all problems at once");

    let elsewhere = with_kwargs(call("a[first]"), "frist", json!({"depth": 1}));
    let error = run(&runtime, elsewhere).await.unwrap_err();
    assert!(error.message().contains("did you mean `first`?"), "{error}");
}

/// 6. An explicit `%N` wins over `runtime_kwargs.limit`; without either a search finds 10.
#[tokio::test]
async fn s6_an_explicit_limit_wins() {
    let found = Searcher::named("a");
    let runtime = builder()
        .service(spec("a", searcher(&found)))
        .build()
        .unwrap();
    let both = with_kwargs(call("a%3"), "a", json!({"limit": 7}));
    assert_eq!(run(&runtime, both).await.unwrap().ranking.len(), 3);
    let numeric_string = with_kwargs(call("a"), "a", json!({"limit": "7"}));
    assert_eq!(
        run(&runtime, numeric_string).await.unwrap().ranking.len(),
        7
    );
    assert_eq!(run(&runtime, call("a")).await.unwrap().ranking.len(), 10);
    assert_eq!(run(&runtime, call("a%0")).await.unwrap().ranking.len(), 0);
    let asked: Vec<_> = found
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|request| request.limit)
        .collect();
    assert_eq!(
        asked,
        [3, 7, 10],
        "the engine is told, and not asked for nothing"
    );
}

/// 7. The same call is computed once per request: across branches, across stages, and when a
/// sub-query is the query itself.
#[tokio::test]
async fn s7_identical_calls_are_computed_once() {
    let found = Searcher::fixed(&[("a", 2.0), ("b", 1.0)]);
    let reranker = Scorer::new(1.0);
    let runtime = builder()
        .service(spec("a", searcher(&found)))
        .service(spec("rr", scorer(&reranker)))
        .service(spec("Sum", merger(&Arc::default())))
        .service(spec("exp", expander(&["*", "other", "other"])))
        .collection("docs", Library::new(&[("a", 1), ("b", 2)]))
        .build()
        .unwrap();
    run(
        &runtime,
        over_docs("{a, a[again], a >> rr, a >> rr, {a, a}Sum}Sum"),
    )
    .await
    .unwrap();
    assert_eq!(found.queries(), ["q"]);
    assert_eq!(reranker.asked.lock().unwrap().len(), 1);

    found.asked.lock().unwrap().clear();
    reranker.asked.lock().unwrap().clear();
    run(&runtime, over_docs("{a >> rr, exp{a >> rr}Sum}Sum"))
        .await
        .unwrap();
    let mut queries = found.queries();
    queries.sort();
    assert_eq!(queries, ["other", "q"]);
    assert_eq!(reranker.asked.lock().unwrap().len(), 2);

    // Other arguments make another call.
    found.asked.lock().unwrap().clear();
    let differs = with_kwargs(call("{a, a[x]}Sum"), "x", json!({"depth": 1}));
    run(&runtime, differs).await.unwrap();
    assert_eq!(found.queries().len(), 2);
}

/// 7, continued: of a searcher whose small answers are prefixes of its large ones, the largest
/// limit in a scope answers all.
#[tokio::test]
async fn s7_limits_are_widened_where_that_is_sound() {
    let stable = Arc::new(Searcher {
        prefix: "a".to_owned(),
        prefix_stable: true,
        ..Searcher::default()
    });
    let plain = Searcher::named("b");
    let runtime = builder()
        .service(spec("a", searcher(&stable)))
        .service(spec("b", searcher(&plain)))
        .service(spec("Sum", merger(&Arc::default())))
        .build()
        .unwrap();
    let answer = run(&runtime, call("{a%2, a%5, b%2, b%5}Sum"))
        .await
        .unwrap();
    let limits = |engine: &Searcher| -> Vec<usize> {
        let mut limits: Vec<_> = engine
            .asked
            .lock()
            .unwrap()
            .iter()
            .map(|r| r.limit)
            .collect();
        limits.sort_unstable();
        limits
    };
    assert_eq!(limits(&stable), [5]);
    assert_eq!(limits(&plain), [2, 5]);
    // Each branch still sees its own limit: the two best were found twice.
    assert_eq!(answer.ranking.hits()[0].score, 2.0);
    let third = answer
        .ranking
        .hits()
        .iter()
        .find(|hit| &*hit.doc == "a-q-3")
        .unwrap();
    assert_eq!(third.score, 1.0 / 3.0);
}

/// 8. The first failing branch cancels its siblings.
#[tokio::test]
async fn s8_a_failing_branch_cancels_its_siblings() {
    let bad = Arc::new(Searcher {
        fails: true,
        ..Searcher::default()
    });
    let slow = Arc::new(Searcher {
        hangs: true,
        ..Searcher::default()
    });
    let runtime = builder()
        .service(spec("bad", searcher(&bad)))
        .service(spec("slow", searcher(&slow)))
        .service(spec("Sum", merger(&Arc::default())))
        .build()
        .unwrap();
    let error = run(&runtime, call("{slow, {slow[x]%3, bad}Sum}Sum"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::EngineFailure);
    assert_eq!(error.message(), "service `bad`: the index is on fire");
    settled(&slow).await;
}

/// 8, continued: a caller that leaves cancels everything downstream.
#[tokio::test]
async fn s8_a_caller_that_leaves_cancels_everything() {
    let slow = Arc::new(Searcher {
        hangs: true,
        ..Searcher::default()
    });
    let runtime = builder()
        .service(spec("slow", searcher(&slow)))
        .service(spec("rr", scorer(&Scorer::new(1.0))))
        .service(spec("Sum", merger(&Arc::default())))
        .service(spec("exp", expander(&["s1", "s2"])))
        .collection("docs", Library::new(&[]))
        .build()
        .unwrap();
    let leaves = run(&runtime, over_docs("exp{slow, slow%3 >> rr}Sum >> rr"));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), leaves)
            .await
            .is_err()
    );
    assert_eq!(slow.asked.lock().unwrap().len(), 4, "it was under way");
    settled(&slow).await;
}

/// 8, continued: a deadline does the same, and says so.
#[tokio::test]
async fn s8_a_deadline_cancels_everything() {
    let slow = Arc::new(Searcher {
        hangs: true,
        ..Searcher::default()
    });
    let runtime = builder()
        .service(spec("slow", searcher(&slow)))
        .build()
        .unwrap();
    let mut context = context();
    context.deadline = Some(std::time::Instant::now() + Duration::from_millis(20));
    let mut call = call("slow");
    call.context = Arc::new(context);
    let error = runtime.pipeline(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DeadlineExceeded);
    settled(&slow).await;
}

/// Waits until no call of the engine is alive; fails when one outlives its request.
async fn settled(engine: &Searcher) {
    for _ in 0..500 {
        if engine.running.load(Ordering::SeqCst) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let alive = engine.running.load(Ordering::SeqCst);
    assert_eq!(alive, 0, "an engine call outlived the request that made it");
}

/// 8, continued: a request may ask for what succeeded; branches keep their places.
#[tokio::test]
async fn s8_partial_answers_on_request() {
    let bad = Arc::new(Searcher {
        fails: true,
        ..Searcher::default()
    });
    let good = Searcher::fixed(&[("a", 1.0)]);
    let sum = Arc::new(Summer::default());
    let runtime = builder()
        .service(spec("bad", searcher(&bad)))
        .service(spec("good", searcher(&good)))
        .service(spec("Sum", merger(&sum)))
        .build()
        .unwrap();
    let partial = RunOptions {
        partial: true,
        ..RunOptions::default()
    };
    let answer = run(&runtime, with_options(call("{bad[x], good}Sum"), partial))
        .await
        .unwrap();
    assert_eq!(docs(&answer), ["a"]);
    assert_eq!(answer.failures.len(), 1);
    assert_eq!(answer.failures[0].stage, "x");
    assert_eq!(answer.failures[0].code, "engine_failure");
    let places: Vec<_> = sum.asked.lock().unwrap()[0]
        .rankings
        .iter()
        .map(|ranking| ranking.len())
        .collect();
    assert_eq!(places, [0, 1]);
    let none = run(&runtime, with_options(call("{bad, bad%3}Sum"), partial))
        .await
        .unwrap_err();
    assert_eq!(none.code(), ErrorCode::EngineFailure, "nothing succeeded");
}

/// 9. Order is total: score, then document. A score that is no number is the engine's error.
#[tokio::test]
async fn s9_order_is_total_and_scores_are_numbers() {
    let ties = Searcher::fixed(&[("b", 1.0), ("a", 1.0), ("c", 2.0)]);
    let nan = Arc::new(Scorer {
        nan: true,
        ..Scorer::default()
    });
    let short = Arc::new(Scorer {
        short: true,
        ..Scorer::default()
    });
    let bad = Searcher::fixed(&[("a", f64::NAN)]);
    let runtime = builder()
        .service(spec("ties", searcher(&ties)))
        .service(spec("bad", searcher(&bad)))
        .service(spec("nan", scorer(&nan)))
        .service(spec("short", scorer(&short)))
        .collection("docs", Library::new(&[("a", 1), ("b", 2), ("c", 3)]))
        .build()
        .unwrap();
    assert_eq!(
        docs(&run(&runtime, call("ties")).await.unwrap()),
        ["c", "a", "b"]
    );
    for (pipeline, says) in [
        ("bad", "not a finite number"),
        (
            "ties >> nan",
            "the score of passage 0 is not a finite number",
        ),
        ("ties >> short", "answered 2 scores for 3 passages"),
    ] {
        let error = run(&runtime, over_docs(pipeline)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::EngineFailure, "{pipeline}");
        assert!(error.message().contains(says), "{pipeline}: {error}");
        assert!(error.message().contains("service `"), "{pipeline}: {error}");
    }
}

/// 10. `dynamic_pipeline: false` runs aliases and single services, nothing else.
#[tokio::test]
async fn s10_dynamic_pipeline_false_is_enforced() {
    let settings = RuntimeSettings {
        dynamic_pipeline: false,
        ..RuntimeSettings::default()
    };
    let runtime = Runtime::builder(settings)
        .service(spec("a", searcher(&Searcher::named("a"))))
        .service(spec("Sum", merger(&Arc::default())))
        .alias("both", "{a%2, a%3}Sum")
        .build()
        .unwrap();
    assert_eq!(run(&runtime, call("a%4")).await.unwrap().ranking.len(), 4);
    assert_eq!(
        run(&runtime, call("both%1")).await.unwrap().ranking.len(),
        1
    );
    let error = run(&runtime, call("{a, a}Sum")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    assert!(error.message().contains("configured: both"), "{error}");
}
