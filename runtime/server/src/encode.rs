//! From the runtime's answers to their JSON, as RoutIR's clients read it: rankings as objects, best
//! first.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use routir_core::{Answer, Catalog, Document, ImportStatus, Payload, Ranking, Role, ViewKind};
use routir_exec::{PipelineAnswer, PipelineCall, Readiness, StageFailure, StageResult, Trace};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::endpoint::{Row, TABLE};

/// A ranking as `{docid: score}` in its own order.
#[derive(Clone, Copy)]
struct Scores<'a>(&'a Ranking);

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for hit in self.0 {
            map.serialize_entry(&hit.doc, &hit.score)?;
        }
        map.end()
    }
}

/// For each document of a ranking, the stages that it came through.
#[derive(Clone, Copy)]
struct Provenance<'a> {
    ranking: &'a Ranking,
    traces: &'a [Vec<Trace>],
}

impl Serialize for Provenance<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.traces.len()))?;
        for (hit, traces) in self.ranking.into_iter().zip(self.traces) {
            map.serialize_entry(&hit.doc, traces)?;
        }
        map.end()
    }
}

/// The answer to `/search` and `/pipeline`.
#[derive(serde::Serialize)]
pub(crate) struct RankingReply<'a> {
    query: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<&'a str>,
    scores: Scores<'a>,
    service: &'a str,
    processed: bool,
    cached: bool,
    timestamp: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded_queries: Option<&'a [Arc<str>]>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    failures: &'a [StageFailure],
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance<'a>>,
}

impl<'a> RankingReply<'a> {
    /// The answer to a search of `service`.
    pub(crate) fn of_search(query: &'a str, service: &'a str, answer: &'a PipelineAnswer) -> Self {
        Self {
            query,
            pipeline: None,
            collection: None,
            scores: Scores(&answer.ranking),
            service,
            processed: true,
            cached: answer.cached,
            timestamp: answer.timestamp,
            expanded_queries: answer.expanded_queries.as_deref(),
            partial: !answer.failures.is_empty(),
            failures: &answer.failures,
            explain: answer.explain.as_ref(),
            provenance: answer.provenance.as_ref().map(|traces| Provenance {
                ranking: &answer.ranking,
                traces,
            }),
        }
    }

    /// The answer to a pipeline call.
    pub(crate) fn of_pipeline(asked: &'a Asked, answer: &'a PipelineAnswer) -> Self {
        Self {
            pipeline: Some(&asked.pipeline),
            collection: asked.collection.as_deref(),
            ..Self::of_search(&asked.query, &answer.service, answer)
        }
    }

    /// About how many bytes the answer takes.
    pub(crate) fn capacity(&self) -> usize {
        const REST: usize = 256;
        const HIT: usize = 40;
        REST + self.query.len() + self.pipeline.map_or(0, str::len) + HIT * self.scores.0.len()
    }
}

/// The result of one stage, as an event.
#[derive(serde::Serialize)]
pub(crate) struct StageReply<'a> {
    node: usize,
    stage: &'a str,
    service: &'a str,
    role: Role,
    query: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<Scores<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_queries: Option<&'a [Arc<str>]>,
    cached: bool,
    took_ms: f64,
}

impl<'a> StageReply<'a> {
    /// What is told of `result`.
    pub(crate) fn new(result: &'a StageResult) -> Self {
        Self {
            node: result.node,
            stage: &result.stage,
            service: &result.service,
            role: result.role,
            query: &result.query,
            scores: result.ranking.as_deref().map(Scores),
            sub_queries: result.sub_queries.as_deref(),
            cached: result.cached,
            took_ms: result.took_ms(),
        }
    }
}

/// What of a pipeline call its answer repeats.
pub(crate) struct Asked {
    pipeline: String,
    query: Arc<str>,
    collection: Option<String>,
}

impl From<&PipelineCall> for Asked {
    fn from(call: &PipelineCall) -> Self {
        Self {
            pipeline: call.pipeline.clone(),
            query: Arc::clone(&call.query),
            collection: call.collection.clone(),
        }
    }
}

/// The answer to `/score`.
#[derive(serde::Serialize)]
pub(crate) struct ScoreReply<'a> {
    pub(crate) query: &'a str,
    pub(crate) scores: &'a [f64],
    pub(crate) service: &'a str,
    pub(crate) processed: bool,
    pub(crate) cached: bool,
    pub(crate) timestamp: f64,
    pub(crate) meta: ScoreMeta,
}

/// What `/score` says beside the scores.
#[derive(serde::Serialize)]
pub(crate) struct ScoreMeta {
    pub(crate) n_passages: usize,
}

/// The answer to `/content`.
#[derive(serde::Serialize)]
pub(crate) struct ContentReply<'a> {
    collection: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// The parts of a view of bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Vec<Base64<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    cached: bool,
    timestamp: f64,
}

impl<'a> ContentReply<'a> {
    /// The answer that holds `answer`'s document of `collection`; of a view of bytes `parts`.
    pub(crate) fn new(
        collection: &'a str,
        answer: &'a Answer<Arc<Document>>,
        parts: &'a [Bytes],
    ) -> Self {
        let document = &*answer.value;
        let (text, data, mime) = match &document.payload {
            Payload::Text(text) => (Some(text.as_ref()), None, None),
            Payload::Bytes(bytes) => {
                let data = parts.iter().map(|part| Base64(part)).collect();
                (None, Some(data), bytes.mime.as_deref())
            }
        };
        Self {
            collection,
            id: &document.id,
            text,
            data,
            mime,
            title: document.title.as_deref(),
            language: document.language.as_deref(),
            cached: answer.stats.cached,
            timestamp: answer.timestamp,
        }
    }
}

/// Bytes as they stand in JSON.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// The answer to `/avail`: RoutIR 0.0.2's fields and those of its next level.
#[derive(serde::Serialize)]
pub(crate) struct AvailReply<'a> {
    search: Vec<&'a str>,
    score: Vec<&'a str>,
    fuse: Vec<&'a str>,
    decompose_query: Vec<&'a str>,
    content: Vec<&'a str>,
    collection: BTreeMap<&'a str, Views<'a>>,
    score_view_kinds: BTreeMap<&'a str, ViewKind>,
    collection_view_kinds: BTreeMap<&'a str, &'a BTreeMap<Arc<str>, ViewKind>>,
    pipeline_aliases: &'a BTreeMap<Arc<str>, Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_port: Option<u16>,
}

#[derive(serde::Serialize)]
struct Views<'a> {
    views: &'a BTreeMap<Arc<str>, ViewKind>,
    default: &'a str,
}

impl<'a> AvailReply<'a> {
    /// What `catalog` offers.
    pub(crate) fn new(catalog: &'a Catalog, grpc_port: Option<u16>) -> Self {
        let names = |role| catalog.names(role).map(AsRef::as_ref).collect();
        let collections = || {
            catalog
                .collections
                .iter()
                .map(|(name, info)| (&**name, info))
        };
        Self {
            search: names(Role::Search),
            score: names(Role::Score),
            fuse: names(Role::Fuse),
            decompose_query: names(Role::DecomposeQuery),
            content: collections().map(|(name, _)| name).collect(),
            collection: collections()
                .map(|(name, info)| {
                    (
                        name,
                        Views {
                            views: &info.views,
                            default: &info.default_view,
                        },
                    )
                })
                .collect(),
            score_view_kinds: catalog
                .names(Role::Score)
                .filter_map(|name| {
                    let scorer = catalog.services.get(name)?.score.as_ref()?;
                    Some((&**name, scorer.view_kind))
                })
                .collect(),
            collection_view_kinds: collections()
                .map(|(name, info)| (name, &info.views))
                .collect(),
            pipeline_aliases: &catalog.aliases,
            grpc_port,
        }
    }
}

/// The answer to `/readyz`.
#[derive(serde::Serialize)]
pub(crate) struct ReadyReply<'a> {
    ready: bool,
    /// It was told to stop.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    draining: bool,
    /// Ready, but not whole: a server that is not required does not answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Check<'a>>>,
}

#[derive(serde::Serialize)]
struct Check<'a> {
    name: Cow<'a, str>,
    ready: bool,
    detail: &'a str,
}

impl<'a> ReadyReply<'a> {
    /// Ready when every part is, and every other server that is required; which is which is told
    /// on request.
    pub(crate) fn new(parts: &'a [Readiness], imports: &'a [ImportStatus], named: bool) -> Self {
        let part = |part: &'a Readiness| Check {
            name: Cow::Borrowed(&part.name),
            ready: part.ready,
            detail: &part.detail,
        };
        let import = |import: &'a ImportStatus| Check {
            name: Cow::Owned(format!("import {}", import.endpoint)),
            ready: import.ready,
            detail: &import.detail,
        };
        let checks = || parts.iter().map(part).chain(imports.iter().map(import));
        let ready = parts.iter().all(|part| part.ready)
            && imports.iter().all(|it| it.ready || !it.required);
        Self {
            ready,
            draining: false,
            degraded: ready && imports.iter().any(|it| !it.ready),
            checks: named.then(|| checks().collect()),
        }
    }

    /// The same of a server that takes requests, or is about to take no more.
    pub(crate) fn serving(self, serving: bool) -> Self {
        Self {
            ready: self.ready && serving,
            draining: !serving,
            degraded: self.degraded && serving,
            ..self
        }
    }

    /// Whether requests should be sent here.
    pub(crate) fn ready(&self) -> bool {
        self.ready
    }
}

/// The answer to `GET /`.
#[derive(serde::Serialize)]
pub(crate) struct IndexReply<'a> {
    name: &'static str,
    version: &'a str,
    endpoints: &'static [Row],
}

impl<'a> IndexReply<'a> {
    /// The list of endpoints.
    pub(crate) fn new(version: &'a str) -> Self {
        Self {
            name: "routir-rt",
            version,
            endpoints: &TABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use routir_core::Hit;

    use super::*;

    fn answer(hits: &[(&str, f64)]) -> PipelineAnswer {
        let hits = hits
            .iter()
            .map(|&(doc, score)| Hit::new(doc, score))
            .collect();
        PipelineAnswer {
            ranking: Arc::new(Ranking::from_hits(hits).unwrap()),
            service: Arc::from("last"),
            expanded_queries: None,
            cached: false,
            timestamp: 1_700_000_000.25,
            failures: vec![],
            explain: None,
            provenance: None,
        }
    }

    fn json(reply: &impl Serialize) -> String {
        serde_json::to_string(reply).unwrap()
    }

    #[test]
    fn scores_stand_best_first_and_read_back_exactly() {
        let answer = answer(&[("b", 1.0), ("a", 1.0), ("z\"", 2.0), ("c", 0.1 + 0.2)]);
        expect_test::expect![[r#"{"query":"q","scores":{"z\"":2.0,"a":1.0,"b":1.0,"c":0.30000000000000004},"service":"s","processed":true,"cached":false,"timestamp":1700000000.25}"#]]
            .assert_eq(&json(&RankingReply::of_search("q", "s", &answer)));
    }

    #[test]
    fn a_pipeline_answer_says_what_is_missing_and_whence() {
        let mut answer = answer(&[("a", 1.0)]);
        answer.expanded_queries = Some(vec![Arc::from("q1"), Arc::from("q2")]);
        answer.failures = vec![StageFailure {
            stage: "dense".to_owned(),
            code: "engine_failure",
            error: "it broke".to_owned(),
        }];
        answer.explain = Some(serde_json::json!({"stages": []}));
        answer.provenance = Some(vec![vec![Trace {
            stage: Arc::from("bm25"),
            query: Arc::from("q1"),
            rank: 1,
            score: 3.5,
        }]]);
        let call = PipelineCall {
            pipeline: "x >> y".to_owned(),
            query: Arc::from("q"),
            collection: Some("c".to_owned()),
            ..PipelineCall::default()
        };
        let asked = Asked::from(&call);
        expect_test::expect![[r#"{"query":"q","pipeline":"x >> y","collection":"c","scores":{"a":1.0},"service":"last","processed":true,"cached":false,"timestamp":1700000000.25,"expanded_queries":["q1","q2"],"partial":true,"failures":[{"stage":"dense","code":"engine_failure","error":"it broke"}],"explain":{"stages":[]},"provenance":{"a":[{"stage":"bm25","query":"q1","rank":1,"score":3.5}]}}"#]]
            .assert_eq(&json(&RankingReply::of_pipeline(&asked, &answer)));
    }

    #[test]
    fn one_part_that_is_not_ready_holds_all_back() {
        let part = |name: &str, ready| Readiness {
            name: name.to_owned(),
            ready,
            detail: String::new(),
        };
        let parts = [part("a", true), part("b", false)];
        assert_eq!(
            json(&ReadyReply::new(&parts, &[], false)),
            r#"{"ready":false}"#
        );
        assert!(ReadyReply::new(&parts[..1], &[], true).ready());
    }

    #[test]
    fn another_server_holds_back_only_where_it_is_required() {
        let import = |ready, required| {
            [ImportStatus {
                endpoint: Arc::from("http://other"),
                ready,
                required,
                detail: "connection refused".to_owned(),
                services: vec![],
                collections: vec![],
            }]
        };
        let reply = |ready, required| json(&ReadyReply::new(&[], &import(ready, required), false));
        assert_eq!(reply(true, true), r#"{"ready":true}"#);
        assert_eq!(reply(false, false), r#"{"ready":true,"degraded":true}"#);
        assert_eq!(reply(false, true), r#"{"ready":false}"#);
    }
}
