//! The client: RoutIR's calls over whichever transport answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::address::{Addresses, GrpcAddress};
use crate::answer::{Avail, Document, Ranked, Scored};
use crate::grpc::Grpc;
use crate::request;
use crate::rest::Rest;
use crate::retry::Patience;
use crate::wire::{
    DocumentJson, DocumentsJson, RankedJson, ScoredJson, StatusJson, SubQueriesJson,
};
use crate::{
    CallOptions, ClientError, Content, Contents, Decompose, ErrorKind, Fuse, Pipeline, Score,
    Search, Settings, Transport,
};

/// How long REST serves in the place of a gRPC that did not answer, before that is tried again.
const STAND_IN: Duration = Duration::from_secs(30);
/// The longest that finding out what a server speaks may take.
const PROBE: Duration = Duration::from_secs(5);

/// A client of one server. Clones are one: they share connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    settings: Settings,
    addresses: Addresses,
    rest: Option<Rest>,
    route: RwLock<Option<Route>>,
    /// Held by whoever finds out what the server speaks.
    choosing: Arc<Mutex<()>>,
}

/// What is spoken with the server.
#[derive(Clone)]
enum Route {
    Grpc(Grpc),
    /// Until then, if gRPC may answer again.
    Rest(Rest, Option<Instant>),
}

impl Client {
    /// A client; it opens no connection yet.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`] for addresses, keys or transports that cannot work.
    pub fn new(settings: Settings) -> Result<Self, ClientError> {
        let addresses = Addresses::read(
            settings.endpoint.as_deref(),
            settings.grpc_endpoint.as_deref(),
            settings.tls,
        )?;
        let wrong = |message: &str| ClientError::new(ErrorKind::Settings, message);
        match settings.transport {
            Transport::Rest if addresses.rest.is_none() => {
                return Err(wrong("REST needs an address with `http://` or `https://`"));
            }
            Transport::Grpc if addresses.grpc.is_none() => {
                return Err(wrong("gRPC alone needs a gRPC address, `host:port`"));
            }
            _ => {}
        }
        let rest = addresses.rest.clone();
        let rest = rest.map(|base| Rest::new(base, &settings)).transpose()?;
        Ok(Self(Arc::new(Inner {
            settings,
            addresses,
            rest,
            route: RwLock::default(),
            choosing: Arc::default(),
        })))
    }

    /// Whether the server lives.
    ///
    /// # Errors
    /// When it does not answer, or something else than `pong`.
    pub async fn ping(&self, options: CallOptions<'_>) -> Result<(), ClientError> {
        let patience = self.patience(options);
        let status = match self.route(options).await? {
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
        let patience = self.patience(options);
        let avail = match &self.0.rest {
            Some(rest) => rest.get::<Avail>("/avail", options, patience).await?,
            None => match self.route(options).await? {
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
        let patience = self.patience(options);
        let over_rest = async |rest: Rest| {
            let answer: RankedJson = rest.post("/search", &call, options, patience).await?;
            answer.accept(call.query)
        };
        match self.route(options).await? {
            Route::Rest(rest, _) => over_rest(rest).await,
            Route::Grpc(grpc) => match grpc.search(&call, options, patience).await {
                Err(error) => over_rest(self.instead(error)?).await,
                answer => answer,
            },
        }
    }

    /// Scores of passages, one for each.
    ///
    /// # Errors
    /// As [`Client::search`]; an answer with more or fewer scores than passages.
    pub async fn score(
        &self,
        call: Score<'_>,
        options: CallOptions<'_>,
    ) -> Result<Scored, ClientError> {
        request::check(call.extras)?;
        let patience = self.patience(options);
        let over_rest = async |rest: Rest| {
            let answer: ScoredJson = rest.post("/score", &call, options, patience).await?;
            answer.accept(call.query, call.passages.len())
        };
        match self.route(options).await? {
            Route::Rest(rest, _) => over_rest(rest).await,
            Route::Grpc(grpc) => match grpc.score(&call, options, patience).await {
                Err(error) => over_rest(self.instead(error)?).await,
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
        let patience = self.patience(options);
        let over_rest = async |rest: Rest| {
            let answer: DocumentJson = rest.post("/content", &call, options, patience).await?;
            answer.accept(call.id)
        };
        match self.route(options).await? {
            Route::Rest(rest, _) => over_rest(rest).await,
            Route::Grpc(grpc) => match grpc.content(&call, options, patience).await {
                Err(error) => over_rest(self.instead(error)?).await,
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
        let patience = self.patience(options);
        let over_rest = async |rest: Rest| {
            let answer: RankedJson = rest.post("/pipeline", &call, options, patience).await?;
            answer.accept(call.query)
        };
        match self.route(options).await? {
            Route::Rest(rest, _) => over_rest(rest).await,
            Route::Grpc(grpc) => match grpc.pipeline(&call, options, patience).await {
                Err(error) => over_rest(self.instead(error)?).await,
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
        let (rest, patience) = (self.rest()?, self.patience(options));
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
        let (rest, patience) = (self.rest()?, self.patience(options));
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
        let (rest, patience) = (self.rest()?, self.patience(options));
        let answer: SubQueriesJson = rest.post("/decompose", &call, options, patience).await?;
        Ok(answer.sub_queries)
    }

    /// Whether there is a REST address, without which [`Client::contents`], [`Client::fuse`] and
    /// [`Client::decompose`] cannot be called.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        self.0.rest.is_some()
    }

    /// What is spoken now, `grpc` or `rest`; `None` before the first call.
    #[must_use]
    pub fn transport(&self) -> Option<&'static str> {
        self.0.route.read().as_ref().map(|route| match route {
            Route::Grpc(_) => "grpc",
            Route::Rest(..) => "rest",
        })
    }

    fn rest(&self) -> Result<&Rest, ClientError> {
        self.0.rest.as_ref().ok_or_else(|| {
            let message = "this call needs a REST address; give `endpoint` besides the gRPC one";
            ClientError::new(ErrorKind::Unsupported, message)
        })
    }

    fn patience(&self, options: CallOptions<'_>) -> Patience {
        Patience {
            timeout: self.0.settings.timeout,
            retries: options.retries.unwrap_or(self.0.settings.retries),
            deadline: options.deadline,
        }
    }

    /// What to speak with the server, found out when it is not known.
    async fn route(&self, options: CallOptions<'_>) -> Result<Route, ClientError> {
        if let Some(route) = self.known_route() {
            return Ok(route);
        }
        let _choosing = self.0.choosing.lock().await;
        if let Some(route) = self.known_route() {
            return Ok(route);
        }
        let route = self.choose(options).await?;
        *self.0.route.write() = Some(route.clone());
        Ok(route)
    }

    /// What is spoken with the server, if that is known. Where REST has stood in for long enough, it
    /// goes on to until somebody has found out whether gRPC answers again.
    fn known_route(&self) -> Option<Route> {
        let route = self.0.route.read().clone()?;
        if let Route::Rest(_, Some(until)) = &route
            && *until <= Instant::now()
            && let Ok(choosing) = Arc::clone(&self.0.choosing).try_lock_owned()
        {
            tokio::spawn(self.clone().look_again(*until, choosing));
        }
        Some(route)
    }

    /// Finds out whether gRPC answers again. A refused key makes the way unknown, so that the next
    /// caller is told.
    async fn look_again(self, stood_in_until: Instant, _choosing: OwnedMutexGuard<()>) {
        let is_over = |route: &Option<Route>| match route {
            Some(Route::Rest(_, Some(until))) => *until == stood_in_until,
            _ => false,
        };
        // Somebody may have looked meanwhile.
        if is_over(&self.0.route.read()) {
            let found = self.choose(CallOptions::default()).await.ok();
            *self.0.route.write() = found;
        }
    }

    /// RoutIR's rules: gRPC at the given address, or at the port that `/avail` tells, if it answers
    /// a ping; a refused key is told and not papered over; else REST.
    async fn choose(&self, options: CallOptions<'_>) -> Result<Route, ClientError> {
        let Inner {
            settings,
            addresses,
            rest,
            ..
        } = &*self.0;
        let options = CallOptions {
            retries: Some(0),
            deadline: Some(soon(options.deadline)),
            ..options
        };
        let patience = self.patience(options);
        let discovered = async |rest: &Rest| -> Option<GrpcAddress> {
            let avail: Avail = rest.get("/avail", options, patience).await.ok()?;
            addresses.discovered(avail.grpc_port?)
        };
        let address = match (settings.transport, &addresses.grpc, rest) {
            (Transport::Rest, _, _) => None,
            (_, Some(address), _) => Some(address.clone()),
            (_, None, Some(rest)) => discovered(rest).await,
            (_, None, None) => None,
        };
        let Some(address) = address else {
            return Ok(Route::Rest(self.rest()?.clone(), None));
        };
        let grpc = Grpc::new(&address, settings)?;
        let Some(rest) = rest
            .clone()
            .filter(|_| settings.transport == Transport::Auto)
        else {
            return Ok(Route::Grpc(grpc));
        };
        match grpc.ping(options, patience).await {
            Ok(_) => Ok(Route::Grpc(grpc)),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Unauthenticated | ErrorKind::PermissionDenied
                ) =>
            {
                Err(error)
            }
            Err(_) => Ok(Route::Rest(rest, Some(Instant::now() + STAND_IN))),
        }
    }

    /// REST for a gRPC call that failed, if that is a way on; otherwise its failure.
    fn instead(&self, error: ClientError) -> Result<Rest, ClientError> {
        let way_on = self.0.settings.transport == Transport::Auto
            && matches!(
                error.kind(),
                ErrorKind::Unavailable | ErrorKind::Unsupported
            );
        match &self.0.rest {
            Some(rest) if way_on => {
                let until = Some(Instant::now() + STAND_IN);
                *self.0.route.write() = Some(Route::Rest(rest.clone(), until));
                Ok(rest.clone())
            }
            _ => Err(error),
        }
    }
}

/// When finding out must have ended.
fn soon(deadline: Option<Instant>) -> Instant {
    let soon = Instant::now() + PROBE;
    deadline.map_or(soon, |deadline| deadline.min(soon))
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers every request over REST with the same ranking.
    async fn rest() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(1..) = stream.read(&mut buffer).await {
                        let body = r#"{"query":"q","scores":{"a":2}}"#;
                        let length = body.len();
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                        let answer = format!("{head}{body}");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        base
    }

    #[tokio::test]
    async fn while_one_finds_out_whether_grpc_is_back_the_others_go_on_over_rest() {
        // Takes connections and says nothing on them.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(Settings {
            grpc_endpoint: Some(silent.local_addr().unwrap().to_string()),
            retries: 0,
            ..Settings::new(rest().await)
        });
        let client = client.unwrap();
        let standing_in = client.0.rest.clone().unwrap();
        *client.0.route.write() = Some(Route::Rest(standing_in, Some(Instant::now())));
        let started = Instant::now();
        let extras = Map::new();
        let search = Search {
            service: "s",
            query: "q",
            limit: None,
            extras: &extras,
        };
        for _ in 0..3 {
            client.search(search, CallOptions::default()).await.unwrap();
        }
        assert!(started.elapsed() < PROBE / 2, "{:?}", started.elapsed());
        // One of them made somebody look.
        let (looking, _) = silent.accept().await.unwrap();
        drop((looking, silent));
        while client.0.choosing.try_lock().is_err() {
            tokio::task::yield_now().await;
        }
        let route = client.0.route.read().clone();
        assert!(matches!(route, Some(Route::Rest(_, Some(until))) if until > Instant::now()));
    }
}
