//! The documents that a run's rerank stages read: fetched once per run, held no longer than it.
//!
//! Of views of bytes so many bytes are held as the configuration says (`bytes_content_cache_max_bytes`);
//! then the ones that came first go first, and a stage that needs them again reads them again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use routir_core::{
    ContentSource, DocId, Document, Error, Passages, Payload, Ranking, RequestContext, Result,
};

type OfView = HashMap<DocId, Payload>;

/// By view: the payloads that a run holds.
type ByView = HashMap<Option<Arc<str>>, OfView>;

/// The documents of one run.
pub(crate) struct Documents {
    held: Mutex<Held>,
}

struct Held {
    by_view: ByView,
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
                order: VecDeque::new(),
                bytes: 0,
                max_bytes: max_bytes.unwrap_or(usize::MAX),
            }),
        }
    }

    /// What the view shows of a ranking's documents, in its order.
    pub(crate) async fn passages(
        &self,
        context: &RequestContext,
        source: &dyn ContentSource,
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
        let missing: Vec<DocId> = missing.map(|(doc, _)| doc.clone()).collect();
        if !missing.is_empty() {
            let found = source
                .fetch_for(context, view.map(AsRef::as_ref), &missing)
                .await?;
            let mut held = self.held.lock();
            let open = payloads.iter_mut().filter(|payload| payload.is_none());
            for (payload, (doc, found)) in open.zip(missing.into_iter().zip(found)) {
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
}

impl Held {
    fn keep(&mut self, view: Option<&Arc<str>>, doc: DocId, document: &Document) {
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
        of_view.insert(doc, document.payload.clone());
    }
}
