//! Compilation as its users see it: plans as text, and problems as they are told.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "outside a test function clippy does not see that this is a test; snapshots read best in place"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::{Expect, expect};
use routir_core::{
    Catalog, CollectionInfo, ErrorCode, ParamKind, ParamSpec, Params, ParamsSpec, ScoreInfo,
    SearchInfo, ServiceInfo, StageInfo, ViewKind,
};
use routir_dsl::Aliases;
use routir_plan::{Plan, PlanInput, compile, mermaid, text};

fn catalog() -> Catalog {
    let none = ServiceInfo {
        engine: Arc::from("toy"),
        search: None,
        score: None,
        fuse: None,
        decompose: None,
    };
    let params = ParamsSpec::known(&[ParamSpec::new("subset", ParamKind::Text, "")]);
    let searcher = |prefix_stable| ServiceInfo {
        search: Some(SearchInfo {
            params: params.clone(),
            prefix_stable,
        }),
        ..none.clone()
    };
    let stage = || {
        Some(StageInfo {
            params: ParamsSpec::none(),
        })
    };
    let scorer = ServiceInfo {
        score: Some(ScoreInfo {
            params: ParamsSpec::none(),
            view_kind: ViewKind::Text,
        }),
        ..none.clone()
    };
    let services = [
        ("bm25", searcher(true)),
        ("dense", searcher(false)),
        (
            "both",
            ServiceInfo {
                score: scorer.score.clone(),
                ..searcher(false)
            },
        ),
        ("reranker", scorer),
        (
            "RRF",
            ServiceInfo {
                fuse: stage(),
                ..none.clone()
            },
        ),
        (
            "expander",
            ServiceInfo {
                decompose: stage(),
                ..none.clone()
            },
        ),
    ];
    let docs = CollectionInfo {
        views: BTreeMap::from([(Arc::from("text"), ViewKind::Text)]),
        default_view: Arc::from("text"),
    };
    Catalog {
        generation: 1,
        services: services
            .into_iter()
            .map(|(name, info)| (Arc::from(name), info))
            .collect(),
        collections: BTreeMap::from([(Arc::from("docs"), docs)]),
        aliases: BTreeMap::from([
            (Arc::from("hybrid"), Arc::from("{bm25, dense}RRF%50")),
            (Arc::from("broken"), Arc::from("bm25 >> gone")),
        ]),
        dynamic_pipeline: true,
    }
}

fn plan(
    source: &str,
    collection: Option<&str>,
    kwargs: serde_json::Value,
) -> routir_core::Result<Plan> {
    limited_plan(source, collection, kwargs, None)
}

fn limited_plan(
    source: &str,
    collection: Option<&str>,
    kwargs: serde_json::Value,
    limit: Option<usize>,
) -> routir_core::Result<Plan> {
    let catalog = catalog();
    let aliases = Aliases::new(catalog.aliases.iter(), |name| {
        catalog.services.contains_key(name)
    });
    let serde_json::Value::Object(kwargs) = kwargs else {
        panic!("an object")
    };
    let runtime_kwargs = kwargs
        .into_iter()
        .map(|(stage, params)| match params {
            serde_json::Value::Object(params) => (stage, Params::from(params)),
            _ => panic!("an object"),
        })
        .collect();
    let input = PlanInput {
        source,
        collection,
        runtime_kwargs: &runtime_kwargs,
        limit,
        max_limit: 100_000,
    };
    compile(&input, &catalog, &aliases.unwrap())
}

fn explains(source: &str, expected: Expect) {
    let plan = plan(source, Some("docs"), serde_json::json!({})).unwrap();
    expected.assert_eq(&text(&plan, |_| None));
}

fn refuses(source: &str, collection: Option<&str>, kwargs: serde_json::Value, expected: Expect) {
    expected.assert_eq(&plan(source, collection, kwargs).unwrap_err().to_string());
}

#[test]
fn a_plan_reads_from_the_answer_down() {
    explains(
        "{dense, bm25}RRF%50 >> reranker@text%20",
        expect![[r#"
            {dense, bm25}RRF%50 >> reranker@text%20
            collection docs
            #3 rerank reranker on view text %20
            └─ #2 fuse RRF %50
               ├─ #0 search dense %10
               └─ #1 search bm25 %10
        "#]],
    );
}

#[test]
fn identical_calls_are_one_node_and_limits_are_widened() {
    explains(
        "{bm25%5, bm25%50 >> reranker, dense, dense[again], hybrid%7}RRF",
        expect![[r#"
            {bm25%5, bm25%50 >> reranker, dense, dense[again], {bm25, dense}RRF%7}RRF
            collection docs
            #6 fuse RRF
            ├─ #1 cut bm25 %5
            │  └─ #0 search bm25 %50
            ├─ #2 rerank reranker
            │  └─ #0 search bm25 %50 (as above)
            ├─ #3 search dense %10
            ├─ #3 search dense %10 (as above)
            └─ #5 fuse RRF %7
               ├─ #4 cut bm25 %10
               │  └─ #0 search bm25 %50 (as above)
               └─ #3 search dense %10 (as above)
        "#]],
    );
}

#[test]
fn a_requests_limit_bounds_the_last_stage() {
    for (source, limit, canonical) in [
        ("bm25", 50, "bm25%50"),
        ("bm25%20", 50, "bm25%20"),
        ("bm25%80", 50, "bm25%50"),
        ("bm25%80 >> reranker", 5, "bm25%80 >> reranker%5"),
        ("hybrid", 5, "{bm25, dense}RRF%5"),
        ("hybrid", 90, "{bm25, dense}RRF%50"),
        ("expander%3{bm25}RRF", 0, "expander%3{bm25}RRF%0"),
    ] {
        let none = serde_json::json!({});
        let plan = limited_plan(source, Some("docs"), none, Some(limit)).unwrap();
        assert_eq!(&*plan.canonical, canonical, "{source} for {limit}");
        let root = plan.node(plan.root).limit;
        assert!(root.is_some_and(|root| root <= limit), "{source}: {root:?}");
    }
    let kwargs = serde_json::json!({"bm25": {"limit": 70}});
    let plan = limited_plan("bm25", None, kwargs, Some(50)).unwrap();
    assert_eq!(plan.node(plan.root).limit, Some(50));
    let too_many = limited_plan("bm25", None, serde_json::json!({}), Some(200_000));
    assert!(
        too_many
            .unwrap_err()
            .message()
            .contains("this server allows 100000")
    );
}

#[test]
fn limits_are_not_widened_across_scopes() {
    explains(
        "{bm25%5, expander%2{bm25%50, bm25%3}RRF}RRF",
        expect![[r#"
            {bm25%5, expander%2{bm25%50, bm25%3}RRF}RRF
            collection docs
            #5 fuse RRF
            ├─ #0 search bm25 %5
            └─ #4 fuse RRF
               ├─ sub-queries from #1 expand expander %2
               ├─ for each sub-query #2 search bm25 %50
               └─ for each sub-query #3 cut bm25 %3
                  └─ #2 search bm25 %50 (as above)
        "#]],
    );
}

#[test]
fn an_expander_may_stand_where_a_reranker_may() {
    explains(
        "bm25%30 >> expander{reranker, reranker[x]}RRF%5",
        expect![[r#"
            bm25%30 >> expander{reranker, reranker[x]}RRF%5
            collection docs
            #3 fuse RRF %5
            ├─ sub-queries from #1 expand expander
            ├─ for each sub-query #2 rerank reranker
            │  └─ #0 search bm25 %30
            └─ for each sub-query #2 rerank reranker (as above)
        "#]],
    );
}

#[test]
fn a_plan_is_a_mermaid_flowchart() {
    let plan = plan(
        "expander{bm25 >> reranker}RRF%5",
        Some("docs"),
        serde_json::json!({}),
    )
    .unwrap();
    expect![[r#"
        flowchart TD
          query([query])
          answer([answer])
          n0["expand expander"]
          n1["search bm25 %10"]
          n2["rerank reranker"]
          n3["fuse RRF %5"]
          query --> n0
          query --> n1
          n1 --> n2
          n2 --> n3
          n0 -. sub-queries .-> n3
          n3 --> answer
    "#]]
    .assert_eq(&mermaid(&plan));
}

#[test]
fn all_problems_are_told_at_once() {
    refuses(
        "{dens, reranker@x%200000}RFR >> bm25@text >> both@titles",
        Some("docs"),
        serde_json::json!({"dense": {}, "both": {"subst": 1}}),
        expect![[r#"
            error: runtime_kwargs name `dense`, which is no stage of the pipeline
              1 | {dens, reranker@x%200000}RFR >> bm25@text >> both@titles
                | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: did you mean `dens`?

            error: no service `dens` that can search
              1 | {dens, reranker@x%200000}RFR >> bm25@text >> both@titles
                |  ^^^^
              help: did you mean `dense`?

            error: `@x`: a search stage reads no documents, so it takes no view
              1 | {dens, reranker@x%200000}RFR >> bm25@text >> both@titles
                |                 ^
              help: only rerank stages read a view

            error: no service `reranker` that can search
              1 | {dens, reranker@x%200000}RFR >> bm25@text >> both@titles
                |        ^^^^^^^^
              help: `reranker` can rerank, but the first stage of a pipeline must search

            error: `reranker` asks for 200000 results; this server allows 100000
              1 | {dens, reranker@x%200000}RFR >> bm25@text >> both@titles
                |        ^^^^^^^^^^^^^^^^^

            error: no service `RFR` that can fuse
              1 | {dens, reranker@x%200000}RFR >> bm25@text >> both@titles
                |                          ^^^
              help: did you mean `RRF`?

            error: no service `bm25` that can rerank
              1 | {dens, reranker@x%200000}RFR >> bm25@text >> both@titles
                |                                 ^^^^
              help: `bm25` can search, but every stage after `>>` must rerank

            error: collection `docs` has no view `titles`
              1 | {dens, reranker@x%200000}RFR >> bm25@text >> both@titles
                |                                                   ^^^^^^
              help: its views are text

            error: runtime_kwargs for `both`: unknown parameter `subst`; it takes none
              1 | {dens, reranker@x%200000}RFR >> bm25@text >> both@titles
                |                                              ^^^^^^^^^^^
        "#]],
    );
}

#[test]
fn a_missing_or_unknown_collection_is_told_in_routirs_words() {
    let none = serde_json::json!({});
    refuses(
        "bm25 >> reranker >> reranker%3",
        None,
        none.clone(),
        expect!["pipeline contains reranking stage(s) and requires a `collection` field"],
    );
    refuses(
        "bm25 >> reranker",
        Some("dosc"),
        none.clone(),
        expect!["no collection `dosc` to rerank from; did you mean `docs`?"],
    );
    assert!(plan("bm25", Some("dosc"), none).is_ok(), "nobody reads it");
}

#[test]
fn a_problem_inside_an_alias_names_the_alias() {
    refuses(
        "{bm25, broken}RRF",
        Some("docs"),
        serde_json::json!({}),
        expect![[r#"
        error: no service `gone` that can rerank (in the alias `broken`)
          1 | {bm25, broken}RRF
            |        ^^^^^^
          help: services that can: both, reranker
    "#]],
    );
}

#[test]
fn the_code_says_whether_names_are_all_that_is_wrong() {
    let none = || serde_json::json!({});
    let code = |source| plan(source, Some("docs"), none()).unwrap_err().code();
    assert_eq!(code("nobody"), ErrorCode::UnknownName);
    assert_eq!(code("nobody >> reranker@nothing"), ErrorCode::UnknownName);
    assert_eq!(code("nobody%999999"), ErrorCode::InvalidArgument);
    assert_eq!(code("bm25 >>"), ErrorCode::InvalidArgument);
}

#[test]
fn problems_have_places_in_code_points() {
    let error = plan("{bm25 , dense}\u{a0}RRFF", None, serde_json::json!({})).unwrap_err();
    let problem = &error.problems()[0];
    assert_eq!((problem.start, problem.end), (15, 19));
    assert_eq!(problem.help.as_deref(), Some("did you mean `RRF`?"));
}

#[test]
fn hostile_pipelines_get_short_answers() {
    let source = format!("{{{}b}}RRF", "nobody,".repeat(900));
    let error = plan(&source, None, serde_json::json!({})).unwrap_err();
    assert_eq!(error.problems().len(), 21);
    assert!(error.message().len() < 10_000, "{}", error.message().len());
    let long = format!("bm25[{}]", "x".repeat(60_000));
    let kwargs = serde_json::json!({"y".repeat(60_000): {}});
    let error = plan(&long, None, kwargs).unwrap_err();
    assert!(error.message().len() < 1_000, "{}", error.message().len());
}
