//! The oracle's documents as a collection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use routir_core::{
    BoxFuture, CollectionInfo, ContentSource, DocId, Document, Error, ErrorCode, Payload,
    RequestContext, Result, ViewKind,
};

use super::{DOCS, number};

/// Those of the oracle's documents that are asked for, each with what `show` makes of its id.
pub fn documents(ids: &[DocId], show: impl Fn(&DocId) -> Payload) -> Vec<Result<Arc<Document>>> {
    let one = |id: &DocId| {
        if !DOCS.contains(&id.as_str()) {
            let message = format!("ID {id} is not found.");
            return Err(Error::new(ErrorCode::UnknownDocument, message));
        }
        Ok(Arc::new(Document {
            id: id.clone(),
            payload: show(id),
            title: None,
            language: None,
        }))
    };
    ids.iter().map(one).collect()
}

/// Documents whose texts say which they are, and who asked for them.
#[derive(Default)]
pub struct Shelf {
    /// How many documents each call asked for, and in whose name.
    pub asked: Mutex<Vec<(usize, RequestContext)>>,
}

impl ContentSource for Shelf {
    fn info(&self) -> CollectionInfo {
        let views = ["notes", "text"].map(|view| (Arc::from(view), ViewKind::Text));
        CollectionInfo {
            views: BTreeMap::from(views),
            default_view: Arc::from("text"),
        }
    }

    fn fetch<'a>(
        &'a self,
        view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        let view = view.unwrap_or("text");
        let text = |id: &DocId| Payload::Text(format!("{view} of {id} {}", number(id)).into());
        let found = documents(ids, text);
        Box::pin(async move { Ok(found) })
    }

    fn fetch_for<'a>(
        &'a self,
        context: &'a RequestContext,
        view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        let asked = (ids.len(), context.clone());
        self.asked.lock().unwrap().push(asked);
        self.fetch(view, ids)
    }
}
