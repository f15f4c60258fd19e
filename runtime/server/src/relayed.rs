//! What servers that relay to this one ask for beyond RoutIR's calls: many documents at once, a
//! fusion, sub-queries.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use routir_core::{
    DecomposeRequest, DocId, Document, Error, FuseRequest, FuseSource, Hit, Params, Payload,
    Ranking, Result as CoreResult,
};
use serde::{Deserialize, Serialize};

use crate::ServerOptions;
use crate::failure::Failure;
use crate::fields::Fields;
use crate::handlers::Call;
use crate::heavy::heavy;
use crate::reply::Reply;

/// What is said of a document whose view shows no text.
const BYTES: &str = "the view shows bytes; ask for this document at /content";
/// The most rankings that one fusion takes.
const MAX_RANKINGS: usize = 4096;

impl Call<'_> {
    pub(crate) async fn contents(&self, request: Request<Body>) -> Result<Reply, Failure> {
        let (body, _permit) = self.admit(request).await?;
        let mut fields = Fields::read(body).await?;
        let collection = fields.required_text("collection");
        let ids = fields.texts("ids", self.app.options.max_passages);
        let view = fields.text("view");
        fields.finish()?;
        let ids: Vec<DocId> = ids.into_iter().map(DocId::from).collect();
        let context = self.context(None)?;
        let runtime = &self.app.runtime;
        let found = runtime.documents(&context, &collection, view.as_deref(), &ids);
        let found = found.await?;
        // The runtime bounds the texts, and the body bounded the ids.
        let each = ids.iter().zip(&found);
        let each = each.map(|(id, it)| DocumentReply::new(id, it).capacity());
        let capacity = each.sum();
        let write = move || {
            let documents = ids.iter().zip(&found);
            let documents = documents.map(|(id, it)| DocumentReply::new(id, it));
            let reply = ContentsReply {
                collection: &collection,
                documents: documents.collect(),
            };
            Reply::json(&reply, capacity)
        };
        Ok(heavy(capacity, write).await?)
    }

    pub(crate) async fn fuse(&self, request: Request<Body>) -> Result<Reply, Failure> {
        let (body, _permit) = self.admit(request).await?;
        let size = body.len();
        let ServerOptions {
            max_query_chars,
            max_limit,
            ..
        } = self.app.options;
        let read = move || fusion(&body, max_query_chars, max_limit);
        let (service, mut request) = heavy(size, read).await?;
        request.context = self.context(None)?;
        let query = Arc::clone(&request.query);
        let answer = self.app.runtime.fuse(&service, request).await?;
        let size = 256 + 40 * answer.value.len();
        let write = move || {
            let hits = answer.value.hits().iter();
            let reply = FuseReply {
                query: &query,
                service: &service,
                scores: hits.map(|hit| (&*hit.doc, hit.score)).collect(),
                timestamp: answer.timestamp,
            };
            Reply::json(&reply, size)
        };
        Ok(heavy(size, write).await?)
    }

    pub(crate) async fn decompose(&self, request: Request<Body>) -> Result<Reply, Failure> {
        let (body, _permit) = self.admit(request).await?;
        let limits = &self.app.options;
        let mut fields = Fields::read(body).await?;
        let service = fields.required_text("service");
        let query = fields.query(limits.max_query_chars);
        let limit = fields.has("limit").then(|| fields.limit(limits.max_limit));
        let request = DecomposeRequest {
            query: Arc::clone(&query),
            limit,
            params: fields.finish()?,
            context: self.context(None)?,
        };
        let answer = self.app.runtime.decompose(&service, request).await?;
        let reply = DecomposeReply {
            query: &query,
            service: &service,
            sub_queries: &answer.value,
            cached: answer.stats.cached,
            timestamp: answer.timestamp,
        };
        Ok(Reply::json(&reply, 1024)?)
    }
}

/// One of the rankings that `/fuse` takes.
#[derive(Deserialize)]
struct RankingBody {
    #[serde(default)]
    stage: String,
    query: Option<String>,
    hits: Vec<(String, f64)>,
}

/// Reads a fusion; its context is the caller's to make.
fn fusion(
    body: &[u8],
    max_query_chars: usize,
    max_limit: usize,
) -> CoreResult<(String, FuseRequest)> {
    let mut fields = Fields::parse(body)?;
    let service = fields.required_text("service");
    let query = fields.query(max_query_chars);
    let limit = fields.has("limit").then(|| fields.limit(max_limit));
    let sub_queries = fields
        .has("sub_queries")
        .then(|| fields.texts("sub_queries", MAX_RANKINGS));
    let rankings = match fields.take("rankings").map(serde_json::from_value) {
        Some(Ok(rankings)) => rankings,
        Some(Err(why)) => {
            fields.problem(format!(
                "`rankings` must be a list of objects with `hits`, a list of document and score: \
                 {why}"
            ));
            Vec::new()
        }
        None => {
            fields.problem("No rankings provided".to_owned());
            Vec::new()
        }
    };
    if rankings.len() > MAX_RANKINGS {
        fields.problem(format!(
            "`rankings` has {} entries, over this server's limit of {MAX_RANKINGS}",
            rankings.len()
        ));
    }
    let params: Params = fields.finish()?;
    let mut request = FuseRequest {
        rankings: Vec::with_capacity(rankings.len()),
        sources: Vec::with_capacity(rankings.len()),
        sub_queries: sub_queries.map(Arc::from),
        query,
        limit,
        params,
        context: Arc::default(),
    };
    for RankingBody { stage, query, hits } in rankings {
        let hits = hits.into_iter();
        let ranking = Ranking::from_hits(hits.map(|(doc, score)| Hit::new(doc, score)).collect());
        let wrong = |error: Error| Error::invalid(format!("`rankings`: {error}"));
        request.rankings.push(Arc::new(ranking.map_err(wrong)?));
        request.sources.push(FuseSource {
            stage: Arc::from(stage),
            query: query.map_or_else(|| Arc::clone(&request.query), Arc::from),
        });
    }
    Ok((service, request))
}

#[derive(Serialize)]
struct ContentsReply<'a> {
    collection: &'a str,
    documents: Vec<DocumentReply<'a>>,
}

#[derive(Default, Serialize)]
struct DocumentReply<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl<'a> DocumentReply<'a> {
    fn new(id: &'a str, found: &'a CoreResult<Arc<Document>>) -> Self {
        match found {
            Ok(document) => Self {
                id,
                text: match &document.payload {
                    Payload::Text(text) => Some(text),
                    Payload::Bytes(_) => None,
                },
                error: match &document.payload {
                    Payload::Text(_) => None,
                    Payload::Bytes(_) => Some(BYTES),
                },
                title: document.title.as_deref(),
                language: document.language.as_deref(),
                ..Self::default()
            },
            Err(error) => Self {
                id,
                error: Some(error.message()),
                code: Some(error.code().name()),
                ..Self::default()
            },
        }
    }

    fn capacity(&self) -> usize {
        64 + self.id.len() + self.text.map_or(64, str::len)
    }
}

/// A ranking as `{docid: score}`, best first.
struct Scores<'a>(Vec<(&'a str, f64)>);

impl<'a> FromIterator<(&'a str, f64)> for Scores<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, f64)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Serialize for Scores<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

#[derive(Serialize)]
struct FuseReply<'a> {
    query: &'a str,
    service: &'a str,
    scores: Scores<'a>,
    timestamp: f64,
}

#[derive(Serialize)]
struct DecomposeReply<'a> {
    query: &'a str,
    service: &'a str,
    sub_queries: &'a [Arc<str>],
    cached: bool,
    timestamp: f64,
}
