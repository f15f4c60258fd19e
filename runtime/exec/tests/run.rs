//! What surrounds a run: caches, bounds, reports, and that nothing of it stays behind.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use expect_test::expect;
use routir_core::{Batching, DocId, Error, ErrorCode, Result, ScoreRequest, SearchRequest};
use routir_exec::{KeyFields, PipelineAnswer, RunOptions, Runtime, RuntimeSettings};
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

async fn ask(runtime: &Runtime, request: SearchRequest) -> Result<PipelineAnswer> {
    runtime.search("a", request, RunOptions::default()).await
}

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

#[tokio::test]
async fn a_request_is_bounded_in_calls_and_sub_queries() {
    let settings = RuntimeSettings {
        max_calls: 5,
        max_sub_queries: 3,
        ..RuntimeSettings::default()
    };
    let runtime = Runtime::builder(settings)
        .service(spec("a", searcher(&Searcher::named("a"))))
        .service(spec("Sum", merger(&Arc::default())))
        .service(spec("three", expander(&["1", "2", "3"])))
        .service(spec("four", expander(&["1", "2", "3", "4"])))
        .build()
        .unwrap();
    assert!(run(&runtime, call("three{a}Sum")).await.is_ok());
    let error = run(&runtime, call("three{a, a%3}Sum")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    assert!(error.message().contains("more stage calls"), "{error}");
    let error = run(&runtime, call("four{a}Sum")).await.unwrap_err();
    assert!(
        error
            .message()
            .contains("`four` made 4 sub-queries; 3 are allowed"),
        "{error}"
    );
    assert!(run(&runtime, call("four%3{a}Sum")).await.is_ok());
}

/// The worst shapes that compile must run on the 2 MiB stack of a worker thread.
#[test]
fn the_deepest_pipeline_runs_on_a_worker_stack() {
    let work = || {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio.block_on(async {
            let runtime = builder()
                .service(spec("a", searcher(&Searcher::fixed(&[("a", 1.0)]))))
                .service(spec("rr", scorer(&Scorer::new(1.0))))
                .service(spec("Sum", merger(&Arc::default())))
                .service(spec("exp", expander(&["s"])))
                .collection("docs", Library::new(&[("a", 1)]))
                .build()
                .unwrap();
            let row = format!("a{}", " >> rr".repeat(63));
            assert!(run(&runtime, over_docs(&row)).await.is_ok());
            let nest = format!("{}a >> rr{}", "exp{".repeat(32), "}Sum".repeat(32));
            assert!(run(&runtime, over_docs(&nest)).await.is_ok());
            let too_deep = run(&runtime, over_docs(&format!("{row} >> rr")))
                .await
                .unwrap_err();
            assert!(
                too_deep
                    .message()
                    .contains("65 stages in a row; 64 are allowed"),
                "{too_deep}"
            );
        });
    };
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

#[tokio::test]
async fn provenance_tells_each_hit_its_way() {
    let runtime = builder()
        .service(spec(
            "a",
            searcher(&Searcher::fixed(&[("x", 3.0), ("y", 2.0)])),
        ))
        .service(spec("b", searcher(&Searcher::fixed(&[("y", 5.0)]))))
        .service(spec("rr", scorer(&Scorer::new(1.0))))
        .service(spec("Sum", merger(&Arc::default())))
        .collection("docs", Library::new(&[("x", 1), ("y", 2)]))
        .build()
        .unwrap();
    let provenance = RunOptions {
        provenance: true,
        ..RunOptions::default()
    };
    let call = with_options(over_docs("{a[first], b}Sum%1 >> rr"), provenance);
    let answer = run(&runtime, call).await.unwrap();
    let traces = answer.provenance.unwrap();
    let way: Vec<_> = traces[0]
        .iter()
        .map(|trace| (&*trace.stage, trace.rank, trace.score))
        .collect();
    assert_eq!(
        docs(&run(&runtime, over_docs("{a, b}Sum%1")).await.unwrap()),
        ["y"]
    );
    assert_eq!(
        way,
        [
            ("first", 2, 2.0),
            ("b", 1, 5.0),
            ("Sum", 1, 7.0),
            ("rr", 1, 2.01)
        ]
    );
    assert!(answer.explain.is_none());
}

#[tokio::test]
async fn explain_tells_how_each_stage_went() {
    let runtime = builder()
        .service(spec(
            "a",
            searcher(&Searcher::fixed(&[("x", 3.0), ("y", 2.0)])),
        ))
        .service(spec("rr", scorer(&Scorer::new(1.0))))
        .service(spec("Sum", merger(&Arc::default())))
        .service(spec("exp", expander(&["one", "two"])))
        .collection("docs", Library::new(&[("x", 1), ("y", 2)]))
        .build()
        .unwrap();
    let explain = RunOptions {
        explain: true,
        ..RunOptions::default()
    };
    let call = with_options(over_docs("exp{a[first]%7}Sum >> rr@notes%1"), explain);
    let report = run(&runtime, call).await.unwrap().explain.unwrap();
    let stages = report["stages"].as_array().unwrap();
    let summary: Vec<_> = stages
        .iter()
        .map(|stage| {
            for time in ["total_ms", "queued_ms", "service_ms"] {
                assert!(stage[time].as_f64().unwrap() >= 0.0, "{stage}");
            }
            format!(
                "{} {} {} in {} out {}{}",
                stage["stage"],
                stage["role"],
                stage["query"],
                stage["documents_in"],
                stage["documents_out"],
                stage["sub_queries"],
            )
        })
        .collect();
    expect![[r#"
        "exp" "decompose_query" "q" in 0 out null["one","two"]
        "first" "search" "one" in 0 out 2null
        "first" "search" "two" in 0 out 2null
        "Sum" "fuse" "q" in 4 out 2null
        "rr" "score" "q" in 2 out 1null"#]]
    .assert_eq(&summary.join("\n"));
    assert_eq!(stages[1]["batch_size"], 1);
    assert!(
        report["text"].as_str().unwrap().contains("first of 2 runs"),
        "{}",
        report["text"]
    );
    assert!(report["total_ms"].as_f64().unwrap() > 0.0);
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

/// A model gets what waits for it in one batch; an engine that gains nothing from that gets each
/// request alone, so that none waits for a slower one, and no more at once than it was promised.
#[tokio::test]
async fn requests_are_batched_only_for_engines_that_gain_from_it() {
    let sizes = [
        (Batching::Together, 9),
        (Batching::Alone, 1),
        (Batching::Inside, 1),
    ];
    for (batching, largest) in sizes {
        let engine = Arc::new(Searcher {
            batching,
            ..Searcher::default()
        });
        let mut service = spec("a", searcher(&engine));
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

/// Documents of a MiB each, and how often each was read.
#[derive(Default)]
struct Tomes(std::sync::Mutex<std::collections::HashMap<String, usize>>);

impl routir_core::ContentSource for Tomes {
    fn info(&self) -> routir_core::CollectionInfo {
        routir_core::CollectionInfo {
            views: [(Arc::from("text"), routir_core::ViewKind::Text)].into(),
            default_view: Arc::from("text"),
        }
    }

    fn fetch<'a>(
        &'a self,
        _view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> routir_core::BoxFuture<'a, Result<Vec<Result<Arc<routir_core::Document>>>>> {
        let one = |id: &DocId| {
            *self.0.lock().unwrap().entry(id.to_string()).or_default() += 1;
            Ok(Arc::new(routir_core::Document {
                id: id.clone(),
                payload: routir_core::Payload::Text("x".repeat(1 << 20).into()),
                title: None,
                language: None,
            }))
        };
        let found = ids.iter().map(one).collect();
        Box::pin(async move { Ok(found) })
    }
}

#[tokio::test]
async fn documents_of_one_call_are_read_once_and_bounded_together() {
    let tomes = Arc::new(Tomes::default());
    let source = Arc::clone(&tomes) as Arc<dyn routir_core::ContentSource>;
    let runtime = builder().collection("tomes", source).build().unwrap();
    let ask = async |ids: Vec<DocId>| {
        let found = runtime.documents(&context(), "tomes", None, &ids).await;
        let code = |found: Result<_>| found.map(drop).map_err(|error: Error| error.code());
        found.unwrap().into_iter().map(code).collect::<Vec<_>>()
    };
    let same = |count| vec![DocId::from("a"); count];
    assert!(ask(same(64)).await.iter().all(Result::is_ok));
    assert_eq!(tomes.0.lock().unwrap()["a"], 1);
    let too_large = Err(ErrorCode::TooLarge);
    assert!(ask(same(10_000)).await.iter().all(|it| *it == too_large));

    let many = (0..1000).map(|number| DocId::from(format!("d{number}")));
    let found = ask(many.collect()).await;
    assert_eq!(found.iter().filter(|it| it.is_ok()).count(), 64);
    assert!(found[..64].iter().all(Result::is_ok));
    // No more of them were read than could go along, but for those of the last reading.
    assert!(tomes.0.lock().unwrap().len() <= 1 + 2 * 64);
}

/// Finds as many documents as it is asked for, and fewer are the first of more.
struct Endless;

impl routir_core::SearchEngine for Endless {
    fn search(
        &self,
        batch: Vec<SearchRequest>,
    ) -> routir_core::BoxFuture<'_, Vec<Result<routir_core::Ranking>>> {
        let one = |request: &SearchRequest| {
            let hit = |rank| routir_core::Hit::new(format!("d{rank}"), -(rank as f64));
            routir_core::Ranking::from_hits((0..request.limit).map(hit).collect())
        };
        let answers = batch.iter().map(one).collect();
        Box::pin(async move { answers })
    }

    fn params(&self) -> routir_core::ParamsSpec {
        routir_core::ParamsSpec::none()
    }

    fn prefix_stable(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn one_search_with_many_limits_copies_no_more_than_it_may() {
    let roles = routir_core::Roles {
        search: Some(Arc::new(Endless)),
        ..routir_core::Roles::default()
    };
    let sum = spec("Sum", merger(&Arc::default()));
    let runtime = builder().service(spec("a", roles)).service(sum);
    let runtime = runtime.build().unwrap();
    let ask = async |branches: usize| {
        let branches: Vec<_> = (0..branches)
            .map(|at| format!("a%{}", 20_000 - at))
            .collect();
        let pipeline = format!("{{{}}}Sum%3", branches.join(", "));
        let answer = runtime.pipeline(call(&pipeline)).await;
        answer.map(|answer| answer.ranking.len())
    };
    assert_eq!(ask(50).await.unwrap(), 3);
    let error = ask(110).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge, "{error}");
}

/// A GPU that may fail.
struct Gpu(std::sync::atomic::AtomicBool);

impl routir_core::Health for Gpu {
    fn check(&self) -> Result<()> {
        match self.0.load(std::sync::atomic::Ordering::Relaxed) {
            true => Err(Error::new(ErrorCode::Unavailable, "`cuda:0` failed")),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_service_is_ready_while_what_it_needs_is_well_and_others_all_the_time() {
    let gpu = Arc::new(Gpu(false.into()));
    let needing = routir_core::Roles {
        health: vec![Arc::clone(&gpu) as _],
        ..searcher(&Searcher::named("a"))
    };
    let runtime = builder()
        .service(spec("a", needing))
        .service(spec("b", searcher(&Searcher::named("b"))))
        .build()
        .unwrap();
    let ready = || -> Vec<(String, bool, String)> {
        let parts = runtime.readiness().into_iter();
        let services = parts.filter(|part| part.name.starts_with("service"));
        services
            .map(|part| (part.name, part.ready, part.detail))
            .collect()
    };
    assert!(ready().iter().all(|(_, ready, _)| *ready), "{:?}", ready());
    gpu.0.store(true, std::sync::atomic::Ordering::Relaxed);
    for (name, ready, detail) in ready() {
        assert_eq!(ready, name != "service a", "{name}");
        assert_eq!(!ready, detail == "`cuda:0` failed", "{name}");
    }
}
