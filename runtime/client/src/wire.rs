//! The JSON of answers, as RoutIR and servers of this project write it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use crate::answer::{
    Document, Payload, Ranked, Scored, Scores, bytes, check_query, checked_scores, short,
};
use crate::rest::engine_failure;
use crate::{ClientError, ErrorKind};

#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct RankedJson {
    query: Option<String>,
    #[serde(alias = "result")]
    scores: Option<Scores>,
    expanded_queries: Option<Vec<String>>,
    cached: bool,
    timestamp: f64,
    error: Option<String>,
}

impl Default for RankedJson {
    fn default() -> Self {
        Self {
            query: None,
            scores: None,
            expanded_queries: None,
            cached: false,
            timestamp: 0.0,
            error: None,
        }
    }
}

impl RankedJson {
    pub(crate) fn accept(self, query: &str) -> Result<Ranked, ClientError> {
        let scores = present(self.scores, "scores", self.error)?;
        check_query(query, self.query.as_deref())?;
        Ok(Ranked {
            scores: scores.checked()?,
            expanded_queries: self.expanded_queries.unwrap_or_default(),
            cached: self.cached,
            timestamp: self.timestamp,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ScoredJson {
    query: Option<String>,
    scores: Option<Vec<f64>>,
    cached: bool,
    timestamp: f64,
    error: Option<String>,
}

impl ScoredJson {
    pub(crate) fn accept(self, query: &str, passages: usize) -> Result<Scored, ClientError> {
        let scores = present(self.scores, "scores", self.error)?;
        check_query(query, self.query.as_deref())?;
        Ok(Scored {
            scores: checked_scores(scores, passages)?,
            cached: self.cached,
            timestamp: self.timestamp,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct DocumentJson {
    id: Option<String>,
    text: Option<String>,
    data: Option<Vec<String>>,
    mime: Option<String>,
    title: Option<String>,
    language: Option<String>,
    error: Option<String>,
    code: Option<String>,
}

impl DocumentJson {
    /// The document `id`, not another.
    pub(crate) fn accept(self, id: &str) -> Result<Document, ClientError> {
        if self.text.is_none() && self.data.is_none() && self.error.is_some() {
            let kind = match self.code.as_deref() {
                Some("unavailable") => ErrorKind::Unavailable,
                Some("unknown_document") => ErrorKind::Refused,
                _ => ErrorKind::Failed,
            };
            let message = short(self.error.as_deref().unwrap_or_default());
            return Err(ClientError::new(kind, message).with_code(self.code));
        }
        let payload = match self.data {
            Some(data) => bytes(decoded(&data)?, self.mime)?,
            None => Payload::Text(present(self.text, "text", self.error)?),
        };
        match self.id {
            Some(other) if other != id => Err(ClientError::bad_answer(format!(
                "it answers document `{}` instead of `{}`",
                short(&other),
                short(id)
            ))),
            _ => Ok(Document {
                payload,
                title: self.title,
                language: self.language,
            }),
        }
    }
}

/// Bytes out of their form in JSON.
fn decoded(data: &[String]) -> Result<Vec<Bytes>, ClientError> {
    let parts = data.iter().map(|part| STANDARD.decode(part));
    let parts: Result<Vec<_>, _> = parts.map(|part| part.map(Bytes::from)).collect();
    parts.map_err(|why| ClientError::bad_answer(format!("the bytes are no base64: {why}")))
}

#[derive(Deserialize)]
pub(crate) struct DocumentsJson {
    documents: Vec<DocumentJson>,
}

impl DocumentsJson {
    /// The documents in the order of their ids, each found or failed alone.
    pub(crate) fn accept(
        self,
        ids: &[&str],
    ) -> Result<Vec<Result<Document, ClientError>>, ClientError> {
        if self.documents.len() != ids.len() {
            return Err(ClientError::bad_answer(format!(
                "{} documents came for {} ids",
                self.documents.len(),
                ids.len()
            )));
        }
        let documents = self.documents.into_iter().zip(ids);
        Ok(documents.map(|(it, id)| it.accept(id)).collect())
    }
}

#[derive(Deserialize)]
pub(crate) struct SubQueriesJson {
    pub(crate) sub_queries: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct StatusJson {
    pub(crate) status: String,
}

/// The field that an answer must have, unless it tells a failure instead.
fn present<T>(field: Option<T>, name: &str, error: Option<String>) -> Result<T, ClientError> {
    field.ok_or_else(|| match error {
        Some(error) => engine_failure(&error),
        None => ClientError::bad_answer(format!("the answer has no `{name}`")),
    })
}
