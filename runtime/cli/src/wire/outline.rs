//! Collections of which only the outline is known: enough to check a configuration and to compile
//! pipelines against it, without reading a document.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use routir_content::CollectionParts;
use routir_core::{
    BoxFuture, CollectionInfo, ContentSource, DocId, Document, DocumentScan, Error, ErrorCode,
    Result, TextDocument, ViewKind, nearest,
};
use routir_engines::Collections;

/// A collection's views, without its documents.
pub(crate) struct Outline(CollectionInfo);

impl Outline {
    /// The outline of the collection that `parts` make.
    pub(crate) fn new(parts: &CollectionParts) -> Self {
        let views: BTreeMap<Arc<str>, ViewKind> = parts
            .views
            .iter()
            .map(|view| (view.name().into(), view.kind()))
            .collect();
        let first = || views.keys().next().map_or("", AsRef::as_ref);
        let default_view = Arc::from(parts.default_view.as_deref().unwrap_or_else(first));
        Self(CollectionInfo {
            views,
            default_view,
        })
    }
}

impl ContentSource for Outline {
    fn info(&self) -> CollectionInfo {
        self.0.clone()
    }

    fn fetch<'a>(
        &'a self,
        _view: Option<&'a str>,
        _ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        Box::pin(async { Err(Error::internal("the collection is not open")) })
    }
}

/// Outlines by name, for engines that are only tried.
#[derive(Default)]
pub(crate) struct Outlines {
    pub(crate) by_name: BTreeMap<String, Arc<Outline>>,
}

impl Collections for Outlines {
    fn names(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }

    fn scan(&self, collection: &str, view: Option<&str>) -> Result<Arc<dyn DocumentScan>> {
        let names = self.by_name.keys().map(String::as_str);
        let outline = self
            .by_name
            .get(collection)
            .ok_or_else(|| no_collection(collection, names))?;
        let views = &outline.0.views;
        match view {
            Some(view) if !views.contains_key(view) => {
                let hint = hint(view, views.keys().map(AsRef::as_ref));
                let message = format!("collection `{collection}` has no view `{view}`; {hint}");
                Err(Error::new(ErrorCode::UnknownName, message))
            }
            _ if outline.0.kind(view) == Some(ViewKind::Bytes) => {
                let view = view.unwrap_or(&outline.0.default_view);
                let message = format!(
                    "view `{view}` of collection `{collection}` shows bytes, so it cannot be \
                     indexed; name a view of text in `view`"
                );
                Err(Error::new(ErrorCode::Unsupported, message))
            }
            _ => Ok(Arc::new(NoDocuments)),
        }
    }
}

/// What is said of a collection that is not there.
pub(crate) fn no_collection<'a>(
    wanted: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Error {
    let message = format!("there is no collection `{wanted}`; {}", hint(wanted, names));
    Error::new(ErrorCode::UnknownName, message)
}

fn hint<'a>(wanted: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(wanted, names.clone()) {
        return format!("did you mean `{near}`?");
    }
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        "there is none".to_owned()
    } else {
        format!("known: {}", names.join(", "))
    }
}

struct NoDocuments;

impl DocumentScan for NoDocuments {
    fn stamp(&self) -> Result<String> {
        Ok("outline".to_owned())
    }

    fn len(&self) -> usize {
        0
    }

    fn scan(&self, _each: &mut dyn FnMut(TextDocument) -> ControlFlow<()>) -> Result<()> {
        Ok(())
    }
}
