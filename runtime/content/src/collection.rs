//! A collection: views over stores, with a cache of documents before them.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use routir_core::{
    BoxFuture, CollectionInfo, ContentSource, DocId, Document, DocumentScan, Error, ErrorCode,
    Payload, Result, nearest,
};

use crate::bytes_view::Room;
use crate::failure::fault;
use crate::labels::IdLabels;
use crate::options::{Location, OpenOptions, Phase, Progress};
use crate::readers::Readers;
use crate::record::{Projection, Record};
use crate::scan::{ViewScan, language};
use crate::store::{Store, unknown};
use crate::view::{Source, TextView, View, ViewParts};

/// Up to how many documents are read in place, and how many bytes of them, if all are at hand: some
/// tens of microseconds of work, which is what it costs to hand it to another thread.
const IN_PLACE_DOCUMENTS: usize = 100;
const IN_PLACE_BYTES: u32 = 128 << 10;

/// How many bytes of views of bytes one request for documents may hold: 1 GiB.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

/// What a collection is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionParts {
    /// Its name.
    pub name: String,
    /// Its views; at least one.
    pub views: Vec<ViewParts>,
    /// The view that is read when none is named; with several views it must be said.
    pub default_view: Option<String>,
    /// A file with the documents' languages, see [`IdLabels::open`].
    pub languages: Option<PathBuf>,
    /// Whether all documents of text are held in memory.
    pub load_all: bool,
    /// How many documents are kept in memory; `None` is none.
    pub cache: Option<u64>,
    /// How long a document is kept.
    pub cache_ttl: Duration,
}

/// Documents by id, in named views.
#[derive(Clone)]
pub struct Collection {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    views: Vec<View>,
    default: usize,
    cache: Option<Cache<(usize, DocId), Arc<Document>>>,
    max_document_bytes: u64,
    readers: Readers,
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection")
            .field("name", &self.inner.name)
            .finish_non_exhaustive()
    }
}

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

    /// The collection's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// A view from end to end; `None` is the default view.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownName`] for a view that is not there; [`ErrorCode::Unsupported`] for one
    /// that shows bytes, or of which only single documents can be read.
    pub fn scan(&self, view: Option<&str>) -> Result<Arc<dyn DocumentScan>> {
        let (_, view) = self.inner.view(view)?;
        view.scan().map_err(|error| self.inner.placed(error))
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
        std::ops::ControlFlow::Continue(())
    })?;
    progress.bytes_done = progress.bytes_total;
    options.tell(progress);
    Ok(loaded)
}

impl Inner {
    fn view(&self, name: Option<&str>) -> Result<(usize, &View)> {
        let index = match name {
            None => Some(self.default),
            Some(name) => self.views.iter().position(|view| &*view.name == name),
        };
        let found = index.and_then(|index| Some((index, self.views.get(index)?)));
        found.ok_or_else(|| {
            let name = name.unwrap_or_default();
            let known: Vec<&str> = self.views.iter().map(|view| &*view.name).collect();
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its views: {}", known.join(", ")),
            };
            let message = format!("collection `{}` has no view `{name}`; {hint}", self.name);
            Error::new(ErrorCode::UnknownName, message)
        })
    }

    /// The document `id` if nothing must be waited for: loaded, cached, or read in place from what
    /// the system holds in memory, at most `room` bytes, which it then takes off.
    fn at_hand(
        &self,
        index: usize,
        view: &View,
        id: &DocId,
        room: &mut u32,
    ) -> Option<Result<Arc<Document>>> {
        let scan = match &view.source {
            // What is not loaded is not there, or has no text: the file says which.
            Source::Text { scan, loaded } => {
                if let Some(document) = loaded.as_ref().and_then(|loaded| loaded.get(id)) {
                    return Some(Ok(Arc::clone(document)));
                }
                Some(scan)
            }
            Source::Segments { .. } | Source::Bytes { .. } => None,
        };
        if let Some(cache) = &self.cache
            && let Some(document) = cache.get(&(index, id.clone()))
        {
            return Some(Ok(document));
        }
        let scan = scan?;
        let parse = |line: &[u8]| scan.parse(line);
        let read = scan.store.at_hand(id, *room, &parse);
        let Some((record, bytes)) = read else {
            // Whatever comes next would have to be waited for too.
            *room = 0;
            return None;
        };
        *room -= bytes;
        Some(self.document(index, scan, id, record))
    }

    /// Makes and keeps the document `id`.
    fn document(
        &self,
        index: usize,
        scan: &ViewScan,
        id: &DocId,
        record: Record,
    ) -> Result<Arc<Document>> {
        let document = Arc::new(scan.document(id, record)?);
        self.keep(index, &document);
        Ok(document)
    }

    fn keep(&self, index: usize, document: &Arc<Document>) {
        if let Some(cache) = &self.cache {
            cache.insert((index, document.id.clone()), Arc::clone(document));
        }
    }

    /// Reads `ids` from the file, each once. Blocking.
    fn read(
        &self,
        index: usize,
        ids: &[DocId],
        cancelled: &AtomicBool,
    ) -> HashMap<DocId, Result<Arc<Document>>> {
        let mut found = HashMap::with_capacity(ids.len());
        let Some(view) = self.views.get(index) else {
            return found;
        };
        match &view.source {
            Source::Text { scan, .. } => {
                let wanted: Vec<&str> = ids.iter().map(DocId::as_str).collect();
                let parse = |line: &[u8]| scan.parse(line);
                scan.store
                    .read(&wanted, cancelled, &parse, &mut |at, record| {
                        let Some(id) = ids.get(at) else { return };
                        let record = record.map_err(fault);
                        let document = record.and_then(|it| self.document(index, scan, id, it));
                        found.insert(id.clone(), document);
                    });
            }
            Source::Segments {
                segments,
                languages,
                content_fields,
            } => {
                let languages = languages.as_deref();
                for id in ids.iter().take_while(|_| !is_set(cancelled)) {
                    let record = segments.read(id);
                    let document = record.and_then(|it| segment(id, it, languages, content_fields));
                    if let Ok(document) = &document {
                        self.keep(index, document);
                    }
                    found.insert(id.clone(), document);
                }
            }
            // Files lie in the system's cache, and show at once what became of them.
            Source::Bytes { bytes, languages } => {
                let mut room = MAX_ANSWER_BYTES;
                for id in ids.iter().take_while(|_| !is_set(cancelled)) {
                    let most = Room {
                        bytes: self.max_document_bytes.min(room),
                        cancelled,
                    };
                    let read = bytes.read(id, most).map(|payload| {
                        room = room.saturating_sub(payload.size() as u64);
                        Arc::new(Document {
                            id: id.clone(),
                            payload: Payload::Bytes(payload),
                            title: None,
                            language: language(languages.as_deref(), id),
                        })
                    });
                    found.insert(id.clone(), read);
                }
            }
        }
        found
    }

    /// Says which collection failed, unless the document is simply not there.
    fn placed(&self, error: Error) -> Error {
        match error.code() {
            ErrorCode::UnknownDocument => error,
            _ => error.at(format_args!("collection `{}`", self.name)),
        }
    }
}

impl ContentSource for Collection {
    fn info(&self) -> CollectionInfo {
        let name = |view: &View| Arc::clone(&view.name);
        let views = self
            .inner
            .views
            .iter()
            .map(|view| (name(view), view.kind()))
            .collect();
        let default_view = self
            .inner
            .views
            .get(self.inner.default)
            .map(name)
            .unwrap_or_default();
        CollectionInfo {
            views,
            default_view,
        }
    }

    fn fetch<'a>(
        &'a self,
        view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        Box::pin(async move {
            let (index, view) = self.inner.view(view)?;
            let mut room = if ids.len() <= IN_PLACE_DOCUMENTS {
                IN_PLACE_BYTES
            } else {
                0
            };
            let at_hand = ids
                .iter()
                .map(|id| self.inner.at_hand(index, view, id, &mut room));
            let mut found: Vec<Option<Result<Arc<Document>>>> = at_hand.collect();
            if found.iter().any(Option::is_none) {
                let missing = ids.iter().zip(&found).filter(|(_, found)| found.is_none());
                let mut missing: Vec<DocId> = missing.map(|(id, _)| id.clone()).collect();
                missing.sort_unstable();
                missing.dedup();
                let cancel = CancelOnDrop(Arc::default());
                let (inner, cancelled) = (Arc::clone(&self.inner), Arc::clone(&cancel.0));
                let place = inner.readers.place().await?;
                let read = move || {
                    let _place = place;
                    inner.read(index, &missing, &cancelled)
                };
                let read = tokio::task::spawn_blocking(read).await.map_err(|error| {
                    Error::internal(format!("reading collection `{}`: {error}", self.name()))
                })?;
                for (found, id) in found.iter_mut().zip(ids) {
                    *found = found.take().or_else(|| read.get(id).cloned());
                }
            }
            let answer = |(found, id): (Option<Result<_>>, &DocId)| {
                found
                    .unwrap_or_else(|| Err(unknown(id)))
                    .map_err(|error| self.inner.placed(error))
            };
            Ok(found.into_iter().zip(ids).map(answer).collect())
        })
    }
}

/// A document of the segmented MS MARCO.
fn segment(
    id: &DocId,
    record: Record,
    languages: Option<&IdLabels>,
    content_fields: &[String],
) -> Result<Arc<Document>> {
    let text = record.text.ok_or_else(|| {
        let fields = content_fields.join("`, `");
        Error::engine(format!(
            "document {id} has none of the fields `{fields}`; check `content_fields`"
        ))
    })?;
    Ok(Arc::new(Document {
        id: id.clone(),
        payload: Payload::Text(text),
        title: record.title,
        language: language(languages, id),
    }))
}

fn is_set(cancelled: &AtomicBool) -> bool {
    cancelled.load(Ordering::Relaxed)
}

/// Stops the reading when its caller is gone.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "collection_tests.rs"]
mod tests;
