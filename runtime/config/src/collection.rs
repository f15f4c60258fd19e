//! One entry of `collections`: documents by id, in named views.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::schema::NAME;
use crate::service::{capacity, lifetime, ttl};
use crate::views::{OffsetSource, OneOrMany, Source, TextJsonlSource, ViewKind, ViewSpec};

/// A collection: documents by id, in named views.
///
/// Written either with `views` or, as older files of RoutIR do, with `doc_path` and its companions.
/// Loading turns the latter into one text view named `text`, so a reader needs `views` only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CollectionConfig {
    /// The name in requests. It never stands in a pipeline, so any text will do.
    #[schemars(length(min = 1))]
    pub name: String,
    /// RoutIR's class that reads the documents.
    #[serde(default)]
    pub processor: CollectionProcessor,
    /// The views by name, each a letter, then letters, digits, `_` or `-`.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": NAME}))]
    pub views: BTreeMap<String, ViewSpec>,
    /// The view that is read when a request names none; may be left out when there is only one.
    #[serde(default)]
    pub default_view: Option<String>,
    /// A file that maps ids to language codes: a JSON object, or a pickled dict of plain strings.
    #[serde(default)]
    pub id_to_lang_mapping: Option<String>,
    /// Whether all documents are held in memory from the start.
    #[serde(default)]
    pub force_load_all_documents: bool,
    /// How many documents are kept in memory; 0 or less is none.
    #[serde(default = "cache")]
    pub cache: i64,
    /// How long a cached document stays, in seconds; 0 keeps nothing.
    #[serde(default = "ttl")]
    pub cache_ttl: u64,
    /// Legacy: the documents' file.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) doc_path: Option<String>,
    /// Legacy: the key of a document's id; `id` when left out.
    #[serde(default)]
    pub(crate) id_field: Option<String>,
    /// Legacy: the key or keys of a document's text; `text` when left out.
    #[serde(default, deserialize_with = "maybe_many")]
    #[schemars(with = "Option<OneOrMany>")]
    pub(crate) content_field: Option<Vec<String>>,
    /// Legacy: how a document is found in the file; `offsetfile` when left out.
    #[serde(default)]
    pub(crate) offset_source: Option<OffsetSource>,
    /// Legacy: the path of the sidecar that remembers where each document starts.
    #[serde(default)]
    pub(crate) cache_path: Option<String>,
}

/// RoutIR's class that reads the documents of a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum CollectionProcessor {
    /// Reads the configured views.
    #[default]
    ContentProcessor,
    /// Loads a dataset by its `ir_datasets` id.
    IRDSProcessor,
}

/// The view that the legacy keys make.
const LEGACY_VIEW: &str = "text";

impl CollectionConfig {
    /// A collection with these views and every default.
    #[must_use]
    pub fn new(name: impl Into<String>, views: BTreeMap<String, ViewSpec>) -> Self {
        Self {
            name: name.into(),
            processor: CollectionProcessor::default(),
            views,
            default_view: None,
            id_to_lang_mapping: None,
            force_load_all_documents: false,
            cache: cache(),
            cache_ttl: ttl(),
            doc_path: None,
            id_field: None,
            content_field: None,
            offset_source: None,
            cache_path: None,
        }
    }

    /// The view that is read when none is named.
    #[must_use]
    pub fn default_view(&self) -> Option<&str> {
        let only = || self.views.keys().next().filter(|_| self.views.len() == 1);
        self.default_view.as_ref().or_else(only).map(String::as_str)
    }

    /// How many documents are kept in memory; `None` when the cache is off.
    #[must_use]
    pub fn cache_capacity(&self) -> Option<u64> {
        capacity(self.cache, self.cache_ttl)
    }

    /// How long a cached document stays.
    #[must_use]
    pub fn cache_ttl(&self) -> Duration {
        lifetime(self.cache_ttl)
    }

    /// The names of its views, also before the legacy keys have become one.
    pub(crate) fn view_names(&self) -> impl Iterator<Item = &str> {
        let legacy = (self.is_legacy() && self.views.is_empty()).then_some(LEGACY_VIEW);
        self.views.keys().map(String::as_str).chain(legacy)
    }

    /// Whether it was written with `doc_path` in place of `views`.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        self.doc_path.is_some()
    }

    /// The legacy keys that were written.
    pub(crate) fn legacy_keys(&self) -> impl Iterator<Item = &'static str> {
        [
            ("doc_path", self.doc_path.is_some()),
            ("id_field", self.id_field.is_some()),
            ("content_field", self.content_field.is_some()),
            ("offset_source", self.offset_source.is_some()),
            ("cache_path", self.cache_path.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, written)| written.then_some(key))
    }

    /// Turns the legacy keys into the view that they mean.
    pub(crate) fn synthesize_view(&mut self) {
        let Some(doc_path) = self.doc_path.clone() else {
            return;
        };
        if !self.views.is_empty() {
            return;
        }
        let mut source = TextJsonlSource::new(doc_path);
        if let Some(key) = &self.id_field {
            source.id_field.clone_from(key);
        }
        if let Some(keys) = &self.content_field {
            source.content_fields.clone_from(keys);
        }
        source.offset_source = self.offset_source.unwrap_or_default();
        source.cache_path.clone_from(&self.cache_path);
        let view = ViewSpec {
            kind: ViewKind::Text,
            source: Source::TextJsonl(source),
        };
        self.views.insert(LEGACY_VIEW.to_owned(), view);
    }
}

fn maybe_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Option::<OneOrMany>::deserialize(deserializer)?.map(Into::into))
}

fn cache() -> i64 {
    256
}
