//! Rankings, the results of stages, and scores.

use std::sync::Arc;

use routir_core::{Ranking, Role};
use routir_exec::{PipelineAnswer, PipelineCall, StageFailure, StageResult, Trace};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

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
}
