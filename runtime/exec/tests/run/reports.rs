//! What a run tells of itself.

use std::sync::Arc;

use expect_test::expect;
use routir_exec::RunOptions;

use super::common::*;

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
