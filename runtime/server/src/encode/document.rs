//! A document.

use std::sync::Arc;

use axum::body::Bytes;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use routir_core::{Answer, Document, Payload};
use serde::ser::{Serialize, Serializer};

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
