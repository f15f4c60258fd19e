//! A service of other servers in the roles of an engine.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use routir_client::{Decompose, Fuse, FuseInput, Score, Search, field_among};
use routir_core::{
    Batching, BoxFuture, DecomposeEngine, DecomposeRequest, Error, FuseEngine, FuseRequest, Hit,
    Params, ParamsSpec, Passages, Ranking, Result, Role, Roles, ScoreEngine, ScoreRequest,
    SearchEngine, SearchRequest, ViewKind,
};
use serde_json::{Map, Value};

use super::{Ask, Peer};

/// A service of another server, or of several. It hands every request on at once: batches are made
/// there.
pub struct RelayService<A = Peer> {
    asked: Arc<A>,
    service: Arc<str>,
    /// Sent with every request that does not say otherwise.
    extras: Map<String, Value>,
    /// What it scores.
    reads: ViewKind,
}

impl<A: Ask> RelayService<A> {
    /// The service called `service` of `asked`.
    pub fn new(asked: Arc<A>, service: impl Into<Arc<str>>) -> Self {
        Self {
            asked,
            service: service.into(),
            extras: Map::new(),
            reads: ViewKind::Text,
        }
    }

    /// The same, with arguments that go along with every request, whose own win.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for arguments with the name of a request's field.
    pub fn sending(mut self, mut extras: Map<String, Value>) -> Result<Self> {
        // Every request says how many it wants.
        extras.shift_remove("limit");
        if let Some(field) = field_among(&extras) {
            return Err(Error::invalid(format!(
                "`other_request_kwargs` must not hold `{field}`, which the request itself says"
            )));
        }
        self.extras = extras;
        Ok(self)
    }

    /// The same, whose passages are of this kind.
    #[must_use]
    pub fn reading(mut self, kind: ViewKind) -> Self {
        self.reads = kind;
        self
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
        if let Some(field) = field_among(params.as_map()) {
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
        let answer = self.asked.search(&request.context, search).await?;
        Ranking::top(hits(answer.scores), request.limit)
    }

    async fn score(&self, request: &ScoreRequest) -> Result<Vec<f64>> {
        let extras = self.extras(&request.params)?;
        let (texts, parts): (Vec<&str>, Vec<&[Bytes]>);
        let passages = match &request.passages {
            Passages::Text(all) => {
                texts = all.iter().map(AsRef::as_ref).collect();
                routir_client::Passages::Text(&texts)
            }
            Passages::Bytes(all) => {
                parts = all.iter().map(|it| &*it.parts).collect();
                routir_client::Passages::Bytes(&parts)
            }
        };
        let score = Score {
            service: &self.service,
            query: &request.query,
            passages,
            extras: &extras,
        };
        Ok(self.asked.score(&request.context, score).await?.scores)
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
        let answer = self.asked.fuse(&request.context, fuse).await?;
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
        let found = self.asked.decompose(&request.context, decompose).await?;
        Ok(found.into_iter().map(Arc::from).collect())
    }
}

fn hits(scores: Vec<(String, f64)>) -> Vec<Hit> {
    let hits = scores.into_iter();
    hits.map(|(doc, score)| Hit::new(doc, score)).collect()
}

impl<A: Ask> SearchEngine for RelayService<A> {
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

impl<A: Ask> ScoreEngine for RelayService<A> {
    fn view_kind(&self) -> ViewKind {
        self.reads
    }

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

impl<A: Ask> FuseEngine for RelayService<A> {
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

impl<A: Ask> DecomposeEngine for RelayService<A> {
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
