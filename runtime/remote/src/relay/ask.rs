//! Whoever answers the calls of relayed services and collections.

use std::future::Future;

use routir_client::{
    Client, ClientError, Content, Contents, Decompose, Document, Fuse, Ranked, Score, Scored,
    Search,
};
use routir_core::{RequestContext, Result};

use super::Peer;
use super::peer::Via;

/// Answers calls in a request's name: one other server, or many behind a router. What comes back was
/// checked: finite scores, as many as were asked for, of the query that was asked.
pub trait Ask: Send + Sync + 'static {
    /// What failures and kept documents name it by.
    fn label(&self) -> &str;

    /// The best documents of a service.
    fn search(
        &self,
        context: &RequestContext,
        call: Search<'_>,
    ) -> impl Future<Output = Result<Ranked>> + Send;

    /// Scores of passages.
    fn score(
        &self,
        context: &RequestContext,
        call: Score<'_>,
    ) -> impl Future<Output = Result<Scored>> + Send;

    /// One ranking of several.
    fn fuse(
        &self,
        context: &RequestContext,
        call: Fuse<'_>,
    ) -> impl Future<Output = Result<Ranked>> + Send;

    /// Sub-queries of a query.
    fn decompose(
        &self,
        context: &RequestContext,
        call: Decompose<'_>,
    ) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// A document. One that is `large` may have to wait for its turn among those.
    fn content(
        &self,
        context: &RequestContext,
        call: Content<'_>,
        large: bool,
    ) -> impl Future<Output = Result<Document>> + Send;

    /// Several documents, each found or failed alone.
    fn contents(
        &self,
        context: &RequestContext,
        call: Contents<'_>,
    ) -> impl Future<Output = Result<Vec<Found>>> + Send;
}

/// A document of several that were asked for, or why it is not there.
pub type Found = std::result::Result<Document, ClientError>;

impl Ask for Peer {
    fn label(&self) -> &str {
        Self::label(self)
    }

    async fn search(&self, context: &RequestContext, call: Search<'_>) -> Result<Ranked> {
        let ask = async |client: Client, via: Via| client.search(call, via.options()).await;
        self.ask(context, ask).await
    }

    async fn score(&self, context: &RequestContext, call: Score<'_>) -> Result<Scored> {
        let ask = async |client: Client, via: Via| client.score(call, via.options()).await;
        self.ask(context, ask).await
    }

    async fn fuse(&self, context: &RequestContext, call: Fuse<'_>) -> Result<Ranked> {
        let ask = async |client: Client, via: Via| client.fuse(&call, via.options()).await;
        self.ask(context, ask).await
    }

    async fn decompose(
        &self,
        context: &RequestContext,
        call: Decompose<'_>,
    ) -> Result<Vec<String>> {
        let ask = async |client: Client, via: Via| client.decompose(call, via.options()).await;
        self.ask(context, ask).await
    }

    async fn content(
        &self,
        context: &RequestContext,
        call: Content<'_>,
        large: bool,
    ) -> Result<Document> {
        let ask = async |client: Client, via: Via| client.content(call, via.options()).await;
        match large {
            true => self.ask_for_bytes(context, ask).await,
            false => self.ask(context, ask).await,
        }
    }

    async fn contents(&self, context: &RequestContext, call: Contents<'_>) -> Result<Vec<Found>> {
        let ask = async |client: Client, via: Via| client.contents(call, via.options()).await;
        self.ask(context, ask).await
    }
}
