//! The documents that a run's rerank stages read: fetched once per run, held no longer than it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use routir_core::{ContentSource, DocId, Document, Error, Ranking, Result};

type Key = (Option<Arc<str>>, DocId);

#[derive(Default)]
pub(crate) struct Documents {
    held: Mutex<HashMap<Key, Arc<Document>>>,
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
        let key = |doc: &DocId| (view.cloned(), doc.clone());
        let missing: Vec<DocId> = {
            let held = self.held.lock();
            let docs = ranking.hits().iter().map(|hit| &hit.doc);
            docs.filter(|doc| !held.contains_key(&key(doc)))
                .cloned()
                .collect()
        };
        if !missing.is_empty() {
            let found = source.fetch(view.map(AsRef::as_ref), &missing).await?;
            let mut held = self.held.lock();
            for (doc, found) in missing.iter().zip(found) {
                let document =
                    found.map_err(|error| error.at(format!("collection `{collection}`")))?;
                held.insert(key(doc), document);
            }
        }
        let held = self.held.lock();
        let text = |hit: &routir_core::Hit| {
            let document = held.get(&key(&hit.doc)).ok_or_else(|| {
                Error::internal(format!(
                    "collection `{collection}` answered for fewer documents than asked, `{}` among them",
                    hit.doc
                ))
            })?;
            Ok(Arc::clone(&document.text))
        };
        ranking.hits().iter().map(text).collect()
    }
}
