//! Opening a collection.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use moka::sync::Cache;
use routir_core::{DocId, Document, DocumentScan, Error, Result};

use super::{Collection, CollectionParts, Inner};
use crate::labels::IdLabels;
use crate::options::{Location, OpenOptions, Phase, Progress};
use crate::readers::Readers;
use crate::record::Projection;
use crate::scan::ViewScan;
use crate::store::Store;
use crate::view::{Source, TextView, View, ViewParts};

impl Collection {
    /// Opens a collection, building the index files that are missing or out of date. Blocking, and
    /// long for a large corpus that is new.
    ///
    /// # Errors
    /// When a file cannot be read or is no such corpus, or an index cannot be written.
    pub fn open_parts(parts: &CollectionParts, options: &OpenOptions<'_>) -> Result<Self> {
        Self::open_unplaced(parts, options)
            .map_err(|error| error.at(format_args!("collection `{}`", parts.name)))
    }

    fn open_unplaced(parts: &CollectionParts, options: &OpenOptions<'_>) -> Result<Self> {
        let default = match (&parts.default_view, parts.views.as_slice()) {
            (Some(name), views) => views.iter().position(|view| view.name() == name),
            (None, [_]) => Some(0),
            (None, _) => None,
        };
        let default = default.ok_or_else(|| {
            Error::invalid("there is no default view; name one of the views in `default_view`")
        })?;
        let languages = parts
            .languages
            .as_deref()
            .map(IdLabels::open)
            .transpose()?
            .map(Arc::new);
        let mut stores: HashMap<Location, Arc<Store>> = HashMap::new();
        let mut views: Vec<View> = Vec::with_capacity(parts.views.len());
        for view in &parts.views {
            let languages = languages.clone();
            let source = match view {
                ViewParts::Text(text) => {
                    open_text(text, languages, parts.load_all, &mut stores, options)
                }
                ViewParts::Segments(segments) if parts.load_all => Err(Error::invalid(format!(
                    "`force_load_all_documents` cannot be used with `msmarco_seg` (in {}): \
                     documents are found by their ids; leave it out",
                    segments.name
                ))),
                ViewParts::Segments(segments) => {
                    Source::open_segments(segments, languages, options)
                }
                ViewParts::Bytes(bytes) => Source::open_bytes(bytes, languages, options),
            };
            let source =
                source.map_err(|error| error.at(format_args!("view `{}`", view.name())))?;
            views.push(View {
                name: view.name().into(),
                source,
            });
        }
        let cache = parts
            .cache
            .filter(|_| !parts.load_all && !parts.cache_ttl.is_zero());
        let cache = cache.map(|capacity| {
            Cache::builder()
                .max_capacity(capacity)
                .time_to_live(parts.cache_ttl)
                .build()
        });
        Ok(Self {
            inner: Arc::new(Inner {
                name: parts.name.clone(),
                views,
                default,
                cache,
                max_document_bytes: options.max_document_bytes,
                readers: Readers::default(),
            }),
        })
    }
}

impl Location {
    fn of(view: &TextView, options: &OpenOptions<'_>) -> Self {
        Self {
            doc_path: view.doc_path.clone(),
            id_field: view.id_field.clone(),
            cache_dir: view
                .cache_dir
                .clone()
                .or_else(|| options.cache_dir.map(Into::into)),
            sidecar_path: view.sidecar_path.clone(),
        }
    }
}

/// Opens a view over a file of JSON lines, which several views may share.
fn open_text(
    view: &TextView,
    languages: Option<Arc<IdLabels>>,
    load_all: bool,
    stores: &mut HashMap<Location, Arc<Store>>,
    options: &OpenOptions<'_>,
) -> Result<Source> {
    let location = Location::of(view, options);
    let store = match stores.get(&location) {
        Some(store) => Arc::clone(store),
        None => {
            let store = Arc::new(Store::open(&location, options)?);
            stores.insert(location, Arc::clone(&store));
            store
        }
    };
    let projection = Projection::new(&view.id_field, &view.content_fields, &view.sep);
    let scan = ViewScan {
        store,
        projection,
        languages,
    };
    let loaded = load_all.then(|| load(&scan, options)).transpose()?;
    Ok(Source::Text { scan, loaded })
}

/// Reads all documents into memory.
fn load(scan: &ViewScan, options: &OpenOptions<'_>) -> Result<HashMap<DocId, Arc<Document>>> {
    /// After how many documents the progress is told.
    const TELL: u64 = 4096;
    let source = scan.store.source();
    let mut loaded = HashMap::with_capacity(scan.len());
    let mut progress = Progress {
        phase: Phase::Loading,
        path: source.path(),
        bytes_done: 0,
        bytes_total: source.text_bytes(),
        documents: 0,
    };
    scan.scan_with(&mut |document, bytes_done| {
        progress.documents += 1;
        progress.bytes_done = bytes_done;
        if progress.documents.is_multiple_of(TELL) {
            options.tell(progress.clone());
        }
        loaded.insert(document.id.clone(), Arc::new(document.into()));
        ControlFlow::Continue(())
    })?;
    progress.bytes_done = progress.bytes_total;
    options.tell(progress);
    Ok(loaded)
}
