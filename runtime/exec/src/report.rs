//! What a run tells about itself: the plan with how each stage went, and the way of each hit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use routir_core::{CallStats, DocId, Ranking};
use routir_plan::{NodeId, Plan};
use serde_json::{Value, json};

use crate::api::{PlanReport, Trace};
use crate::run::Output;

/// How one stage went under one query.
pub(crate) struct Record {
    pub(crate) node: NodeId,
    /// The service; an extension by its identity.
    pub(crate) service: Arc<str>,
    pub(crate) query: Arc<str>,
    /// From when its inputs were there to its answer.
    pub(crate) took: Duration,
    pub(crate) stats: CallStats,
    pub(crate) documents_in: usize,
    pub(crate) output: Output,
}

/// A plan without a run.
pub(crate) fn of_plan(plan: &Plan) -> PlanReport {
    PlanReport {
        text: routir_plan::text(plan, |_| None),
        json: serde_json::to_value(plan).unwrap_or_default(),
        mermaid: routir_plan::mermaid(plan),
    }
}

/// A plan with its run.
pub(crate) fn of_run(plan: &Plan, records: &[Record], took: Duration) -> Value {
    let stages: Vec<Value> = records.iter().map(|record| stage(plan, record)).collect();
    json!({
        "text": routir_plan::text(plan, |id| note(id, records)),
        "plan": plan,
        "mermaid": routir_plan::mermaid(plan),
        "stages": stages,
        "total_ms": milliseconds(took),
    })
}

fn stage(plan: &Plan, record: &Record) -> Value {
    let node = plan.node(record.node);
    let mut entry = json!({
        "node": record.node,
        "stage": node.stage,
        "service": record.service,
        "role": node.role(),
        "query": record.query,
        "total_ms": milliseconds(record.took),
        "queued_ms": milliseconds(record.stats.queued),
        "service_ms": milliseconds(record.stats.service),
        "batch_size": record.stats.batch_size,
        "cached": record.stats.cached,
        "joined": record.stats.joined,
        "documents_in": record.documents_in,
    });
    let (name, value) = match &record.output {
        Output::Ranking { ranking, .. } => ("documents_out", json!(ranking.len())),
        Output::SubQueries(found) => ("sub_queries", json!(found)),
    };
    if let Some(entry) = entry.as_object_mut() {
        entry.insert(name.to_owned(), value);
    }
    entry
}

/// What the text says behind a stage's line.
fn note(id: NodeId, records: &[Record]) -> Option<String> {
    let mut of_node = records.iter().filter(|record| record.node == id);
    let first = of_node.next()?;
    let out = match &first.output {
        Output::Ranking { ranking, .. } => format!("{} documents", ranking.len()),
        Output::SubQueries(found) => format!("{} sub-queries", found.len()),
    };
    let calls = match of_node.count() {
        0 => String::new(),
        more => format!(", first of {} runs", more + 1),
    };
    let how = match first.stats {
        CallStats { cached: true, .. } => ", cached".to_owned(),
        CallStats { joined: true, .. } => ", joined".to_owned(),
        CallStats {
            batch_size: size @ 2..,
            ..
        } => format!(", batch of {size}"),
        _ => String::new(),
    };
    Some(format!(
        "{out}, {:.3} ms{how}{calls}",
        milliseconds(first.took)
    ))
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// For each hit of `answer`: the stages that it came through, inputs before those who read them.
pub(crate) fn provenance(plan: &Plan, records: &[Record], answer: &Ranking) -> Vec<Vec<Trace>> {
    let places: HashMap<&DocId, usize> = answer
        .hits()
        .iter()
        .enumerate()
        .map(|(place, hit)| (&hit.doc, place))
        .collect();
    let mut in_order: Vec<&Record> = records.iter().collect();
    in_order.sort_by_key(|record| record.node);
    let mut traces = vec![Vec::new(); answer.len()];
    for record in in_order {
        let Output::Ranking { ranking, .. } = &record.output else {
            continue;
        };
        for (rank, hit) in ranking.hits().iter().enumerate() {
            if let Some(trace) = places
                .get(&hit.doc)
                .and_then(|place| traces.get_mut(*place))
            {
                trace.push(Trace {
                    stage: Arc::clone(&plan.node(record.node).stage),
                    query: Arc::clone(&record.query),
                    rank: rank + 1,
                    score: hit.score,
                });
            }
        }
    }
    traces
}
