//! What pipelines of toy services answer, by an evaluator that knows nothing of graphs, sharing,
//! concurrency or wires: it walks the syntax tree as the language's description reads. With the toys
//! as engines, and random pipelines of them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test uses a part, and outside a test function clippy does not see that this is a test"
)]

pub mod shelf;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use routir_core::{
    BoxFuture, DecomposeEngine, DecomposeRequest, FuseEngine, FuseRequest, Hit, ParamsSpec,
    Ranking, Result, Roles, ScoreEngine, ScoreRequest, SearchEngine, SearchRequest,
};
use routir_dsl::{Call, Parallel, Sequence, Stage};

/// The documents.
pub const DOCS: [&str; 12] = [
    "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "da", "db",
];

/// A number that looks random and depends on all parts; coarse, so that ties are common.
pub fn mix(parts: &[&str]) -> f64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0xff])) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    ((state >> 32) % 8) as f64
}

/// What the toy services of this file do, as plain functions.
pub mod truth {
    use super::*;

    pub fn search(service: &str, query: &str, limit: usize) -> Vec<(String, f64)> {
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

    pub fn score(service: &str, query: &str, passage: &str) -> f64 {
        mix(&[service, query, passage])
    }

    pub fn fuse(lists: &[Vec<(String, f64)>], limit: usize) -> Vec<(String, f64)> {
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

    pub fn expand(service: &str, query: &str) -> Vec<String> {
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

    pub fn order(mut hits: Vec<(String, f64)>, limit: usize) -> Vec<(String, f64)> {
        hits.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        hits.truncate(limit);
        hits
    }
}

/// The naive evaluator.
pub struct Naive {
    /// The sub-queries that were searched.
    pub sub_queries: Vec<String>,
}

/// Documents and scores.
pub type List = Vec<(String, f64)>;

impl Naive {
    /// What a sequence answers.
    pub fn sequence(&mut self, sequence: &Sequence, query: &str, input: Option<&List>) -> List {
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

/// A document's place in the list.
pub fn number(doc: &str) -> u32 {
    DOCS.iter().position(|known| *known == doc).unwrap() as u32
}

/// A service of `truth`: its name, and whether small answers are prefixes of larger ones.
pub struct Toy(pub &'static str, pub bool);

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

/// The toy called `name` in its role, as its first letter says.
pub fn toy(name: &'static str) -> Roles {
    // One that has no stable prefixes, so that both ways are gone.
    let toy = Arc::new(Toy(name, name != "s2"));
    match &name[..1] {
        "s" => Roles {
            search: Some(toy),
            ..Roles::default()
        },
        "r" => Roles {
            score: Some(toy),
            ..Roles::default()
        },
        "e" => Roles {
            decompose: Some(toy),
            ..Roles::default()
        },
        _ => Roles {
            fuse: Some(toy),
            ..Roles::default()
        },
    }
}

fn limit() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 4 => (0_usize..8).prop_map(|n| format!("%{n}"))]
}

fn stage(reranks: bool, depth: u32, second_view: &'static str) -> BoxedStrategy<String> {
    let call = if reranks {
        let view = prop_oneof![Just(""), Just(second_view)];
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
    let branches = prop::collection::vec(sequence(reranks, depth - 1, second_view), 1..4);
    let parallel = (expander, branches, limit()).prop_map(|(expander, branches, limit)| {
        format!("{expander}{{{}}}Fuse{limit}", branches.join(", "))
    });
    prop_oneof![1 => call, 1 => parallel].boxed()
}

/// Pipelines of the toys. Half of the rerank stages name `second_view` (`@notes`, or nothing).
pub fn sequence(reranks: bool, depth: u32, second_view: &'static str) -> BoxedStrategy<String> {
    (
        stage(reranks, depth, second_view),
        prop::collection::vec(stage(true, depth.saturating_sub(1), second_view), 0..3),
    )
        .prop_map(|(first, rest)| {
            let mut source = first;
            rest.iter()
                .for_each(|stage| write!(source, " >> {stage}").unwrap());
            source
        })
        .boxed()
}
