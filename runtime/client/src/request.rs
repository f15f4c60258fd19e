//! What is asked, as it stands on the wire.

use bytes::Bytes;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{ClientError, ErrorKind};

/// The fields of requests, which no argument may be named: written twice, who reads them last would
/// win.
const FIELDS: [&str; 6] = [
    "service",
    "query",
    "limit",
    "passages",
    "rankings",
    "sub_queries",
];

/// The name of a request's own field among its arguments, if there is one: such a request is not sent.
#[must_use]
pub fn field_among(extras: &Map<String, Value>) -> Option<&'static str> {
    FIELDS.into_iter().find(|field| extras.contains_key(*field))
}

fn repeated(field: &str) -> String {
    format!("an argument must not be named `{field}`, which the request itself says")
}

/// Whether arguments can go along with a request.
pub(crate) fn check(extras: &Map<String, Value>) -> Result<(), ClientError> {
    match field_among(extras) {
        Some(field) => Err(ClientError::new(ErrorKind::Refused, repeated(field))),
        None => Ok(()),
    }
}

/// Writes arguments beside a request's fields, but for ones that would be there twice.
fn beside<S: Serializer>(extras: &Map<String, Value>, serializer: S) -> Result<S::Ok, S::Error> {
    match field_among(extras) {
        Some(field) => Err(S::Error::custom(repeated(field))),
        None => extras.serialize(serializer),
    }
}

/// Asks a service for the best documents.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Search<'a> {
    /// The service.
    pub service: &'a str,
    /// The query.
    pub query: &'a str,
    /// How many documents at most; `None` is the server's default, 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Everything else, for the engine: `subset`, `instruction`, … Must not repeat the fields above.
    #[serde(flatten, serialize_with = "beside")]
    pub extras: &'a Map<String, Value>,
}

/// Asks a service for scores of passages.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Score<'a> {
    /// The service.
    pub service: &'a str,
    /// The query.
    pub query: &'a str,
    /// The passages.
    pub passages: Passages<'a>,
    /// Everything else, for the engine: `prompt`, … Must not repeat the fields above.
    #[serde(flatten, serialize_with = "beside")]
    pub extras: &'a Map<String, Value>,
}

/// What is scored: all text, or all bytes.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum Passages<'a> {
    /// Texts.
    Text(&'a [&'a str]),
    /// Bytes in parts, which can be sent over gRPC alone.
    #[serde(skip)]
    Bytes(&'a [&'a [Bytes]]),
}

impl Passages<'_> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(texts) => texts.len(),
            Self::Bytes(all) => all.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Asks for a document.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Content<'a> {
    /// The collection.
    pub collection: &'a str,
    /// The document's id.
    pub id: &'a str,
    /// The view; `None` is the collection's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<&'a str>,
}

/// Asks for several documents: of servers of this project.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Contents<'a> {
    /// The collection.
    pub collection: &'a str,
    /// The documents' ids.
    pub ids: &'a [&'a str],
    /// The view; `None` is the collection's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<&'a str>,
}

/// Asks for a pipeline to be run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pipeline<'a> {
    /// The pipeline.
    pub pipeline: &'a str,
    /// The query.
    pub query: &'a str,
    /// The collection that rerank stages read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<&'a str>,
    /// Arguments for stages, by alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_kwargs: Option<&'a Map<String, Value>>,
}

/// One of the rankings of a [`Fuse`].
#[derive(Clone, Debug, Serialize)]
pub struct FuseInput<'a> {
    /// The stage that made it.
    pub stage: &'a str,
    /// The query that made it.
    pub query: &'a str,
    /// Documents and scores, best first.
    pub hits: Vec<(&'a str, f64)>,
}

/// Asks a merger for one ranking of several: of servers of this project.
#[derive(Clone, Debug, Serialize)]
pub struct Fuse<'a> {
    /// The merger.
    pub service: &'a str,
    /// The query.
    pub query: &'a str,
    /// The rankings.
    pub rankings: Vec<FuseInput<'a>>,
    /// The sub-queries, when an expander ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_queries: Option<Vec<&'a str>>,
    /// How many documents at most; `None` is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Everything else, for the engine. Must not repeat the fields above.
    #[serde(flatten, serialize_with = "beside")]
    pub extras: &'a Map<String, Value>,
}

/// Asks an expander for sub-queries: of servers of this project.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Decompose<'a> {
    /// The expander.
    pub service: &'a str,
    /// The query.
    pub query: &'a str,
    /// How many sub-queries at most; `None` is the engine's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Everything else, for the engine. Must not repeat the fields above.
    #[serde(flatten, serialize_with = "beside")]
    pub extras: &'a Map<String, Value>,
}
