//! Where a reranker that searches reads its candidates.

use std::sync::Arc;

use routir_core::{DocId, Error, ErrorCode, Host, HostDocuments, HostNeed, RequestContext, Result};
use serde_json::Value;

use crate::build::{BuildEnv, EngineSpec};
use crate::options::Options;
use crate::upstream::no_host;

/// A collection.
pub(super) struct Texts {
    host: Option<Arc<dyn Host>>,
    /// Who asks, in chains of calls.
    identity: Arc<str>,
    collection: String,
    view: Option<String>,
}

impl Texts {
    /// What `given` describes, for the engine of `spec`.
    ///
    /// # Errors
    /// When it describes no collection.
    pub(super) fn open(given: &Value, spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Self> {
        match given {
            Value::String(collection) => Ok(Self::local(collection, None, spec, env)),
            Value::Object(map) => {
                let mut options = Options::new(map);
                let collection = options.text("collection");
                let collection = options
                    .require("collection", collection)
                    .unwrap_or_default();
                let view = options.text("view");
                options.refuse(
                    "endpoint",
                    "collections of other servers cannot be read here yet; name one of this server",
                );
                options.finish()?;
                Ok(Self::local(collection, view, spec, env))
            }
            _ => Err(Error::invalid(
                "it must be the name of a collection, or {\"endpoint\", \"collection\"}",
            )),
        }
    }

    /// A collection of this server.
    pub(super) fn local(
        collection: &str,
        view: Option<&str>,
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
    ) -> Self {
        Self {
            host: env.host.clone(),
            identity: Arc::from(spec.name),
            collection: collection.to_owned(),
            view: view.map(str::to_owned),
        }
    }

    /// What it asks of the host.
    pub(super) fn need(&self) -> Option<HostNeed> {
        Some(HostNeed::Content {
            collection: Arc::from(self.collection.as_str()),
            view: self.view.as_deref().map(Arc::from),
        })
    }

    /// The texts of documents, in their order.
    ///
    /// # Errors
    /// When the collection cannot be read, or lacks a document.
    pub(super) async fn of(
        &self,
        context: &RequestContext,
        docs: &[DocId],
    ) -> Result<Vec<Arc<str>>> {
        let host = self.host.as_ref().ok_or_else(no_host)?;
        let asked = HostDocuments {
            collection: self.collection.clone(),
            view: self.view.clone(),
            ids: docs.to_vec(),
        };
        let context = Arc::new(context.called_by(&self.identity, None));
        let found = host.content(context, asked).await?;
        if found.len() != docs.len() {
            return Err(Error::internal(format!(
                "collection `{}` answered for other documents than asked",
                self.collection
            )));
        }
        let text = |(text, doc): (Option<Arc<str>>, &DocId)| {
            text.ok_or_else(|| {
                Error::new(
                    ErrorCode::UnknownDocument,
                    format!("collection `{}`: ID {doc} is not found.", self.collection),
                )
            })
        };
        found.into_iter().zip(docs).map(text).collect()
    }
}
