//! From the configuration to a collection's parts.

use std::path::PathBuf;

use routir_config::{
    CollectionConfig, CollectionProcessor, LocalPathSource, Matcher, Origin, Remote, ShardResolver,
    Source, TarSource, TextJsonlSource,
};
use routir_core::{Error, ErrorCode, Result};

use crate::collection::{Collection, CollectionParts};
use crate::files::{FilesParts, Place};
use crate::options::OpenOptions;
use crate::segments::SegmentsParts;
use crate::tar::{self, Shards, TarParts};
use crate::template::Template;
use crate::view::{BytesParts, BytesView, SegmentsView, TextView, ViewParts};

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
    /// not read; [`ErrorCode::InvalidArgument`] for a template or pattern that makes no sense.
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
            let place = |error: Error| {
                error.at(format_args!("collection `{}`: view `{name}`", config.name))
            };
            views.push(match &view.source {
                Source::TextJsonl(text) => text_view(name, text, origin),
                Source::LocalPath(local) => files(name, local, origin).map_err(place)?,
                Source::Tar(tar) => archives(name, tar, origin).map_err(place)?,
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

/// The key of ids in the segmented MS MARCO.
const SEGMENT_ID: &str = "docid";

fn text_view(name: &str, text: &TextJsonlSource, origin: &Origin) -> ViewParts {
    let what = text.remote();
    let doc_path = origin.resolve_remote(what, &text.doc_path);
    let cache_dir = text.cache_dir.as_ref().map(PathBuf::from);
    if what == Remote::Segments {
        // RoutIR does not look at the id there, so its files leave the key as it is.
        let is_default = text.id_field == TextJsonlSource::new("").id_field;
        let id_field = if is_default {
            SEGMENT_ID
        } else {
            &text.id_field
        };
        return ViewParts::Segments(SegmentsView {
            name: name.to_owned(),
            id_field: id_field.to_owned(),
            content_fields: text.content_fields.clone(),
            sep: text.sep.clone(),
            parts: SegmentsParts {
                directory: doc_path,
                cache_dir,
            },
        });
    }
    ViewParts::Text(TextView {
        name: name.to_owned(),
        doc_path,
        id_field: text.id_field.clone(),
        content_fields: text.content_fields.clone(),
        sep: text.sep.clone(),
        cache_dir,
        sidecar_path: text.cache_path.as_ref().map(PathBuf::from),
    })
}

/// The template at `path`. Where that starts at the configuration's directory, the letters of that
/// directory stand for themselves: `escape` takes their meaning in a pattern.
fn template(
    path: &str,
    gap: &str,
    origin: &Origin,
    escape: impl Fn(&str) -> String,
) -> Result<Template> {
    let resolved = origin.resolve_path(path);
    let resolved = resolved.to_string_lossy();
    let directory = resolved.strip_suffix(path).unwrap_or_default();
    let directory = escape(directory).replace('{', "{{").replace('}', "}}");
    Template::parse(&format!("{directory}{path}"), gap)
}

fn files(name: &str, source: &LocalPathSource, origin: &Origin) -> Result<ViewParts> {
    let place = match (&source.path_template, &source.path_glob) {
        (Some(path), _) => Place::Template(template(path, "id", origin, str::to_owned)?),
        (None, Some(path)) => Place::Glob(template(path, "id", origin, glob::Pattern::escape)?),
        (None, None) => {
            let message = "neither `path_template` nor `path_glob` says where the files are";
            return Err(Error::invalid(message));
        }
    };
    let base_dir = source.base_dir.as_ref();
    Ok(ViewParts::Bytes(BytesView {
        name: name.to_owned(),
        source: BytesParts::Files(FilesParts {
            place,
            base_dir: base_dir.map(|path| origin.resolve_path(path)),
            mime: source.mime.clone(),
        }),
    }))
}

fn archives(name: &str, source: &TarSource, origin: &Origin) -> Result<ViewParts> {
    let shards = match &source.shard_resolver {
        None => Shards::One,
        Some(ShardResolver::Manifest(manifest)) => Shards::Manifest {
            path: origin.resolve_path(&manifest.path),
            id_column: manifest.id_column.clone(),
            shard_column: manifest.shard_column.clone(),
        },
        Some(ShardResolver::Modulo(modulo)) => Shards::Modulo {
            n: modulo.n,
            width: modulo.width,
        },
        Some(ShardResolver::Substring(substring)) => Shards::Substring {
            start: substring.start,
            end: substring.end,
        },
    };
    let matcher = match &source.matcher {
        Matcher::Glob { pattern } => tar::Matcher::glob(pattern)?,
        Matcher::Regex { pattern } => tar::Matcher::regex(pattern)?,
    };
    Ok(ViewParts::Bytes(BytesView {
        name: name.to_owned(),
        source: BytesParts::Tar(TarParts {
            template: template(&source.tar_template, "shard", origin, str::to_owned)?,
            shards,
            matcher,
            mime: source.mime.clone(),
            cache_dir: source.cache_dir.as_ref().map(PathBuf::from),
        }),
    }))
}
