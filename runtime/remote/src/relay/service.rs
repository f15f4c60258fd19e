//! A service of another server in the roles of an engine.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::future::join_all;
use routir_client::{Decompose, Fuse, FuseInput, Score, Search};
use routir_core::{
    Batching, BoxFuture, DecomposeEngine, DecomposeRequest, Error, FuseEngine, FuseRequest, Hit,
    Params, ParamsSpec, Ranking, Result, Role, Roles, ScoreEngine, ScoreRequest, SearchEngine,
    SearchRequest,
};
use serde_json::{Map, Value};

use super::Peer;

/// What no argument may be named: the fields of requests themselves.
const FIELDS: [&str; 6] = [
    "service",
    "query",
    "limit",
    "passages",
    "rankings",
    "sub_queries",
];

/// A service of another server. It hands every request on at once: batches are made there.
pub struct RelayService {
    peer: Arc<Peer>,
    service: Arc<str>,
    /// Sent with every request that does not say otherwise.
    extras: Map<String, Value>,
}

impl RelayService {
    /// The service called `service` at `peer`; `extras` go along with every request, whose own
    /// arguments win.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for extras with the name of a request's field.
    pub fn new(
        peer: Arc<Peer>,
        service: impl Into<Arc<str>>,
        mut extras: Map<String, Value>,
    ) -> Result<Self> {
        // Every request says how many it wants.
        extras.shift_remove("limit");
        if let Some(field) = field(&extras) {
            return Err(Error::invalid(format!(
                "`other_request_kwargs` must not hold `{field}`, which the request itself says"
            )));
        }
        Ok(Self {
            peer,
            service: service.into(),
            extras,
        })
    }

    /// It in some roles.
    #[must_use]
    pub fn roles(self: &Arc<Self>, roles: &[Role]) -> Roles {
        let plays = |role| roles.contains(&role);
        let this = || Arc::clone(self);
        Roles {
            search: plays(Role::Search).then(|| this() as Arc<dyn SearchEngine>),
            score: plays(Role::Score).then(|| this() as Arc<dyn ScoreEngine>),
            fuse: plays(Role::Fuse).then(|| this() as Arc<dyn FuseEngine>),
            decompose: plays(Role::DecomposeQuery).then(|| this() as Arc<dyn DecomposeEngine>),
            ..Roles::default()
        }
    }

    /// What goes along with a request. A request whose arguments could stand for its own fields is
    /// refused: who may ask for one service of the other server may not ask for another.
    fn extras<'a>(&'a self, params: &'a Params) -> Result<Cow<'a, Map<String, Value>>> {
        if let Some(field) = field(params.as_map()) {
            return Err(Error::invalid(format!(
                "an argument must not be named `{field}`, which the request itself says"
            )));
        }
        if self.extras.is_empty() {
            return Ok(Cow::Borrowed(params.as_map()));
        }
        if params.is_empty() {
            return Ok(Cow::Borrowed(&self.extras));
        }
        let own = params.as_map().iter();
        let mut extras = self.extras.clone();
        extras.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        Ok(Cow::Owned(extras))
    }

    async fn search(&self, request: &SearchRequest) -> Result<Ranking> {
        let extras = self.extras(&request.params)?;
        let search = Search {
            service: &self.service,
            query: &request.query,
            limit: Some(request.limit),
            extras: &extras,
        };
        let call = async |client: routir_client::Client, via: super::peer::Via| {
            client.search(search, via.options()).await
        };
        let answer = self.peer.ask(&request.context, call).await?;
        Ranking::top(hits(answer.scores), request.limit)
    }

    async fn score(&self, request: &ScoreRequest) -> Result<Vec<f64>> {
        let extras = self.extras(&request.params)?;
        let passages = request.passages.texts()?.iter();
        let passages: Vec<&str> = passages.map(AsRef::as_ref).collect();
        let score = Score {
            service: &self.service,
            query: &request.query,
            passages: &passages,
            extras: &extras,
        };
        let call = async |client: routir_client::Client, via: super::peer::Via| {
            client.score(score, via.options()).await
        };
        Ok(self.peer.ask(&request.context, call).await?.scores)
    }

    async fn fuse(&self, request: &FuseRequest) -> Result<Ranking> {
        let extras = self.extras(&request.params)?;
        let rankings = request.rankings.iter().zip(&request.sources);
        let rankings = rankings.map(|(ranking, source)| FuseInput {
            stage: &source.stage,
            query: &source.query,
            hits: ranking
                .hits()
                .iter()
                .map(|hit| (hit.doc.as_str(), hit.score))
                .collect(),
        });
        let sub_queries = request.sub_queries.as_ref();
        let fuse = Fuse {
            service: &self.service,
            query: &request.query,
            rankings: rankings.collect(),
            sub_queries: sub_queries.map(|all| all.iter().map(AsRef::as_ref).collect()),
            limit: request.limit,
            extras: &extras,
        };
        let call = async |client: routir_client::Client, via: super::peer::Via| {
            client.fuse(&fuse, via.options()).await
        };
        let answer = self.peer.ask(&request.context, call).await?;
        Ranking::top(hits(answer.scores), request.limit.unwrap_or(usize::MAX))
    }

    async fn decompose(&self, request: &DecomposeRequest) -> Result<Vec<Arc<str>>> {
        let extras = self.extras(&request.params)?;
        let decompose = Decompose {
            service: &self.service,
            query: &request.query,
            limit: request.limit,
            extras: &extras,
        };
        let call = async |client: routir_client::Client, via: super::peer::Via| {
            client.decompose(decompose, via.options()).await
        };
        let found = self.peer.ask(&request.context, call).await?;
        Ok(found.into_iter().map(Arc::from).collect())
    }
}

/// The name of a request's own field among arguments, if there is one.
fn field(arguments: &Map<String, Value>) -> Option<&'static str> {
    FIELDS
        .into_iter()
        .find(|field| arguments.contains_key(*field))
}

fn hits(scores: Vec<(String, f64)>) -> Vec<Hit> {
    let hits = scores.into_iter();
    hits.map(|(doc, score)| Hit::new(doc, score)).collect()
}

impl SearchEngine for RelayService {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(async move { join_all(batch.iter().map(|request| self.search(request))).await })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}

impl ScoreEngine for RelayService {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        Box::pin(async move { join_all(batch.iter().map(|request| self.score(request))).await })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}

impl FuseEngine for RelayService {
    fn fuse(&self, request: FuseRequest) -> BoxFuture<'_, Result<Ranking>> {
        Box::pin(async move { self.fuse(&request).await })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }

    fn computes_in_place(&self) -> bool {
        false
    }
}

impl DecomposeEngine for RelayService {
    fn decompose(&self, batch: Vec<DecomposeRequest>) -> BoxFuture<'_, Vec<Result<Vec<Arc<str>>>>> {
        Box::pin(async move { join_all(batch.iter().map(|it| self.decompose(it))).await })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}
