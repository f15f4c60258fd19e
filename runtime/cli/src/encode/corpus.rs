//! The documents that are encoded or indexed: a file of JSON lines, or a collection of a
//! configuration. Both are read as the server reads collections.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use routir_content::{CollectionParts, TextView, ViewParts};
use routir_core::{DocumentScan, nearest};

use crate::failure::{from_core, wrong};
use crate::hub::hub;
use crate::progress::Progress;
use crate::wire;

/// Where the documents come from.
#[derive(Debug, Args)]
pub(crate) struct Documents {
    /// The documents: one JSON object per line, plain or compressed with gzip or zstd.
    #[arg(
        value_name = "FILE",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    pub(crate) file: Option<PathBuf>,
    /// The key of a document's id in FILE.
    #[arg(long, value_name = "KEY", default_value = "id")]
    pub(crate) id_field: String,
    /// The keys whose values make the text in FILE, separated by commas.
    #[arg(
        long,
        value_name = "KEYS",
        value_delimiter = ',',
        default_value = "text"
    )]
    pub(crate) fields: Vec<String>,
    /// What stands between the values of several keys.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "\n",
        hide_default_value = true
    )]
    pub(crate) sep: String,
    /// Take a collection of this configuration instead of FILE: a path, or the JSON itself.
    #[arg(long, value_name = "CONFIG")]
    pub(crate) config: Option<String>,
    /// The collection; may be left out when there is only one.
    #[arg(long, value_name = "NAME", requires = "config")]
    pub(crate) collection: Option<String>,
    /// The collection's view whose text is taken, when it is not the default view.
    #[arg(long, value_name = "NAME", requires = "config")]
    pub(crate) view: Option<String>,
}

impl Documents {
    /// Opens them, building the index of where each document lies if it is not there yet.
    ///
    /// # Errors
    /// When there is no such collection, or a file cannot be read.
    pub(crate) fn open(&self, progress: &Progress) -> anyhow::Result<Arc<dyn DocumentScan>> {
        let parts = match (&self.config, &self.file) {
            (Some(config), _) => self.configured(config)?,
            (None, Some(file)) => self.lines(file.clone()),
            (None, None) => return Err(wrong("name a file of documents, or a --config")),
        };
        let collection = wire::open_collection(&parts, progress).map_err(from_core)?;
        collection.scan(self.view.as_deref()).map_err(from_core)
    }

    /// What to call them: in messages.
    pub(crate) fn name(&self) -> String {
        match (&self.file, &self.collection, &self.config) {
            (Some(file), _, _) => file.display().to_string(),
            (None, Some(collection), _) => format!("collection `{collection}`"),
            (None, None, Some(config)) => config.clone(),
            (None, None, None) => String::new(),
        }
    }

    /// Checks that there was something to index.
    ///
    /// # Errors
    /// When `encoded` documents are none.
    pub(crate) fn require(&self, encoded: u64) -> anyhow::Result<()> {
        if encoded > 0 {
            return Ok(());
        }
        let name = self.name();
        Err(wrong(format!("there is no document with text in {name}")))
    }

    fn lines(&self, doc_path: PathBuf) -> CollectionParts {
        let name = doc_path.file_name().unwrap_or(doc_path.as_os_str());
        CollectionParts {
            name: name.to_string_lossy().into_owned(),
            views: vec![ViewParts::Text(TextView {
                name: "text".to_owned(),
                doc_path,
                id_field: self.id_field.clone(),
                content_fields: self.fields.clone(),
                sep: self.sep.clone(),
                cache_dir: None,
                sidecar_path: None,
            })],
            default_view: None,
            languages: None,
            load_all: false,
            cache: None,
            cache_ttl: Duration::ZERO,
        }
    }

    fn configured(&self, config: &str) -> anyhow::Result<CollectionParts> {
        let mut loaded = wire::load(config)?;
        let collections = &loaded.config.collections;
        let names = || collections.iter().map(|it| it.name.as_str());
        let known = || names().collect::<Vec<_>>().join(", ");
        let found = match (&self.collection, collections.as_slice()) {
            (Some(name), all) => all.iter().position(|it| it.name == *name).ok_or_else(|| {
                let hint = match nearest(name, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it has: {}", known()),
                };
                wrong(format!(
                    "{}: there is no collection `{name}`; {hint}",
                    loaded.origin.name()
                ))
            })?,
            (None, [_]) => 0,
            (None, []) => {
                let name = loaded.origin.name();
                return Err(wrong(format!("{name}: it has no collections")));
            }
            (None, _) => {
                return Err(wrong(format!(
                    "{}: there are several collections; name one with --collection: {}",
                    loaded.origin.name(),
                    known()
                )));
            }
        };
        wire::fetch_collection(&mut loaded, found, &hub()).map_err(from_core)?;
        let found = loaded
            .config
            .collections
            .get(found)
            .context("no collection")?;
        CollectionParts::from_config(found, &loaded.origin).map_err(from_core)
    }
}
