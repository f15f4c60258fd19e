//! The documents that a run's rerank stages read: fetched once per run, held no longer than it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use routir_core::{ContentSource, DocId, Document, Error, Ranking, Result};

type OfView = HashMap<DocId, Arc<Document>>;

#[derive(Default)]
pub(crate) struct Documents {
    /// By view.
    held: Mutex<HashMap<Option<Arc<str>>, OfView>>,
}

impl Documents {
    /// The texts of a ranking's documents, in its order.
    pub(crate) async fn texts(
        &self,
        source: &dyn ContentSource,
        collection: &str,
        view: Option<&Arc<str>>,
        ranking: &Ranking,
    ) -> Result<Vec<Arc<str>>> {
        let docs = || ranking.hits().iter().map(|hit| &hit.doc);
        let mut texts: Vec<Option<Arc<str>>> = {
            let held = self.held.lock();
            let held = held.get(&view.cloned());
            docs()
                .map(|doc| Some(Arc::clone(&held?.get(doc)?.text)))
                .collect()
        };
        let missing = docs().zip(&texts).filter(|(_, text)| text.is_none());
        let missing: Vec<DocId> = missing.map(|(doc, _)| doc.clone()).collect();
        if !missing.is_empty() {
            let found = source.fetch(view.map(AsRef::as_ref), &missing).await?;
            let mut held = self.held.lock();
            let held = held.entry(view.cloned()).or_default();
            held.reserve(missing.len());
            let open = texts.iter_mut().filter(|text| text.is_none());
            for (text, (doc, found)) in open.zip(missing.into_iter().zip(found)) {
                let document =
                    found.map_err(|error| error.at(format!("collection `{collection}`")))?;
                *text = Some(Arc::clone(&document.text));
                held.insert(doc, document);
            }
        }
        let text = |(text, doc): (Option<Arc<str>>, &DocId)| {
            text.ok_or_else(|| {
                Error::internal(format!(
                    "collection `{collection}` answered for fewer documents than asked, `{doc}` among them"
                ))
            })
        };
        texts.into_iter().zip(docs()).map(text).collect()
    }
}
