//! From the runtime's answers to messages: rankings best first, as over REST. Those of searches and
//! pipelines write themselves (`ranked`).

use std::sync::Arc;

use routir_core::{Answer, Catalog, Document, Ranking, Role};
use routir_exec::{PipelineAnswer, StageResult};
use routir_proto::rt;
use routir_proto::v1::{
    AvailResponse, BytesParts, ContentResponse, ContentViewKinds, ScoreMeta, ScoreResponse,
    StringList, content_response::Payload,
};

/// The answer to a scoring by `service`.
pub(crate) fn score(query: &str, service: String, answer: &Answer<Arc<[f64]>>) -> ScoreResponse {
    // As many as a message holds are fewer than this number counts.
    let n_passages = i32::try_from(answer.value.len()).unwrap_or(i32::MAX);
    ScoreResponse {
        query: query.to_owned(),
        scores: answer.value.to_vec(),
        service,
        cached: answer.stats.cached,
        timestamp: answer.timestamp,
        meta: Some(ScoreMeta { n_passages }),
    }
}

/// The answer to a look-up in `view` of `collection`.
pub(crate) fn content(
    collection: String,
    view: Option<String>,
    answer: &Answer<Arc<Document>>,
) -> ContentResponse {
    let payload = match &answer.value.payload {
        routir_core::Payload::Text(text) => Payload::Text(text.to_string()),
        routir_core::Payload::Bytes(bytes) => Payload::Data(BytesParts {
            parts: bytes.parts.to_vec(),
        }),
    };
    let mime = match &answer.value.payload {
        routir_core::Payload::Text(_) => None,
        routir_core::Payload::Bytes(bytes) => bytes.mime.as_deref().map(str::to_owned),
    };
    ContentResponse {
        mime,
        collection,
        id: answer.value.id.to_string(),
        cached: answer.stats.cached,
        timestamp: answer.timestamp,
        view,
        payload: Some(payload),
    }
}

/// The answer to a pipeline call whose stages were told.
pub(crate) fn result(query: &str, answer: &PipelineAnswer) -> rt::PipelineResult {
    let failures = answer.failures.iter().map(|failure| rt::StageFailure {
        stage: failure.stage.clone(),
        code: failure.code.to_owned(),
        error: failure.error.clone(),
    });
    rt::PipelineResult {
        query: query.to_owned(),
        hits: hits(&answer.ranking),
        service: answer.service.to_string(),
        expanded_queries: expanded(answer),
        cached: answer.cached,
        timestamp: answer.timestamp,
        failures: failures.collect(),
    }
}

/// What a stage found.
pub(crate) fn stage(result: &StageResult) -> rt::StageResult {
    let sub_queries = result.sub_queries.iter().flat_map(|found| found.iter());
    rt::StageResult {
        stage: result.stage.to_string(),
        service: result.service.to_string(),
        role: result.role.name().to_owned(),
        query: result.query.to_string(),
        hits: result.ranking.as_deref().map(hits).unwrap_or_default(),
        sub_queries: sub_queries.map(ToString::to_string).collect(),
        cached: result.cached,
        took_ms: result.took_ms(),
        node: u32::try_from(result.node).unwrap_or(u32::MAX),
    }
}

/// What `catalog` offers.
pub(crate) fn avail(catalog: &Catalog, grpc_port: Option<u16>) -> AvailResponse {
    let names = |role| catalog.names(role).map(ToString::to_string).collect();
    let mut services: Vec<(String, Vec<String>)> = Role::ALL
        .iter()
        .map(|role| (role.name().to_owned(), names(*role)))
        .collect();
    let collections = catalog.collections.keys().map(ToString::to_string);
    services.push(("content".to_owned(), collections.collect()));
    let content_views = catalog.collections.iter().map(|(name, info)| {
        let views = info.views.iter();
        let kinds = ContentViewKinds {
            views: views
                .map(|(view, kind)| (view.to_string(), kind.name().to_owned()))
                .collect(),
            default: Some(info.default_view.to_string()),
        };
        (name.to_string(), kinds)
    });
    let scorers = catalog.names(Role::Score);
    AvailResponse {
        services: services
            .into_iter()
            .map(|(role, items)| (role, StringList { items }))
            .collect(),
        pipeline_aliases: catalog
            .aliases
            .iter()
            .map(|(name, source)| (name.to_string(), source.to_string()))
            .collect(),
        grpc_port: grpc_port.map(i32::from),
        content_views: content_views.collect(),
        score_view_kinds: scorers
            .filter_map(|name| {
                let scorer = catalog.services.get(name)?.score.as_ref()?;
                Some((name.to_string(), scorer.view_kind.name().to_owned()))
            })
            .collect(),
    }
}

fn hits(ranking: &Ranking) -> Vec<rt::Hit> {
    let hits = ranking.into_iter();
    hits.map(|hit| rt::Hit {
        id: hit.doc.to_string(),
        score: hit.score,
    })
    .collect()
}

fn expanded(answer: &PipelineAnswer) -> Vec<String> {
    let found = answer.expanded_queries.iter().flatten();
    found.map(ToString::to_string).collect()
}
