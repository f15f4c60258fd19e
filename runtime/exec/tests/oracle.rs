//! Random pipelines against an evaluator that knows nothing of graphs, sharing or concurrency: it
//! walks the syntax tree as the language's description reads.
#![expect(
    clippy::unwrap_used,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use common::*;
use proptest::prelude::*;
use routir_core::{
    BoxFuture, DecomposeEngine, DecomposeRequest, FuseEngine, FuseRequest, Hit, ParamsSpec,
    Ranking, Result, Roles, ScoreEngine, ScoreRequest, SearchEngine, SearchRequest,
};
use routir_dsl::{Call, Parallel, Sequence, Stage};

const DOCS: [&str; 12] = [
    "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "da", "db",
];

/// A number that looks random and depends on all parts; coarse, so that ties are common.
fn mix(parts: &[&str]) -> f64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0xff])) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    ((state >> 32) % 8) as f64
}

/// What the toy services of this file do, as plain functions.
mod truth {
    use super::*;

    pub(crate) fn search(service: &str, query: &str, limit: usize) -> Vec<(String, f64)> {
        let found = DOCS
            .iter()
            .filter(|doc| mix(&[service, query, doc, "found"]) > 1.0);
        order(
            found
                .map(|doc| ((*doc).to_owned(), mix(&[service, query, doc])))
                .collect(),
            limit,
        )
    }

    pub(crate) fn score(service: &str, query: &str, passage: &str) -> f64 {
        mix(&[service, query, passage])
    }

    pub(crate) fn fuse(lists: &[Vec<(String, f64)>], limit: usize) -> Vec<(String, f64)> {
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for (place, list) in lists.iter().enumerate() {
            for (rank, (doc, score)) in list.iter().enumerate() {
                // Order of lists and ranks count, so that a permuted input is another answer.
                *sums.entry(doc.clone()).or_default() +=
                    score * (place + 1) as f64 + rank as f64 / 64.0;
            }
        }
        order(sums.into_iter().collect(), limit)
    }

    pub(crate) fn expand(service: &str, query: &str) -> Vec<String> {
        let count = mix(&[service, query, "count"]) as usize % 3 + 1;
        (0..count)
            .map(
                |i| match mix(&[service, query, &i.to_string()]) as usize % 3 {
                    0 => query.to_owned(),
                    other => format!("{query}{other}"),
                },
            )
            .collect()
    }

    pub(crate) fn order(mut hits: Vec<(String, f64)>, limit: usize) -> Vec<(String, f64)> {
        hits.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        hits.truncate(limit);
        hits
    }
}

/// The naive evaluator.
struct Naive {
    sub_queries: Vec<String>,
}

type List = Vec<(String, f64)>;

impl Naive {
    fn sequence(&mut self, sequence: &Sequence, query: &str, input: Option<&List>) -> List {
        let mut last = input.cloned();
        for stage in &sequence.stages {
            last = Some(match stage {
                Stage::Call(call) => Self::call(call, query, last.as_ref()),
                Stage::Parallel(parallel) => self.parallel(parallel, query, last.as_ref()),
            });
        }
        last.unwrap()
    }

    fn call(call: &Call, query: &str, input: Option<&List>) -> List {
        let limit = call.limit.as_ref().map(|limit| limit.value);
        let name = &call.name.text;
        let Some(input) = input else {
            return truth::search(name, query, limit.unwrap_or(10));
        };
        let view = call.view.as_ref().map_or("text", |view| &view.text);
        let scored = input.iter().map(|(doc, _)| {
            let passage = format!("{view} of {doc} {}", number(doc));
            (doc.clone(), truth::score(name, query, &passage))
        });
        truth::order(scored.collect(), limit.unwrap_or(usize::MAX))
    }

    fn parallel(&mut self, parallel: &Parallel, query: &str, input: Option<&List>) -> List {
        let queries = match &parallel.expander {
            None => vec![query.to_owned()],
            Some(call) => {
                let mut queries = truth::expand(&call.name.text, query);
                queries.truncate(call.limit.as_ref().map_or(usize::MAX, |limit| limit.value));
                self.sub_queries.extend(queries.iter().cloned());
                queries
            }
        };
        let mut lists = Vec::new();
        for branch in &parallel.branches {
            for query in &queries {
                lists.push(self.sequence(branch, query, input));
            }
        }
        let limit = parallel
            .merger
            .limit
            .as_ref()
            .map_or(usize::MAX, |limit| limit.value);
        truth::fuse(&lists, limit)
    }
}

fn number(doc: &str) -> u32 {
    DOCS.iter().position(|known| *known == doc).unwrap() as u32
}

struct Toy(&'static str, bool);

impl SearchEngine for Toy {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let one = |request: &SearchRequest| {
                let hits = truth::search(self.0, &request.query, request.limit);
                Ranking::from_hits(hits.into_iter().map(|(doc, s)| Hit::new(doc, s)).collect())
            };
            batch.iter().map(one).collect()
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }

    fn prefix_stable(&self) -> bool {
        self.1
    }
}

impl ScoreEngine for Toy {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        Box::pin(async move {
            let one = |request: &ScoreRequest| {
                let score = |text: &Arc<str>| truth::score(self.0, &request.query, text);
                Ok(request.passages.texts()?.iter().map(score).collect())
            };
            batch.iter().map(one).collect()
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }
}

impl FuseEngine for Toy {
    fn fuse(&self, request: FuseRequest) -> BoxFuture<'_, Result<Ranking>> {
        Box::pin(async move {
            let pairs = |ranking: &Arc<Ranking>| -> List {
                ranking
                    .hits()
                    .iter()
                    .map(|hit| (hit.doc.to_string(), hit.score))
                    .collect()
            };
            let lists: Vec<_> = request.rankings.iter().map(pairs).collect();
            let fused = truth::fuse(&lists, request.limit.unwrap_or(usize::MAX));
            Ranking::from_hits(fused.into_iter().map(|(doc, s)| Hit::new(doc, s)).collect())
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }
}

impl DecomposeEngine for Toy {
    fn decompose(&self, batch: Vec<DecomposeRequest>) -> BoxFuture<'_, Vec<Result<Vec<Arc<str>>>>> {
        let one = |request: DecomposeRequest| {
            Ok(truth::expand(self.0, &request.query)
                .into_iter()
                .map(Arc::from)
                .collect())
        };
        let answers = batch.into_iter().map(one).collect();
        Box::pin(async move { answers })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }
}

fn runtime() -> routir_exec::Runtime {
    let mut builder = builder();
    for (name, stable) in [("s1", true), ("s2", false), ("s3", true)] {
        let toy = Arc::new(Toy(name, stable));
        builder = builder.service(spec(
            name,
            Roles {
                search: Some(toy),
                ..Roles::default()
            },
        ));
    }
    for name in ["r1", "r2"] {
        let toy = Arc::new(Toy(name, false));
        builder = builder.service(spec(
            name,
            Roles {
                score: Some(toy),
                ..Roles::default()
            },
        ));
    }
    for name in ["e1", "e2"] {
        let toy = Arc::new(Toy(name, false));
        builder = builder.service(spec(
            name,
            Roles {
                decompose: Some(toy),
                ..Roles::default()
            },
        ));
    }
    let fuse = Roles {
        fuse: Some(Arc::new(Toy("Fuse", false))),
        ..Roles::default()
    };
    let numbers: Vec<_> = DOCS.iter().map(|doc| (*doc, number(doc))).collect();
    builder
        .service(spec("Fuse", fuse))
        .collection("docs", Library::new(&numbers))
        .build()
        .unwrap()
}

fn limit() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 4 => (0_usize..8).prop_map(|n| format!("%{n}"))]
}

fn stage(reranks: bool, depth: u32) -> BoxedStrategy<String> {
    let call = if reranks {
        let view = prop_oneof![Just(""), Just("@notes")];
        (prop_oneof![Just("r1"), Just("r2")], view, limit())
            .prop_map(|(name, view, limit)| format!("{name}{view}{limit}"))
            .boxed()
    } else {
        (prop_oneof![Just("s1"), Just("s2"), Just("s3")], limit())
            .prop_map(|(name, limit)| format!("{name}{limit}"))
            .boxed()
    };
    if depth == 0 {
        return call;
    }
    let expander = prop_oneof![
        2 => Just(String::new()),
        1 => (prop_oneof![Just("e1"), Just("e2")], limit()).prop_map(|(e, limit)| format!("{e}{limit}")),
    ];
    let branches = prop::collection::vec(sequence(reranks, depth - 1), 1..4);
    let parallel = (expander, branches, limit()).prop_map(|(expander, branches, limit)| {
        format!("{expander}{{{}}}Fuse{limit}", branches.join(", "))
    });
    prop_oneof![1 => call, 1 => parallel].boxed()
}

fn sequence(reranks: bool, depth: u32) -> BoxedStrategy<String> {
    (
        stage(reranks, depth),
        prop::collection::vec(stage(true, depth.saturating_sub(1)), 0..3),
    )
        .prop_map(|(first, rest)| {
            let mut source = first;
            rest.iter()
                .for_each(|stage| write!(source, " >> {stage}").unwrap());
            source
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_run_is_what_the_language_says(source in sequence(false, 3)) {
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
