//! The runtime as an extension sees it, and extensions as a wire sees them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::{BoxFuture, DocId, Params, Ranking, RequestContext, Result, Role};

/// Asks the host for the best documents for a query.
#[derive(Clone, Debug)]
pub struct HostSearch {
    /// A service's name, or a pipeline.
    pub pipeline: String,
    /// The query.
    pub query: Arc<str>,
    /// The collection that the pipeline's rerank stages read.
    pub collection: Option<String>,
    /// How many documents at most.
    pub limit: usize,
    /// Further arguments; only where `pipeline` is one service.
    pub params: Params,
}

/// Asks the host for one score per passage.
#[derive(Clone, Debug)]
pub struct HostScore {
    /// A service in the role `score`.
    pub service: String,
    /// The query.
    pub query: Arc<str>,
    /// What is scored.
    pub passages: HostPassages,
    /// Further arguments.
    pub params: Params,
}

/// Passages to score.
#[derive(Clone, Debug)]
pub enum HostPassages {
    /// Texts as they are.
    Texts(Vec<Arc<str>>),
    /// Documents of a collection, read through a view.
    Documents(HostDocuments),
}

/// Documents of a collection.
#[derive(Clone, Debug)]
pub struct HostDocuments {
    /// The collection.
    pub collection: String,
    /// The view; `None` is the collection's default.
    pub view: Option<String>,
    /// Which documents.
    pub ids: Vec<DocId>,
}

/// What the runtime does for extensions: ordinary requests on the one way in, under the caller's
/// deadline and quotas and the owner's grants. Each request of a list runs at once with the
/// others, and fails alone.
///
/// The context is that of the host call ([`RequestContext::called_by`]).
pub trait Host: Send + Sync {
    /// One ranking per request, in order.
    fn search(
        &self,
        context: Arc<RequestContext>,
        requests: Vec<HostSearch>,
    ) -> BoxFuture<'static, Vec<Result<Arc<Ranking>>>>;

    /// One list of scores per request, in order; in it one finite score per passage.
    fn score(
        &self,
        context: Arc<RequestContext>,
        requests: Vec<HostScore>,
    ) -> BoxFuture<'static, Vec<Result<Arc<[f64]>>>>;

    /// One text per document, in order; `None` where the collection has no such document.
    ///
    /// # Errors
    /// An unknown collection or view, or one that is not granted; a source that cannot be read.
    fn content(
        &self,
        context: Arc<RequestContext>,
        documents: HostDocuments,
    ) -> BoxFuture<'static, Result<Vec<Option<Arc<str>>>>>;
}

/// One thing that was looked at when an extension was admitted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExtensionCheck {
    /// What was looked at, such as `size` or `imports`.
    pub name: &'static str,
    /// Whether it was as it should be.
    pub passed: bool,
    /// What was found, with units.
    pub detail: String,
}

/// An extension as its owner sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExtensionReport {
    /// The name that pipelines call it by.
    pub name: Arc<str>,
    /// The version that its manifest states.
    pub version: String,
    /// What its manifest says of it.
    pub description: String,
    /// The roles that it plays, read off its exports.
    pub roles: Vec<Role>,
    /// The parameters that it takes, with types and defaults, as its manifest states them.
    pub params: Value,
    /// SHA-256 of the component file, in hexadecimal.
    pub sha256: String,
    /// The component file's size in bytes.
    pub size_bytes: u64,
    /// `active`; `tripped` while its breaker keeps it out; `refused` when it was published before
    /// the server was started anew and was not admitted again.
    pub state: &'static str,
    /// When it was published, in seconds since the Unix epoch.
    pub published: f64,
    /// Where it came from: `config`, `directory` or `api`.
    pub source: &'static str,
    /// SHA-256 of the version that a rollback would bring back.
    pub previous: Option<String>,
    /// What was looked at when it was admitted.
    pub checks: Vec<ExtensionCheck>,
}

/// Extensions at run time, as a wire offers them to their owners: `owner` is a tenant's name.
/// A name that another owner has is as unknown as one that nobody has.
pub trait ExtensionAdmin: Send + Sync {
    /// Checks a component, compiles it aside and publishes it under `name` in place of the version
    /// that is there; calls in flight finish on the old one.
    ///
    /// # Errors
    /// [`crate::ErrorCode::InvalidArgument`] with one problem per failed check, `TooLarge`,
    /// `Overloaded` for a quota. Nothing has changed then.
    fn put(
        &self,
        owner: Arc<str>,
        name: String,
        component: Vec<u8>,
    ) -> BoxFuture<'_, Result<ExtensionReport>>;

    /// The extension that is published under `name`.
    ///
    /// # Errors
    /// [`crate::ErrorCode::UnknownName`].
    fn get(&self, owner: &str, name: &str) -> Result<ExtensionReport>;

    /// All that the owner has published, by name.
    fn list(&self, owner: &str) -> Vec<ExtensionReport>;

    /// Takes an extension out of service; calls in flight finish.
    ///
    /// # Errors
    /// [`crate::ErrorCode::UnknownName`]; a store that cannot be written.
    fn remove(&self, owner: Arc<str>, name: String) -> BoxFuture<'_, Result<()>>;

    /// Brings the version before the present one back.
    ///
    /// # Errors
    /// [`crate::ErrorCode::UnknownName`]; `InvalidArgument` when there is no earlier version.
    fn roll_back(&self, owner: Arc<str>, name: String) -> BoxFuture<'_, Result<ExtensionReport>>;
}
