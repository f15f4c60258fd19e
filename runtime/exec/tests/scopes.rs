//! Who can name what: the operator all but the tenants' own, a tenant what it is granted and its
//! own, and nobody learns what else there is.
#![expect(
    clippy::unwrap_used,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;

use std::sync::Arc;

use common::guest::*;
use common::*;
use routir_core::{ErrorCode, Params, ScoreRequest, SearchRequest, Tenant};
use routir_exec::{RunOptions, Runtime, ServiceSpec};

/// Two tenants on one server: `acme` is granted English things, `umbra` nothing.
fn shared() -> (Runtime, Arc<Tenant>, Arc<Tenant>) {
    let acme = tenant("acme", &["en-*", "rr"], &["en*"]);
    let umbra = tenant("umbra", &[], &[]);
    let sum = ServiceSpec {
        public: true,
        ..spec("Sum", merger(&Arc::default()))
    };
    let runtime = builder()
        .service(spec("en-bm25", searcher(&Searcher::named("en"))))
        .service(spec("de-bm25", searcher(&Searcher::named("de"))))
        .service(spec("rr", scorer(&Scorer::new(1.0))))
        .service(sum)
        .service(spec("Other", merger(&Arc::default())))
        .collection("en", Library::new(&[("en-q-1", 1)]))
        .collection("de", Library::new(&[("de-q-1", 1)]))
        .alias("english", "{en-bm25, en-bm25%1}Sum")
        .alias("both", "{english, de-bm25}Sum")
        .alias("odd", "{en-bm25, en-bm25%1}Other")
        .tenant(Arc::clone(&acme))
        .tenant(Arc::clone(&umbra))
        .build()
        .unwrap();
    (runtime, acme, umbra)
}

#[tokio::test]
async fn a_tenant_sees_what_it_is_granted_and_what_is_public() {
    let (runtime, acme, umbra) = shared();
    let names = |tenant| {
        let catalog = runtime.catalog_for(&of(tenant)).unwrap();
        let services: Vec<_> = catalog.services.keys().map(ToString::to_string).collect();
        let aliases: Vec<_> = catalog.aliases.keys().map(ToString::to_string).collect();
        let collections: Vec<_> = catalog
            .collections
            .keys()
            .map(ToString::to_string)
            .collect();
        [services, aliases, collections].map(|names| names.join(" "))
    };
    assert_eq!(names(&acme), ["Sum en-bm25 rr", "english", "en"]);
    assert_eq!(names(&umbra), ["Sum", "", ""]);
    assert_eq!(runtime.catalog().services.len(), 5);
    assert_eq!(runtime.catalog().aliases.len(), 3);
    let nobody = tenant("nobody", &["*"], &["*"]);
    let unknown = runtime.catalog_for(&of(&nobody)).unwrap_err();
    assert_eq!(unknown.code(), ErrorCode::Internal);
}

/// What exists for others is told in the words for what exists for nobody, wherever it is named.
#[tokio::test]
async fn what_is_not_granted_is_as_unknown_as_what_is_not_there() {
    let (runtime, acme, _) = shared();
    runtime
        .publish(Some("umbra"), finds(Some("umbra"), "mine", "x"))
        .unwrap();
    // Each name beside one of the same length that nobody has and that is as near to what is there.
    for (hidden, absent) in [
        ("de-bm25", "dx-bm25"),
        ("Other", "Othxr"),
        ("both", "bxth"),
        ("mine", "mxne"),
    ] {
        for shape in [
            "{}",
            "en-bm25 >> {}",
            "{{}, en-bm25}Sum",
            "{en-bm25, en-bm25%2}{}",
        ] {
            let told = async |name: &str| {
                let error = refusal(&runtime, &acme, &shape.replace("{}", name)).await;
                (error.code(), error.message().replace(name, "NAME"))
            };
            assert_eq!(told(hidden).await, told(absent).await, "{shape}");
        }
        let direct = async |name: &str| {
            let request = SearchRequest {
                query: Arc::from("q"),
                limit: 3,
                params: Params::default(),
                context: Arc::new(of(&acme)),
            };
            let score = ScoreRequest {
                query: Arc::from("q"),
                passages: vec![Arc::from("a 1")].into(),
                params: Params::default(),
                context: Arc::new(of(&acme)),
            };
            let options = RunOptions::default();
            let search = runtime.search(name, request, options).await.unwrap_err();
            let score = runtime.score(name, score).await.unwrap_err();
            let explain = runtime.explain(&call_of(&acme, name)).unwrap_err();
            [search, score, explain].map(|error| format!("{error:?}").replace(name, "NAME"))
        };
        assert_eq!(direct(hidden).await, direct(absent).await);
    }
    let content = async |name: &str| {
        let error = runtime
            .content(&of(&acme), name, None, &"de-q-1".into())
            .await
            .unwrap_err();
        error.message().replace(name, "NAME")
    };
    assert_eq!(content("de").await, content("dx").await);
    let rerank = async |name: &str| {
        let mut call = call_of(&acme, "en-bm25 >> rr");
        call.collection = Some(name.to_owned());
        let error = runtime.pipeline(call).await.unwrap_err();
        error.message().replace(name, "NAME")
    };
    assert_eq!(rerank("de").await, rerank("dx").await);
    // Nor does a hint give it away.
    let near = refusal(&runtime, &acme, "de-bm2").await;
    assert!(!near.message().contains("de-bm25"), "{near}");
    assert!(refusal(&runtime, &acme, "english-").await.message().len() < 200);
}

#[tokio::test]
async fn a_tenants_extension_is_its_own() {
    let (runtime, acme, umbra) = shared();
    // The same name means to each its own, also one that the operator has and did not grant.
    for name in ["find", "de-bm25"] {
        runtime
            .publish(Some("acme"), finds(Some("acme"), name, "from-acme"))
            .unwrap();
        runtime
            .publish(Some("umbra"), finds(Some("umbra"), name, "from-umbra"))
            .unwrap();
        for (tenant, doc) in [(&acme, "from-acme"), (&umbra, "from-umbra")] {
            let answer = runtime.pipeline(call_of(tenant, name)).await.unwrap();
            assert_eq!(docs(&answer), [doc]);
        }
    }
    let operator = run(&runtime, call("find")).await.unwrap_err();
    assert_eq!(operator.code(), ErrorCode::UnknownName);
    assert_eq!(
        docs(&run(&runtime, call("de-bm25%1")).await.unwrap()),
        ["de-q-1"]
    );
    // Withdrawing one leaves the other's.
    assert!(runtime.withdraw(Some("acme"), "find"));
    assert!(!runtime.withdraw(Some("acme"), "find"));
    assert_eq!(
        refusal(&runtime, &acme, "find").await.code(),
        ErrorCode::UnknownName
    );
    assert!(runtime.pipeline(call_of(&umbra, "find")).await.is_ok());
}

#[tokio::test]
async fn names_that_mean_something_are_not_published_over() {
    let (runtime, ..) = shared();
    let publish = |owner: Option<&str>, name: &str| {
        let error = runtime.publish(owner, finds(owner, name, "x")).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        error.message().to_owned()
    };
    let says = [
        (Some("acme"), "en-bm25", "a service of the operator"),
        (Some("umbra"), "Sum", "a service of the operator"),
        (Some("acme"), "english", "a pipeline alias"),
        (None, "en-bm25", "a native service"),
        (None, "both", "a pipeline alias"),
        (None, "not a name", "is no name for an extension"),
    ];
    for (owner, name, what) in says {
        let said = publish(owner, name);
        assert!(said.contains(what) && said.contains(name), "{said}");
    }
    assert!(!runtime.withdraw(None, "en-bm25"), "native services stay");
    assert!(!runtime.withdraw(Some("acme"), "en-bm25"));
    let unknown = runtime.publish(Some("who"), finds(Some("who"), "x", "x"));
    assert_eq!(unknown.unwrap_err().code(), ErrorCode::Internal);
}

/// Nothing that the operator adds changes what a tenant's pipelines mean.
#[tokio::test]
async fn a_tenant_keeps_its_names() {
    let acme = tenant("acme", &["*"], &[]);
    let runtime = builder()
        .service(spec("a", searcher(&Searcher::named("a"))))
        .service(spec("Sum", merger(&Arc::default())))
        .alias("two", "{a, a%1}Sum")
        .tenant(Arc::clone(&acme))
        .build()
        .unwrap();
    runtime
        .publish(Some("acme"), finds(Some("acme"), "find", "mine"))
        .unwrap();
    runtime
        .publish(None, finds(None, "find", "theirs"))
        .unwrap();
    runtime
        .publish(None, finds(None, "more", "granted"))
        .unwrap();
    let of_acme = async |pipeline: &str| {
        let answer = runtime.pipeline(call_of(&acme, pipeline)).await.unwrap();
        docs(&answer).join(" ")
    };
    assert_eq!(of_acme("find").await, "mine");
    assert_eq!(of_acme("more").await, "granted");
    assert_eq!(
        docs(&run(&runtime, call("find")).await.unwrap()),
        ["theirs"]
    );
    runtime.withdraw(Some("acme"), "find");
    assert_eq!(of_acme("find").await, "theirs");
    // The other way round, a granted name is taken.
    let taken = runtime.publish(Some("acme"), finds(Some("acme"), "more", "mine"));
    assert!(taken.is_err());
    runtime.withdraw(None, "more");
    assert_eq!(
        refusal(&runtime, &acme, "more").await.code(),
        ErrorCode::UnknownName
    );
    assert_eq!(of_acme("two%1").await, "a-q-1");
}

#[tokio::test]
async fn reports_say_whose_an_extension_is_and_metrics_count_a_tenants_as_one() {
    let (runtime, acme, _) = shared();
    for name in ["one", "two", "three"] {
        runtime
            .publish(Some("acme"), finds(Some("acme"), name, "x"))
            .unwrap();
    }
    runtime.publish(None, finds(None, "ours", "x")).unwrap();
    let mut call = call_of(&acme, "{one, two, three, en-bm25%1}Sum");
    call.options.explain = true;
    let report = runtime.pipeline(call).await.unwrap().explain.unwrap();
    let services: Vec<_> = report["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["service"].as_str().unwrap())
        .collect();
    assert_eq!(
        services,
        ["acme/one", "acme/two", "acme/three", "en-bm25", "Sum"]
    );
    run(&runtime, common::call("ours")).await.unwrap();
    let metrics = runtime.metrics().encode();
    let counted = r#"routir_stages_total{service="acme/*",role="search",outcome="ok"} 3"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains(r#"service="ours",role="search""#));
    assert!(!metrics.contains("acme/one") && !metrics.contains(r#""one""#));
}
