//! A service that some workers have. It hands every request on at once: batches are made there.

use std::sync::Arc;

use futures_util::future::join_all;
use routir_client::{Decompose, Fuse, FuseInput, Score, Search, carried};
use routir_core::{
    Batching, BoxFuture, DecomposeEngine, DecomposeRequest, FuseEngine, FuseRequest, Hit,
    ParamsSpec, Ranking, Result, Role, Roles, ScoreEngine, ScoreRequest, SearchEngine,
    SearchRequest,
};

use super::Spread;
use crate::want::Need;

/// A service of workers.
pub(crate) struct SpreadService {
    spread: Arc<Spread>,
    name: Arc<str>,
}

impl SpreadService {
    pub(crate) fn new(spread: Arc<Spread>, name: Arc<str>) -> Self {
        Self { spread, name }
    }

    /// It in some roles.
    pub(crate) fn roles(self: &Arc<Self>, plays: impl Fn(Role) -> bool) -> Roles {
        let this = || Arc::clone(self);
        Roles {
            search: plays(Role::Search).then(|| this() as Arc<dyn SearchEngine>),
            score: plays(Role::Score).then(|| this() as Arc<dyn ScoreEngine>),
            fuse: plays(Role::Fuse).then(|| this() as Arc<dyn FuseEngine>),
            decompose: plays(Role::DecomposeQuery).then(|| this() as Arc<dyn DecomposeEngine>),
            ..Roles::default()
        }
    }

    fn need(&self, role: Role) -> Need {
        Need::Services {
            services: vec![(role, Arc::clone(&self.name))],
            collections: Vec::new(),
        }
    }

    async fn search(&self, request: &SearchRequest) -> Result<Ranking> {
        let query = &request.query;
        let search = Search {
            service: &self.name,
            query,
            limit: Some(request.limit),
            extras: request.params.as_map(),
        };
        let read = |body: &[u8]| carried::ranked(body, query);
        let need = self.need(Role::Search);
        let ask = self
            .spread
            .ask(&request.context, "/search", need, &search, read);
        Ranking::top(hits(ask.await?.scores), request.limit)
    }

    async fn score(&self, request: &ScoreRequest) -> Result<Vec<f64>> {
        let query = &request.query;
        let passages = request.passages.texts()?.iter();
        let passages: Vec<&str> = passages.map(AsRef::as_ref).collect();
        let score = Score {
            service: &self.name,
            query,
            passages: routir_client::Passages::Text(&passages),
            extras: request.params.as_map(),
        };
        let read = |body: &[u8]| carried::scored(body, query, passages.len());
        let need = self.need(Role::Score);
        let ask = self
            .spread
            .ask(&request.context, "/score", need, &score, read);
        Ok(ask.await?.scores)
    }

    async fn fuse(&self, request: &FuseRequest) -> Result<Ranking> {
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
        let query = &request.query;
        let sub_queries = request.sub_queries.as_ref();
        let fuse = Fuse {
            service: &self.name,
            query,
            rankings: rankings.collect(),
            sub_queries: sub_queries.map(|all| all.iter().map(AsRef::as_ref).collect()),
            limit: request.limit,
            extras: request.params.as_map(),
        };
        let read = |body: &[u8]| carried::ranked(body, query);
        let need = self.need(Role::Fuse);
        let ask = self
            .spread
            .ask(&request.context, "/fuse", need, &fuse, read);
        Ranking::top(hits(ask.await?.scores), request.limit.unwrap_or(usize::MAX))
    }

    async fn decompose(&self, request: &DecomposeRequest) -> Result<Vec<Arc<str>>> {
        let decompose = Decompose {
            service: &self.name,
            query: &request.query,
            limit: request.limit,
            extras: request.params.as_map(),
        };
        let need = self.need(Role::DecomposeQuery);
        let ask = self.spread.ask(
            &request.context,
            "/decompose",
            need,
            &decompose,
            carried::sub_queries,
        );
        Ok(ask.await?.into_iter().map(Arc::from).collect())
    }
}

fn hits(scores: Vec<(String, f64)>) -> Vec<Hit> {
    let hits = scores.into_iter();
    hits.map(|(doc, score)| Hit::new(doc, score)).collect()
}

impl SearchEngine for SpreadService {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(async move { join_all(batch.iter().map(|it| self.search(it))).await })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}

impl ScoreEngine for SpreadService {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        Box::pin(async move { join_all(batch.iter().map(|it| self.score(it))).await })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}

impl FuseEngine for SpreadService {
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

impl DecomposeEngine for SpreadService {
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
