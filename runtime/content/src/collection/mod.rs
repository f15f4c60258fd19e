//! A collection: views over stores, with a cache of documents before them.

mod open;
mod read;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use routir_core::{
    BoxFuture, CollectionInfo, ContentSource, DocId, Document, DocumentScan, Error, ErrorCode,
    Result, nearest,
};

use crate::readers::Readers;
use crate::store::unknown;
use crate::view::{View, ViewParts};

/// Up to how many documents are read in place, and how many bytes of them, if all are at hand: some
/// tens of microseconds of work, which is what it costs to hand it to another thread.
const IN_PLACE_DOCUMENTS: usize = 100;
const IN_PLACE_BYTES: u32 = 128 << 10;

/// What a collection is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionParts {
    /// Its name.
    pub name: String,
    /// Its views; at least one.
    pub views: Vec<ViewParts>,
    /// The view that is read when none is named; with several views it must be said.
    pub default_view: Option<String>,
    /// A file with the documents' languages, see [`crate::IdLabels::open`].
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

/// Stops the reading when its caller is gone.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
