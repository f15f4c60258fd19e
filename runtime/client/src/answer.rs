//! What servers answer, checked: what leaves here has the shape that was asked for and finite
//! scores.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::ClientError;

/// The most names of one kind that are taken from `/avail`.
const MAX_NAMES: usize = 10_000;

/// The answer to a search or a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Documents with their scores, in the order in which they came: RoutIR writes them by id. No
    /// document stands there twice and every score is finite.
    pub scores: Vec<(String, f64)>,
    /// The sub-queries that were searched, if there were any.
    pub expanded_queries: Vec<String>,
    /// Whether it came from the server's cache.
    pub cached: bool,
    /// When it was computed, in seconds since the Unix epoch; 0 when the server does not say.
    pub timestamp: f64,
}

/// The answer to a scoring.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// One finite score per passage, in the passages' order.
    pub scores: Vec<f64>,
    /// Whether it came from the server's cache.
    pub cached: bool,
    /// When it was computed, in seconds since the Unix epoch; 0 when the server does not say.
    pub timestamp: f64,
}

/// A document of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What the view shows of it.
    pub payload: Payload,
    /// Its title, if the server tells one.
    pub title: Option<String>,
    /// Its language, if the server tells one.
    pub language: Option<String>,
}

/// What a view shows of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Text.
    Text(String),
    /// Bytes.
    Bytes {
        /// The parts in their order, at least one.
        parts: Vec<Bytes>,
        /// The media type of every part, if the server tells one.
        mime: Option<String>,
    },
}

impl Document {
    /// Its text; `None` when the view shows bytes.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.payload {
            Payload::Text(text) => Some(text),
            Payload::Bytes { .. } => None,
        }
    }
}

/// What a server offers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Avail {
    /// Services that search.
    #[serde(alias = "query")]
    pub search: Vec<String>,
    /// Services that score.
    pub score: Vec<String>,
    /// Mergers.
    pub fuse: Vec<String>,
    /// Expanders.
    pub decompose_query: Vec<String>,
    /// Collections, as RoutIR 0.0.2 lists them.
    pub content: Vec<String>,
    /// Collections with their views, as servers of the next level tell.
    pub collection: BTreeMap<String, Views>,
    /// Scorers with what they read, `text` or `bytes`, as servers of the next level tell.
    pub score_view_kinds: BTreeMap<String, String>,
    /// Pipeline aliases.
    pub pipeline_aliases: BTreeMap<String, String>,
    /// The port of the gRPC server, if there is one.
    pub grpc_port: Option<u16>,
    /// What a server of this project says of itself.
    pub server: Option<ServerInfo>,
}

/// The views of a collection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Views {
    /// Each view's kind, `text` or `bytes`.
    pub views: BTreeMap<String, String>,
    /// The view that is read when none is named.
    pub default: Option<String>,
}

/// What a server of this project says of itself in `/avail`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    /// Tells this process from every other.
    pub id: String,
    /// What it does beyond RoutIR's calls: `contents`, `fuse`, `decompose`.
    pub endpoints: Vec<String>,
    /// Services that it relays itself, each with the ids of the servers that they come through.
    pub relayed: BTreeMap<String, Vec<String>>,
    /// Likewise for collections.
    pub relayed_collections: BTreeMap<String, Vec<String>>,
}

impl Avail {
    /// Refuses lists that nobody can mean.
    pub(crate) fn checked(self) -> Result<Self, ClientError> {
        let lists = [
            self.search.len(),
            self.score.len(),
            self.fuse.len(),
            self.decompose_query.len(),
            self.content.len(),
            self.collection.len(),
            self.score_view_kinds.len(),
        ];
        match lists.iter().find(|count| **count > MAX_NAMES) {
            Some(count) => Err(ClientError::bad_answer(format!(
                "it offers {count} names of one kind; {MAX_NAMES} are taken"
            ))),
            None => Ok(self),
        }
    }
}

/// A ranking as it stands on the wire: an object of documents and scores.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scores(pub(crate) Vec<(String, f64)>);

impl Scores {
    /// The documents, none twice, none with a score that is no number.
    pub(crate) fn checked(self) -> Result<Vec<(String, f64)>, ClientError> {
        let mut seen = HashSet::with_capacity(self.0.len());
        for (doc, score) in &self.0 {
            if !score.is_finite() {
                return Err(ClientError::bad_answer(format!(
                    "the score of document `{}` is {score}, not a finite number",
                    short(doc)
                )));
            }
            if !seen.insert(doc.as_str()) {
                return Err(ClientError::bad_answer(format!(
                    "document `{}` stands in the ranking twice",
                    short(doc)
                )));
            }
        }
        Ok(self.0)
    }
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Scores;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of documents and their scores")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scores, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(0).min(1024));
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Scores(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// The most parts of one document.
const MAX_PARTS: usize = 65_536;

/// The payload of a document of bytes.
pub(crate) fn bytes(parts: Vec<Bytes>, mime: Option<String>) -> Result<Payload, ClientError> {
    if parts.is_empty() || parts.len() > MAX_PARTS {
        let count = parts.len();
        let message = format!("a document came in {count} parts; 1 to {MAX_PARTS} are taken");
        return Err(ClientError::bad_answer(message));
    }
    Ok(Payload::Bytes {
        parts,
        mime: mime.filter(|it| !it.is_empty() && it.len() <= 256),
    })
}

/// One finite score for each of `passages`.
pub(crate) fn checked_scores(scores: Vec<f64>, passages: usize) -> Result<Vec<f64>, ClientError> {
    if scores.len() != passages {
        return Err(ClientError::bad_answer(format!(
            "{} scores came for {passages} passages",
            scores.len()
        )));
    }
    match scores.iter().position(|score| !score.is_finite()) {
        Some(at) => Err(ClientError::bad_answer(format!(
            "the score of passage {at} is {}, not a finite number",
            scores.get(at).copied().unwrap_or(f64::NAN)
        ))),
        None => Ok(scores),
    }
}

/// Refuses an answer to another query than the one that was asked, as RoutIR's relays do.
pub(crate) fn check_query(asked: &str, answered: Option<&str>) -> Result<(), ClientError> {
    match answered {
        Some(other) if other != asked => Err(ClientError::bad_answer(format!(
            "it answers the query `{}` instead of `{}`",
            short(other),
            short(asked)
        ))),
        _ => Ok(()),
    }
}

/// The beginning of a text that others wrote, for a message.
pub(crate) fn short(text: &str) -> String {
    // Room for the words of several servers in a row.
    const MOST: usize = 800;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
