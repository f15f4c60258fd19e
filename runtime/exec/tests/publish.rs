//! Extensions that come and go under load, and that what is kept or in flight never crosses from
//! one version, or one tenant, to another.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::guest::*;
use common::*;
use futures_util::future::join_all;
use routir_core::{Hit, Ranking};
use routir_exec::{CacheSpec, KeyFields, Runtime, RuntimeBuilder, RuntimeSettings};

fn keeping_answers() -> RuntimeBuilder {
    Runtime::builder(RuntimeSettings {
        pipeline_cache: Some(kept_here()),
        ..RuntimeSettings::default()
    })
}

/// Every call answers, with the document of a version that was there while it ran.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_its_extension_is_replaced() {
    const VERSIONS: [&str; 4] = ["v0", "v1", "v2", "v3"];
    let acme = tenant("acme", &["a", "Sum"], &[]);
    let runtime = builder()
        .service(spec("a", searcher(&Searcher::named("a"))))
        .service(spec("Sum", merger(&Arc::default())))
        .tenant(Arc::clone(&acme))
        .build()
        .unwrap();
    let publish = |owner, doc| runtime.publish(owner, finds(owner, "ext", doc)).unwrap();
    publish(None, "v0");
    publish(Some("acme"), "v0");
    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let callers = (0..8).map(|caller| {
        let (runtime, done) = (runtime.clone(), Arc::clone(&done));
        let (acme, answered) = (Arc::clone(&acme), Arc::clone(&answered));
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let call = if caller % 2 == 0 {
                    call("{ext, a%1}Sum")
                } else {
                    call_of(&acme, "{ext, ext%3, a%1}Sum")
                };
                let answer = runtime.pipeline(call).await.unwrap();
                let found = docs(&answer);
                assert!(found.iter().any(|doc| VERSIONS.contains(doc)), "{found:?}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    for swap in 0..500 {
        publish(None, VERSIONS[swap % 4]);
        publish(Some("acme"), VERSIONS[swap % 4]);
        if swap % 8 == 0 {
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > 8);
}

#[tokio::test]
async fn a_call_in_flight_finishes_on_what_it_began_with() {
    let runtime = builder().build().unwrap();
    let (go, gate) = tokio::sync::watch::channel(false);
    let slow = guest(&runtime.host(), None, "ext", move |_| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.unwrap();
            Ranking::from_hits(vec![Hit::new("old", 1.0)])
        }
    });
    runtime.publish(None, slow).unwrap();
    let running = runtime.clone();
    let running = tokio::spawn(async move { running.pipeline(call("ext")).await.unwrap() });
    tokio::task::yield_now().await;
    runtime.publish(None, finds(None, "ext", "new")).unwrap();
    assert_eq!(docs(&run(&runtime, call("ext")).await.unwrap()), ["new"]);
    runtime.withdraw(None, "ext");
    assert!(run(&runtime, call("ext")).await.is_err());
    go.send(true).unwrap();
    assert_eq!(docs(&running.await.unwrap()), ["old"]);
}

#[tokio::test]
async fn answers_of_an_old_version_are_not_given_out() {
    let acme = tenant("acme", &["outer"], &[]);
    let builder = keeping_answers().tenant(Arc::clone(&acme));
    // `outer` asks `inner`, which `acme` cannot name.
    let mut outer = relay(&builder.host(), None, "outer", "inner");
    outer.cache = Some(CacheSpec {
        backing: kept_here(),
        key_fields: KeyFields::Default,
        scores: false,
    });
    let runtime = builder.service(outer).build().unwrap();
    for version in ["v1", "v2"] {
        runtime
            .publish(None, finds(None, "inner", version))
            .unwrap();
        for (pipeline, cached) in [("outer", false), ("outer", true)] {
            for call in [call(pipeline), call_of(&acme, pipeline)] {
                let answer = run(&runtime, call).await.unwrap();
                assert_eq!(docs(&answer), [version]);
                assert_eq!(answer.cached, cached);
            }
        }
    }
}

/// A tenant learns nothing from how fast it is answered: neither kept answers nor computations in
/// flight are shared.
#[tokio::test]
async fn tenants_share_no_answers() {
    let acme = tenant("acme", &["*"], &[]);
    let umbra = tenant("umbra", &["*"], &[]);
    let found = Searcher::named("a");
    let kept_service = kept(
        spec("kept", searcher(&found)),
        KeyFields::Only(vec!["query".into()]),
    );
    let plain = Searcher::named("b");
    let runtime = keeping_answers()
        .service(kept_service)
        .service(spec("plain", searcher(&plain)))
        .tenant(Arc::clone(&acme))
        .tenant(Arc::clone(&umbra))
        .build()
        .unwrap();
    let mut explained = call("kept");
    explained.options.explain = true;
    for who in [None, Some(&acme), Some(&umbra)] {
        // A report goes past the cache of pipelines to that of the service.
        for cached in [false, true] {
            let context = who.map_or_else(context, of);
            let call = routir_exec::PipelineCall {
                context: Arc::new(context),
                ..explained.clone()
            };
            assert_eq!(run(&runtime, call).await.unwrap().cached, cached);
        }
        for cached in [false, true] {
            let context = who.map_or_else(context, of);
            let call = routir_exec::PipelineCall {
                context: Arc::new(context),
                ..call("plain%2")
            };
            assert_eq!(run(&runtime, call).await.unwrap().cached, cached);
        }
    }
    assert_eq!((found.queries().len(), plain.queries().len()), (3, 3));
    // In flight: each party's two identical calls are one computation, and there are three.
    let calls = (0..6).map(|i| {
        let context = [None, Some(&acme), Some(&umbra)][i % 3].map_or_else(context, of);
        let call = routir_exec::PipelineCall {
            context: Arc::new(context),
            ..call("plain%7")
        };
        run(&runtime, call)
    });
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(plain.queries().len(), 6);
}

#[tokio::test]
async fn a_tenants_change_touches_nobody_else() {
    let tenants: Vec<_> = (0..50)
        .map(|i| tenant(&format!("t{i}"), &["*"], &[]))
        .collect();
    let mut builder = keeping_answers().service(spec("a", searcher(&Searcher::named("a"))));
    for tenant in &tenants {
        builder = builder.tenant(Arc::clone(tenant));
    }
    let runtime = builder.build().unwrap();
    assert!(
        !run(&runtime, call_of(&tenants[1], "a"))
            .await
            .unwrap()
            .cached
    );
    let catalogs = || {
        let of_tenants = tenants
            .iter()
            .map(|it| runtime.catalog_for(&of(it)).unwrap());
        of_tenants.chain([runtime.catalog()]).collect::<Vec<_>>()
    };
    let before = catalogs();
    runtime
        .publish(Some("t0"), finds(Some("t0"), "ext", "x"))
        .unwrap();
    let after = catalogs();
    assert!(after[0].generation > before[0].generation);
    for (before, after) in before.iter().zip(&after).skip(1) {
        assert!(
            Arc::ptr_eq(before, after),
            "one catalog, not two that are equal"
        );
    }
    assert!(
        run(&runtime, call_of(&tenants[1], "a"))
            .await
            .unwrap()
            .cached
    );
    // The operator's change is everybody's.
    runtime.publish(None, finds(None, "more", "x")).unwrap();
    for (before, after) in after.iter().zip(catalogs()) {
        assert!(after.generation > before.generation);
        assert!(after.services.contains_key("more"));
    }
}

/// How long a change takes with a thousand tenants of twenty extensions each; see the output of
/// `cargo test --release -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn publishing_among_many_tenants() {
    let tenants: Vec<_> = (0..1000)
        .map(|i| tenant(&format!("t{i}"), &["*"], &[]))
        .collect();
    let mut builder = builder();
    for i in 0..50 {
        builder = builder.service(spec(&format!("s{i}"), searcher(&Searcher::named("a"))));
    }
    for tenant in &tenants {
        builder = builder.tenant(Arc::clone(tenant));
    }
    let runtime = builder.build().unwrap();
    let timed = |what: &str, times: u32, work: &dyn Fn()| {
        let started = std::time::Instant::now();
        work();
        let line = format!("{what}: {:?} each\n", started.elapsed() / times);
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    };
    timed("a tenant's change", 20_000, &|| {
        for i in 0..20 {
            for tenant in &tenants {
                let name = format!("ext{i}");
                let owner = Some(&*tenant.name);
                runtime.publish(owner, finds(owner, &name, "x")).unwrap();
            }
        }
    });
    timed("the operator's change", 10, &|| {
        for _ in 0..10 {
            runtime.publish(None, finds(None, "ours", "x")).unwrap();
        }
    });
}
