//! From the configuration to a collection's parts.

use std::path::PathBuf;

use routir_config::{CollectionConfig, CollectionProcessor, OffsetSource, Origin, Source};
use routir_core::{Error, ErrorCode, Result};

use crate::collection::{Collection, CollectionParts, TextView};
use crate::options::OpenOptions;

impl Collection {
    /// Opens the collection that `config`, read from `origin`, describes; see
    /// [`Collection::open_parts`].
    ///
    /// # Errors
    /// As [`Collection::open_parts`]; [`ErrorCode::Unsupported`] for a kind of collection, view or
    /// source that this server does not read.
    pub fn open(
        config: &CollectionConfig,
        origin: &Origin,
        options: &OpenOptions<'_>,
    ) -> Result<Self> {
        Self::open_parts(&CollectionParts::from_config(config, origin)?, options)
    }
}

impl CollectionParts {
    /// The parts of the collection that `config` describes; `origin` says where its relative
    /// paths lead. Reads no file.
    ///
    /// # Errors
    /// [`ErrorCode::Unsupported`] for a kind of collection, view or source that this server does
    /// not read.
    pub fn from_config(config: &CollectionConfig, origin: &Origin) -> Result<Self> {
        let unsupported = |what: &str, advice: &str| {
            let message = format!(
                "collection `{}`: {what} is not supported; {advice}",
                config.name
            );
            Error::new(ErrorCode::Unsupported, message)
        };
        if config.processor == CollectionProcessor::IRDSProcessor {
            let advice = "export the dataset as JSON lines and name the file in `doc_path`";
            return Err(unsupported("processor `IRDSProcessor`", advice));
        }
        let mut views = Vec::with_capacity(config.views.len());
        for (name, view) in &config.views {
            let text = match &view.source {
                Source::TextJsonl(text) => text,
                Source::LocalPath(_) | Source::Tar(_) => {
                    let what = format!("the bytes view `{name}`");
                    return Err(unsupported(&what, "use a view with source `text_jsonl`"));
                }
            };
            if text.offset_source == OffsetSource::MsmarcoSeg {
                let what = format!("view `{name}`: offset_source `msmarco_seg`");
                let advice =
                    "concatenate the shards (gzip files may be joined) and use `offsetfile`";
                return Err(unsupported(&what, advice));
            }
            if text.doc_path.starts_with("hfds:") {
                let what = format!("view `{name}`: doc_path `{}`", text.doc_path);
                return Err(unsupported(&what, "download the dataset and name its file"));
            }
            views.push(TextView {
                name: name.clone(),
                doc_path: origin.resolve_path(&text.doc_path),
                id_field: text.id_field.clone(),
                content_fields: text.content_fields.clone(),
                sep: text.sep.clone(),
                cache_dir: text.cache_dir.as_ref().map(PathBuf::from),
                sidecar_path: text.cache_path.as_ref().map(PathBuf::from),
            });
        }
        Ok(Self {
            name: config.name.clone(),
            views,
            default_view: config.default_view().map(str::to_owned),
            languages: config
                .id_to_lang_mapping
                .as_ref()
                .map(|path| origin.resolve_path(path)),
            load_all: config.force_load_all_documents,
            cache: config.cache_capacity(),
            cache_ttl: config.cache_ttl(),
        })
    }
}
