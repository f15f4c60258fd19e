//! Documents by id, as a collection gives them.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::{BoxFuture, CollectionInfo, DocId, Error, ErrorCode, Payload, RequestContext, Result};

/// A document as one view shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its id.
    pub id: DocId,
    /// What the view shows.
    pub payload: Payload,
    /// Its title, when the source has one.
    pub title: Option<Arc<str>>,
    /// Its language, when the collection maps ids to languages.
    pub language: Option<Arc<str>>,
}

impl Document {
    /// Its text.
    ///
    /// # Errors
    /// [`ErrorCode::Unsupported`] when the view shows bytes.
    pub fn text(&self) -> Result<&Arc<str>> {
        match &self.payload {
            Payload::Text(text) => Ok(text),
            Payload::Bytes(_) => Err(Error::new(
                ErrorCode::Unsupported,
                format!(
                    "document {} is bytes in this view, and text is needed; name a view of text",
                    self.id
                ),
            )),
        }
    }
}

/// A document as a view of text shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct TextDocument {
    /// Its id.
    pub id: DocId,
    /// The view's text.
    pub text: Arc<str>,
    /// Its title, when the source has one.
    pub title: Option<Arc<str>>,
    /// Its language, when the collection maps ids to languages.
    pub language: Option<Arc<str>>,
}

impl From<TextDocument> for Document {
    fn from(document: TextDocument) -> Self {
        Self {
            id: document.id,
            payload: Payload::Text(document.text),
            title: document.title,
            language: document.language,
        }
    }
}

/// A collection: documents by id, in named views.
pub trait ContentSource: Send + Sync {
    /// Its views.
    fn info(&self) -> CollectionInfo;

    /// The documents of `ids` in the same order, each found or failed alone; `view` `None` is the
    /// default view. What may have to wait for a disk happens off the
    /// reactor.
    ///
    /// # Errors
    /// [`crate::ErrorCode::UnknownName`] for a view that is not there. In the list:
    /// [`crate::ErrorCode::UnknownDocument`] with the message ``ID x is not found.``
    fn fetch<'a>(
        &'a self,
        view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>>;

    /// As [`ContentSource::fetch`], for a request: a collection that asks another server tells it
    /// whose request this is and how long it may take.
    ///
    /// # Errors
    /// As [`ContentSource::fetch`].
    fn fetch_for<'a>(
        &'a self,
        context: &'a RequestContext,
        view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        let _ = context;
        self.fetch(view, ids)
    }
}

/// A view of text read from end to end, to build an index from it. Blocking.
pub trait DocumentScan: Send + Sync {
    /// Changes whenever the corpus, or how the view reads it, changes.
    ///
    /// # Errors
    /// When the source cannot be looked at.
    fn stamp(&self) -> Result<String>;

    /// How many documents there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `each` with every document once (of a repeated id, the last), in the source's order.
    ///
    /// # Errors
    /// When the source cannot be read.
    fn scan(&self, each: &mut dyn FnMut(TextDocument) -> ControlFlow<()>) -> Result<()>;
}
