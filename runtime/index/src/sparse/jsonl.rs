//! Documents as JSON lines of term weights, as Anserini and Pyserini index them:
//! `{"id": "d1", "vector": {"term": 1.5, …}}`.

use std::fmt;
use std::io::{BufRead, Read};

use routir_core::{Error, Result};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::build::SparseBuilder;

/// The longest line that is read, in bytes.
pub const MAX_LINE_BYTES: usize = 64 << 20;

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// Documents.
    pub documents: u64,
    /// Documents without terms among them, which are never found.
    pub empty: u64,
}

#[derive(Deserialize)]
struct Line {
    id: Id,
    vector: Terms,
}

/// A document's id: text, or a number as its digits.
struct Id(String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Number(u64),
        }
        Ok(Self(match Either::deserialize(from)? {
            Either::Text(text) => text,
            Either::Number(number) => number.to_string(),
        }))
    }
}

/// Terms with their weights, as they stand.
struct Terms(Vec<(String, f32)>);

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Terms;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of terms and their weights")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Terms, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Terms(pairs))
            }
        }
        from.deserialize_map(Pairs)
    }
}

/// Adds every document of `lines` to `builder`; `term` tells the id of a term in the model's
/// vocabulary; `each` is told how many documents there are, and says whether to go on. Other keys of
/// a line than `id` and `vector` are passed over, as are empty lines.
///
/// # Errors
/// Naming the line: when it is no such object or too long, has a term that the vocabulary lacks (so
/// that it was made for another model), or what [`SparseBuilder::add`] refuses; and when reading
/// fails. [`routir_core::ErrorCode::Cancelled`] when `each` says no.
pub fn import_jsonl(
    mut lines: impl BufRead,
    term: impl Fn(&str) -> Option<u32>,
    builder: &mut SparseBuilder,
    mut each: impl FnMut(u64) -> bool,
) -> Result<ImportSummary> {
    let mut summary = ImportSummary::default();
    let mut line = Vec::new();
    let mut weights = Vec::new();
    for number in 1_u64.. {
        let place = |error: Error| error.at(format!("line {number}"));
        line.clear();
        let read = lines
            .by_ref()
            .take(MAX_LINE_BYTES as u64 + 1)
            .read_until(b'\n', &mut line);
        if read.map_err(|error| place(Error::invalid(error.to_string())))? == 0 {
            break;
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(place(Error::invalid(format!(
                "it is longer than {MAX_LINE_BYTES} bytes"
            ))));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let parsed: Line = serde_json::from_slice(&line).map_err(|error| {
            place(Error::invalid(format!(
                "it is not of the form {{\"id\": …, \"vector\": {{\"term\": weight, …}}}}: {error}"
            )))
        })?;
        weights.clear();
        for (text, weight) in &parsed.vector.0 {
            let id = term(text).ok_or_else(|| {
                let text: String = text.chars().take(80).collect();
                place(Error::invalid(format!(
                    "the vocabulary has no term `{text}`; use the tokenizer of the model that made \
                     the weights"
                )))
            })?;
            weights.push((id, *weight));
        }
        builder.add(&parsed.id.0, &weights).map_err(place)?;
        summary.documents += 1;
        summary.empty += u64::from(weights.iter().all(|it| it.1 == 0.0));
        if !each(summary.documents) {
            return Err(Error::new(
                routir_core::ErrorCode::Cancelled,
                "the import was ended",
            ));
        }
    }
    Ok(summary)
}
