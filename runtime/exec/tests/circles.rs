//! Extensions that call one another: circles are refused at once, depth is bounded, and however
//! they wait for each other, nobody waits for himself.
#![expect(
    clippy::unwrap_used,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::guest::*;
use common::*;
use futures_util::future::join_all;
use routir_core::{ErrorCode, Hit, Ranking};
use routir_exec::{CacheSpec, KeyFields, Runtime, RuntimeSettings, ServiceSpec};

fn within_seconds<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let bounded = tokio::time::timeout(Duration::from_secs(60), work);
    async { bounded.await.unwrap() }
}

#[tokio::test]
async fn a_circle_is_refused_and_named() {
    let acme = tenant("acme", &["*"], &[]);
    let builder = builder()
        .service(spec("native", searcher(&Searcher::named("n"))))
        .service(spec("Sum", merger(&Arc::default())))
        .alias("hidden", "{native, a}Sum");
    let host = builder.host();
    let services = [
        relay(&host, None, "self", "self"),
        relay(&host, None, "a", "b"),
        relay(&host, None, "b", "c"),
        relay(&host, None, "c", "{native, hidden%3}Sum"),
        relay(&host, None, "before", "a"),
    ];
    let runtime = services
        .into_iter()
        .fold(builder, |builder, it| builder.service(it))
        .tenant(Arc::clone(&acme))
        .build()
        .unwrap();
    let owner = Some("acme");
    runtime
        .publish(owner, relay(&host, owner, "mine", "mine"))
        .unwrap();
    for (pipeline, circle) in [
        ("self", "extension `self` calls itself: self > self"),
        ("a", "extension `a` calls itself: a > b > c > a"),
        ("before", "extension `a` calls itself: a > b > c > a"),
        (
            "{native, c}Sum",
            "extension `c` calls itself: c > a > b > c",
        ),
    ] {
        let error = within_seconds(run(&runtime, call(pipeline)))
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::EngineFailure);
        assert!(error.message().contains(circle), "{error}");
    }
    let error = refusal(&runtime, &acme, "mine").await;
    let circle = "extension `acme/mine` calls itself: acme/mine > acme/mine";
    assert!(error.message().contains(circle), "{error}");
    // The same name elsewhere is another extension.
    runtime.publish(None, finds(None, "mine", "x")).unwrap();
    assert!(run(&runtime, call("mine")).await.is_ok());
}

#[tokio::test]
async fn depth_is_bounded() {
    let settings = RuntimeSettings {
        max_depth: 2,
        ..RuntimeSettings::default()
    };
    let builder = Runtime::builder(settings).service(spec("n", searcher(&Searcher::named("n"))));
    let host = builder.host();
    let chain = [("one", "n"), ("two", "one"), ("three", "two")];
    let runtime = chain
        .into_iter()
        .fold(builder, |it, (name, asks)| {
            it.service(relay(&host, None, name, asks))
        })
        .build()
        .unwrap();
    for fits in ["one", "two"] {
        assert!(run(&runtime, call(fits)).await.is_ok(), "{fits}");
    }
    let error = run(&runtime, call("three")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    assert!(error.message().contains("three > two > one"), "{error}");
}

/// An extension that falls back on itself where the other cannot be asked.
fn stubborn(
    host: &Arc<dyn routir_core::Host>,
    name: &'static str,
    other: &'static str,
    calls: &Arc<AtomicUsize>,
) -> ServiceSpec {
    let calls = Arc::clone(calls);
    let spec = guest(host, None, name, move |caller| {
        calls.fetch_add(1, Ordering::SeqCst);
        async move {
            // Long enough for the other to be under way.
            tokio::time::sleep(Duration::from_millis(5)).await;
            match caller.search(other).await {
                Ok(found) => Ok(Arc::unwrap_or_clone(found)),
                Err(error) if error.message().contains("calls itself") => {
                    Ranking::from_hits(vec![Hit::new(format!("by-{name}"), 1.0)])
                }
                Err(error) => Err(error),
            }
        }
    });
    ServiceSpec {
        // One place, and everything kept: what could be shared or waited for is.
        at_once: 1,
        cache: Some(CacheSpec {
            backing: kept_here(),
            key_fields: KeyFields::Default,
            scores: false,
        }),
        ..spec
    }
}

/// `a` asks `b` while `b` asks `a`, for the same query and at the same time: if the inner calls
/// joined the outer computations, or waited for their places, each would wait for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_ask_each_other_never_wait_for_each_other() {
    for cached in [false, true] {
        let builder = Runtime::builder(RuntimeSettings {
            pipeline_cache: cached.then(kept_here),
            ..RuntimeSettings::default()
        });
        let host = builder.host();
        let calls = Arc::default();
        let runtime = builder
            .service(stubborn(&host, "a", "b", &calls))
            .service(stubborn(&host, "b", "a", &calls))
            .build()
            .unwrap();
        let ask = |name: &'static str| {
            let runtime = runtime.clone();
            tokio::spawn(async move { run(&runtime, call(name)).await.unwrap() })
        };
        let all = join_all((0..20).flat_map(|_| ["a", "b"]).map(ask));
        for (i, answer) in within_seconds(all).await.into_iter().enumerate() {
            // `a` asks `b`, which cannot ask `a` again and answers itself.
            let expected = if i % 2 == 0 { "by-b" } else { "by-a" };
            assert_eq!(docs(&answer.unwrap()), [expected]);
        }
        // What is asked in the same chain is shared all the same: `a`, `a > b`, `b`, `b > a`. (More
        // for those who looked into the cache just before an answer came.)
        let calls = calls.load(Ordering::SeqCst);
        assert!((4..=12).contains(&calls), "{calls} calls");
    }
}

/// Without caches and with different queries, so that nothing is shared: places alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_taken_in_the_order_of_depth() {
    let builder = builder();
    let host = builder.host();
    let calls = Arc::default();
    let alone = |spec| ServiceSpec {
        cache: None,
        ..spec
    };
    let runtime = builder
        .service(alone(stubborn(&host, "a", "b", &calls)))
        .service(alone(stubborn(&host, "b", "a", &calls)))
        .build()
        .unwrap();
    let ask = |i: usize| {
        let mut call = call(["a", "b"][i % 2]);
        call.query = Arc::from(format!("q{i}"));
        let runtime = runtime.clone();
        tokio::spawn(async move { run(&runtime, call).await.unwrap() })
    };
    let answers = within_seconds(join_all((0..20).map(ask))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(calls.load(Ordering::SeqCst), 40);
}
