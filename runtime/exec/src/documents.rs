//! The documents that a run's rerank stages read: fetched once per run, held no longer than it.
//! Stages side by side share a fetch that is on its way.
//!
//! Of views of bytes so many bytes are held as the configuration says (`bytes_content_cache_max_bytes`);
//! then the ones that came first go first, and a stage that needs them again reads them again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared, join_all};
use parking_lot::Mutex;
use routir_core::{
    BoxFuture, ContentSource, DocId, Document, Error, Passages, Payload, Ranking, RequestContext,
    Result,
};

type OfView = HashMap<DocId, Payload>;

/// By view: the payloads that a run holds.
type ByView = HashMap<Option<Arc<str>>, OfView>;

/// What a source answers, by document.
type Found = HashMap<DocId, Result<Arc<Document>>>;

/// A fetch on its way or done, for as long as a stage waits for it.
type Fetch = BoxFuture<'static, Result<Arc<Found>>>;

/// The documents of one run.
pub(crate) struct Documents {
    held: Mutex<Held>,
}

struct Held {
    by_view: ByView,
    /// The fetches in which documents are on their way.
    coming: HashMap<(Option<Arc<str>>, DocId), WeakShared<Fetch>>,
    /// The documents of bytes in the order in which they came, with their sizes.
    order: VecDeque<(Option<Arc<str>>, DocId, usize)>,
    bytes: usize,
    max_bytes: usize,
}

impl Documents {
    /// Nothing yet; of views of bytes at most `max_bytes` are held (`None` is no limit).
    pub(crate) fn new(max_bytes: Option<usize>) -> Self {
        Self {
            held: Mutex::new(Held {
                by_view: ByView::default(),
                coming: HashMap::new(),
                order: VecDeque::new(),
                bytes: 0,
                max_bytes: max_bytes.unwrap_or(usize::MAX),
            }),
        }
    }

    /// What the view shows of a ranking's documents, in its order.
    pub(crate) async fn passages(
        &self,
        context: &Arc<RequestContext>,
        source: &Arc<dyn ContentSource>,
        collection: &str,
        view: Option<&Arc<str>>,
        ranking: &Ranking,
    ) -> Result<Passages> {
        let docs = || ranking.hits().iter().map(|hit| &hit.doc);
        let mut payloads: Vec<Option<Payload>> = {
            let held = self.held.lock();
            let held = held.by_view.get(&view.cloned());
            docs().map(|doc| held?.get(doc).cloned()).collect()
        };
        let missing = docs().zip(&payloads).filter(|(_, found)| found.is_none());
        let mut seen = HashSet::new();
        let missing = missing.map(|(doc, _)| doc).filter(|doc| seen.insert(*doc));
        let missing: Vec<&DocId> = missing.collect();
        if !missing.is_empty() {
            let fetches = self.fetches(context, source, view, &missing);
            let fetched = join_all(fetches).await;
            let fetched = fetched.into_iter().collect::<Result<Vec<_>>>()?;
            let mut held = self.held.lock();
            for (payload, doc) in payloads.iter_mut().zip(docs()) {
                if payload.is_some() {
                    continue;
                }
                let found = fetched.iter().find_map(|found| found.get(doc));
                let Some(found) = found.cloned() else {
                    continue;
                };
                let document =
                    found.map_err(|error| error.at(format!("collection `{collection}`")))?;
                *payload = Some(document.payload.clone());
                held.keep(view, doc, &document);
            }
        }
        let payload = |(payload, doc): (Option<Payload>, &DocId)| {
            payload.ok_or_else(|| {
                Error::internal(format!(
                    "collection `{collection}` answered for fewer documents than asked, `{doc}` among them"
                ))
            })
        };
        let payloads: Vec<_> = payloads
            .into_iter()
            .zip(docs())
            .map(payload)
            .collect::<Result<_>>()?;
        Passages::gather(payloads)
    }

    /// What brings the `missing` documents: a fetch of those that are not on their way, and those
    /// in which the others are.
    fn fetches(
        &self,
        context: &Arc<RequestContext>,
        source: &Arc<dyn ContentSource>,
        view: Option<&Arc<str>>,
        missing: &[&DocId],
    ) -> Vec<Shared<Fetch>> {
        let mut held = self.held.lock();
        let mut fetches: Vec<Shared<Fetch>> = Vec::new();
        let mut own = Vec::new();
        for &doc in missing {
            let coming = held.coming.get(&(view.cloned(), doc.clone()));
            match coming.and_then(WeakShared::upgrade) {
                None => own.push(doc.clone()),
                Some(fetch) if fetches.iter().any(|other| other.ptr_eq(&fetch)) => {}
                Some(fetch) => fetches.push(fetch),
            }
        }
        if own.is_empty() {
            return fetches;
        }
        let (context, source, of) = (Arc::clone(context), Arc::clone(source), view.cloned());
        let ids = own.clone();
        let fetch = async move {
            let found = source.fetch_for(&context, of.as_deref(), &ids).await?;
            Ok(Arc::new(ids.into_iter().zip(found).collect::<Found>()))
        };
        let fetch = fetch.boxed().shared();
        if let Some(weak) = fetch.downgrade() {
            let coming = own
                .into_iter()
                .map(|doc| ((view.cloned(), doc), weak.clone()));
            held.coming.extend(coming);
        }
        fetches.push(fetch);
        fetches
    }
}

impl Held {
    fn keep(&mut self, view: Option<&Arc<str>>, doc: &DocId, document: &Document) {
        self.coming.remove(&(view.cloned(), doc.clone()));
        let of_view = self.by_view.get(&view.cloned());
        if of_view.is_some_and(|of_view| of_view.contains_key(doc)) {
            // Another stage that waited for the same fetch.
            return;
        }
        if let Payload::Bytes(bytes) = &document.payload {
            let size = bytes.size();
            if size > self.max_bytes {
                return;
            }
            self.bytes += size;
            self.order.push_back((view.cloned(), doc.clone(), size));
            while self.bytes > self.max_bytes {
                let Some((view, doc, size)) = self.order.pop_front() else {
                    break;
                };
                self.bytes -= size;
                if let Some(of_view) = self.by_view.get_mut(&view) {
                    of_view.remove(&doc);
                }
            }
        }
        let of_view = self.by_view.entry(view.cloned()).or_default();
        of_view.insert(doc.clone(), document.payload.clone());
    }
}
