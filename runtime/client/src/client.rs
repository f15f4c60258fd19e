//! The client: RoutIR's calls over whichever transport answers.

use std::sync::Arc;

use crate::answer::{Avail, Document, Ranked, Scored};
use crate::request;
use crate::rest::Rest;
use crate::route::{Route, Routes};
use crate::wire::{
    DocumentJson, DocumentsJson, RankedJson, ScoredJson, StatusJson, SubQueriesJson,
};
use crate::{
    CallOptions, ClientError, Content, Contents, Decompose, ErrorKind, Fuse, Passages, Pipeline,
    Score, Search, Settings,
};

/// A client of one server. Clones are one: they share connections.
#[derive(Clone)]
pub struct Client(Arc<Routes>);

impl Client {
    /// A client; it opens no connection yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for addresses, keys or transports that cannot work.
    pub fn new(settings: Settings) -> Result<Self, ClientError> {
        Routes::new(settings).map(|routes| Self(Arc::new(routes)))
    }

    /// Whether the server lives.
    ///
    /// # Errors
    /// When it does not answer, or something else than `pong`.
    pub async fn ping(&self, options: CallOptions<'_>) -> Result<(), ClientError> {
        let patience = self.0.patience(options);
        let status = match self.0.route(options).await? {
            Route::Grpc(grpc) => grpc.ping(options, patience).await?,
            Route::Rest(rest, _) => {
                let answer: StatusJson = rest.get("/ping", options, patience).await?;
                answer.status
            }
        };
        if status == "pong" {
            return Ok(());
        }
        let message = format!("it answers `{}` to a ping", crate::answer::short(&status));
        Err(ClientError::bad_answer(message))
    }

    /// What the server offers: over REST where it has an address for that, since that tells more.
    ///
    /// # Errors
    /// When it does not answer, or lists without end.
    pub async fn avail(&self, options: CallOptions<'_>) -> Result<Avail, ClientError> {
        let patience = self.0.patience(options);
        let avail = match self.0.rest() {
            Ok(rest) => rest.get::<Avail>("/avail", options, patience).await?,
            Err(_) => match self.0.route(options).await? {
                Route::Grpc(grpc) => grpc.avail(options, patience).await?,
                Route::Rest(rest, _) => rest.get("/avail", options, patience).await?,
            },
        };
        avail.checked()
    }

    /// The best documents of a service.
    ///
    /// # Errors
    /// The server's refusal or failure; an answer with documents twice or scores that are no
    /// numbers; no answer in time.
    pub async fn search(
        &self,
        call: Search<'_>,
        options: CallOptions<'_>,
    ) -> Result<Ranked, ClientError> {
        request::check(call.extras)?;
        let patience = self.0.patience(options);
        let over_rest = async |rest: Rest| {
            let answer: RankedJson = rest.post("/search", &call, options, patience).await?;
            answer.accept(call.query)
        };
        match self.0.route(options).await? {
            Route::Rest(rest, _) => over_rest(rest).await,
            Route::Grpc(grpc) => match grpc.search(&call, options, patience).await {
                Err(error) => over_rest(self.0.instead(error)?).await,
                answer => answer,
            },
        }
    }

    /// Scores of passages, one for each.
    ///
    /// # Errors
    /// As [`Client::search`]; an answer with more or fewer scores than passages;
    /// [`ErrorKind::Unsupported`] for passages of bytes where there is no gRPC.
    pub async fn score(
        &self,
        call: Score<'_>,
        options: CallOptions<'_>,
    ) -> Result<Scored, ClientError> {
        request::check(call.extras)?;
        let patience = self.0.patience(options);
        let is_text = matches!(call.passages, Passages::Text(_));
        let over_rest = async |rest: Rest| {
            if !is_text {
                let message = "passages of bytes are scored over gRPC alone, which the server has \
                               not got or does not answer";
                return Err(ClientError::new(ErrorKind::Unsupported, message));
            }
            let answer: ScoredJson = rest.post("/score", &call, options, patience).await?;
            answer.accept(call.query, call.passages.len())
        };
        match self.0.route(options).await? {
            Route::Rest(rest, _) => over_rest(rest).await,
            Route::Grpc(grpc) => match grpc.score(&call, options, patience).await {
                Err(error) if is_text => over_rest(self.0.instead(error)?).await,
                answer => answer,
            },
        }
    }

    /// A document of a collection.
    ///
    /// # Errors
    /// As [`Client::search`]; a document that is not there is [`ErrorKind::Refused`]
    /// ([`ClientError::is_unknown_document`]).
    pub async fn content(
        &self,
        call: Content<'_>,
        options: CallOptions<'_>,
    ) -> Result<Document, ClientError> {
        let patience = self.0.patience(options);
        let over_rest = async |rest: Rest| {
            let answer: DocumentJson = rest.post("/content", &call, options, patience).await?;
            answer.accept(call.id)
        };
        match self.0.route(options).await? {
            Route::Rest(rest, _) => over_rest(rest).await,
            Route::Grpc(grpc) => match grpc.content(&call, options, patience).await {
                Err(error) => over_rest(self.0.instead(error)?).await,
                answer => answer,
            },
        }
    }

    /// Runs a pipeline.
    ///
    /// # Errors
    /// As [`Client::search`].
    pub async fn pipeline(
        &self,
        call: Pipeline<'_>,
        options: CallOptions<'_>,
    ) -> Result<Ranked, ClientError> {
        let patience = self.0.patience(options);
        let over_rest = async |rest: Rest| {
            let answer: RankedJson = rest.post("/pipeline", &call, options, patience).await?;
            answer.accept(call.query)
        };
        match self.0.route(options).await? {
            Route::Rest(rest, _) => over_rest(rest).await,
            Route::Grpc(grpc) => match grpc.pipeline(&call, options, patience).await {
                Err(error) => over_rest(self.0.instead(error)?).await,
                answer => answer,
            },
        }
    }

    /// Several documents of a collection in the order of their ids, each found or failed alone. Over
    /// REST, of servers that list `contents` in [`crate::ServerInfo::endpoints`].
    ///
    /// # Errors
    /// As [`Client::search`], for all of them; an answer with more or fewer documents than ids.
    pub async fn contents(
        &self,
        call: Contents<'_>,
        options: CallOptions<'_>,
    ) -> Result<Vec<Result<Document, ClientError>>, ClientError> {
        let (rest, patience) = (self.0.rest()?, self.0.patience(options));
        let answer: DocumentsJson = rest.post("/contents", &call, options, patience).await?;
        answer.accept(call.ids)
    }

    /// One ranking of several. Over REST, of servers that list `fuse` in
    /// [`crate::ServerInfo::endpoints`].
    ///
    /// # Errors
    /// As [`Client::search`].
    pub async fn fuse(
        &self,
        call: &Fuse<'_>,
        options: CallOptions<'_>,
    ) -> Result<Ranked, ClientError> {
        request::check(call.extras)?;
        let (rest, patience) = (self.0.rest()?, self.0.patience(options));
        let answer: RankedJson = rest.post("/fuse", call, options, patience).await?;
        answer.accept(call.query)
    }

    /// Sub-queries of a query. Over REST, of servers that list `decompose` in
    /// [`crate::ServerInfo::endpoints`].
    ///
    /// # Errors
    /// As [`Client::search`].
    pub async fn decompose(
        &self,
        call: Decompose<'_>,
        options: CallOptions<'_>,
    ) -> Result<Vec<String>, ClientError> {
        request::check(call.extras)?;
        let (rest, patience) = (self.0.rest()?, self.0.patience(options));
        let answer: SubQueriesJson = rest.post("/decompose", &call, options, patience).await?;
        Ok(answer.sub_queries)
    }

    /// Whether there is a REST address, without which [`Client::contents`], [`Client::fuse`] and
    /// [`Client::decompose`] cannot be called.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        self.0.rest().is_ok()
    }

    /// What is spoken now, `grpc` or `rest`; `None` before the first call.
    #[must_use]
    pub fn transport(&self) -> Option<&'static str> {
        self.0.spoken()
    }
}
