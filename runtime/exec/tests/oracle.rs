//! Random pipelines against the independent evaluator of `tests/oracle`.
#![expect(
    clippy::unwrap_used,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;
#[path = "../../../tests/oracle/mod.rs"]
mod oracle;

use common::*;
use oracle::{DOCS, List, Naive, number, toy};
use proptest::prelude::*;

fn runtime() -> routir_exec::Runtime {
    let mut builder = builder();
    for name in ["s1", "s2", "s3", "r1", "r2", "e1", "e2", "Fuse"] {
        builder = builder.service(spec(name, toy(name)));
    }
    let numbers: Vec<_> = DOCS.iter().map(|doc| (*doc, number(doc))).collect();
    builder
        .collection("docs", Library::new(&numbers))
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_run_is_what_the_language_says(source in oracle::sequence(false, 3, "@notes")) {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = tokio.block_on(async {
            let runtime = runtime();
            run(&runtime, over_docs(&source)).await
        });
        let mut naive = Naive { sub_queries: Vec::new() };
        let expected = naive.sequence(&routir_dsl::parse(&source).unwrap(), "q", None);
        match answer {
            Ok(answer) => {
                let hits: List = answer
                    .ranking
                    .hits()
                    .iter()
                    .map(|hit| (hit.doc.to_string(), hit.score))
                    .collect();
                prop_assert_eq!(hits, expected, "{}", source);
                // A stage that is shared reports its sub-queries once, so only the set is told.
                let mut told: Vec<_> =
                    answer.expanded_queries.iter().flatten().map(ToString::to_string).collect();
                told.sort();
                told.dedup();
                for sub_query in &told {
                    prop_assert!(naive.sub_queries.contains(sub_query), "{}", source);
                }
            }
            // Nested expanders multiply: a bound on calls is a right answer too.
            Err(error) => prop_assert!(error.message().contains("more stage calls"), "{}", error),
        }
    }
}
