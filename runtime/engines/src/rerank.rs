//! Rerankers: models that read a query and a passage together and answer one score. What they share;
//! their keys are in the files named after the engines.

use std::sync::Arc;

use futures_util::future::join_all;
use routir_compute::{Compute, CrossEncoder, Model, ModelSource, Tokens, YesNoScorer};
use routir_core::{Batching, BoxFuture, ParamsSpec, Result, Roles, ScoreEngine, ScoreRequest};

use crate::build::{BuildEnv, EngineSpec, Purpose};
use crate::check::Outline;
use crate::models::{ModelPlace, ModelQueue, opening};
use crate::pool::EnginePool;
use crate::search_rerank::SearchKeys;

/// A model of pairs.
pub(crate) trait PairModel: Model<Output = f32> {
    /// A query and a passage as the model reads them.
    fn pair(&self, query: &str, passage: &str) -> Result<Tokens>;
}

impl PairModel for CrossEncoder {
    fn pair(&self, query: &str, passage: &str) -> Result<Tokens> {
        self.tokens(query, passage)
    }
}

impl PairModel for YesNoScorer {
    fn pair(&self, query: &str, passage: &str) -> Result<Tokens> {
        self.tokens(query, passage)
    }
}

struct Reranker<M: PairModel> {
    queue: Arc<ModelQueue<M>>,
    pool: EnginePool,
}

impl<M: PairModel> Reranker<M> {
    async fn answer(&self, request: ScoreRequest) -> Result<Vec<f64>> {
        let ScoreRequest {
            query,
            passages,
            context,
            ..
        } = request;
        let passages = passages.into_texts()?;
        let bytes = passages.iter().map(|text| query.len() + text.len()).sum();
        let model = Arc::clone(self.queue.model());
        let read = move || {
            passages
                .iter()
                .map(|text| model.pair(&query, text))
                .collect()
        };
        let pairs: Result<Vec<Tokens>> = self.pool.read(bytes, read).await?;
        let scores = self.queue.run(&context, pairs?).await?;
        Ok(scores.into_iter().map(f64::from).collect())
    }
}

impl<M: PairModel> ScoreEngine for Reranker<M> {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        Box::pin(join_all(
            batch.into_iter().map(|request| self.answer(request)),
        ))
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}

/// The roles of a reranker whose model `open` opens.
pub(crate) fn reranker<M: PairModel>(
    spec: EngineSpec<'_>,
    env: &BuildEnv<'_>,
    search: SearchKeys<'_>,
    (model, source, place): (&str, &ModelSource, ModelPlace),
    open: impl Fn(&Compute) -> Result<Arc<M>>,
) -> Result<Roles> {
    if let Purpose::Check(stood_in) = env.purpose {
        place.check(spec, env)?;
        let outline = Outline {
            score: Some(ParamsSpec::none()),
            ..Outline::default()
        };
        return search.add_to(outline.roles(stood_in), spec, env);
    }
    let opened = opening(env, spec.name, "loading the model", &model, || {
        place.open(spec, env, open)
    })?;
    env.models.host(spec, model, source, None);
    let engine = Reranker {
        queue: env.models.queue(opened.value),
        pool: env.pool.clone(),
    };
    let roles = Roles {
        score: Some(Arc::new(engine)),
        health: opened.health.into_iter().collect(),
        ..Roles::default()
    };
    search.add_to(roles, spec, env)
}
