//! Where a reranker that searches reads its candidates.

use std::sync::Arc;

use routir_core::{
    ContentSource, DocId, Error, ErrorCode, Host, HostDocuments, HostNeed, RequestContext, Result,
};
use routir_remote::relay::LoneCollection;
use serde_json::Value;

use crate::build::{BuildEnv, EngineSpec};
use crate::options::Options;
use crate::relay::PeerKeys;
use crate::upstream::no_host;

/// A collection.
pub(super) enum Texts {
    /// Of this server.
    Local(Local),
    /// Of another one.
    Remote(Remote),
}

/// A collection of this server.
pub(super) struct Local {
    host: Option<Arc<dyn Host>>,
    /// Who asks, in chains of calls.
    identity: Arc<str>,
    collection: String,
    view: Option<String>,
}

/// A collection of another server.
pub(super) struct Remote {
    source: LoneCollection,
    name: String,
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
                let elsewhere = ["endpoint", "grpc_endpoint"];
                if !elsewhere.iter().any(|key| map.contains_key(*key)) {
                    options.finish()?;
                    return Ok(Self::local(collection, view, spec, env));
                }
                let peer = PeerKeys::read(&mut options);
                options.finish()?;
                let peer = env.peers.get(&peer.settings())?;
                Ok(Self::Remote(Remote {
                    source: LoneCollection::new(peer, collection, view),
                    name: collection.to_owned(),
                }))
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
        Self::Local(Local {
            host: env.host.clone(),
            identity: Arc::from(spec.name),
            collection: collection.to_owned(),
            view: view.map(str::to_owned),
        })
    }

    /// What it asks of the host.
    pub(super) fn need(&self) -> Option<HostNeed> {
        match self {
            Self::Local(local) => Some(HostNeed::Content {
                collection: Arc::from(local.collection.as_str()),
                view: local.view.as_deref().map(Arc::from),
            }),
            Self::Remote(_) => None,
        }
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
        match self {
            Self::Local(local) => local.of(context, docs).await,
            Self::Remote(remote) => remote.of(context, docs).await,
        }
    }
}

impl Local {
    async fn of(&self, context: &RequestContext, docs: &[DocId]) -> Result<Vec<Arc<str>>> {
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

impl Remote {
    async fn of(&self, context: &RequestContext, docs: &[DocId]) -> Result<Vec<Arc<str>>> {
        let found = self.source.fetch_for(context, None, docs).await?;
        let texts = found.into_iter().map(|found| found?.text().cloned());
        let texts: Result<Vec<_>> = texts.collect();
        texts.map_err(|why| why.at(format_args!("collection `{}`", self.name)))
    }
}
