//! Dense retrieval: an encoder makes a vector of the query, and an index finds the vectors of
//! documents that are nearest. What the engines `SentenceTransformerEngine` and `Qwen3` share.

mod index;
mod instruction;
mod shared_faiss;
mod wording;

use std::sync::Arc;

use futures_util::future::join_all;
use routir_compute::{DenseEncoder, DenseSpec, Tokens};
use routir_core::{
    Batching, BoxFuture, Error, ParamSpec, Params, ParamsSpec, Ranking, Result, Roles, ScoreEngine,
    ScoreRequest, SearchEngine, SearchRequest,
};

use crate::build::{BuildEnv, EngineSpec, Purpose};
use crate::check::Outline;
use crate::models::{ModelQueue, opening};
use crate::pool::EnginePool;
pub(crate) use index::IndexKeys;
use index::Searcher;
pub(crate) use instruction::Instruction;
pub use shared_faiss::SharedFaiss;
use wording::Wording;
pub(crate) use wording::{InstructionParam, Prompt, WordingSpec, task};

/// A dense engine as configured.
pub(crate) struct DenseSetup<'a> {
    /// The model, as the configuration names it.
    pub(crate) model: &'a str,
    pub(crate) encoder: DenseSpec,
    /// Where texts are cut of a model that reads longer ones, if `encoder` does not say.
    pub(crate) usual_tokens: Option<usize>,
    pub(crate) wording: WordingSpec,
    pub(crate) index: IndexKeys<'a>,
    /// What it takes from a request and does nothing with.
    pub(crate) ignored: &'static [ParamSpec],
}

impl DenseSetup<'_> {
    fn open(&self, env: &BuildEnv<'_>) -> Result<Arc<DenseEncoder>> {
        let compute = env.models.compute();
        let model = compute.dense(&self.encoder)?;
        let usual = self
            .usual_tokens
            .filter(|usual| *usual < model.max_tokens());
        match (self.encoder.max_tokens, usual) {
            (None, Some(_)) => compute.dense(&DenseSpec {
                max_tokens: usual,
                ..self.encoder.clone()
            }),
            _ => Ok(model),
        }
    }
}

struct Dense {
    queue: Arc<ModelQueue<DenseEncoder>>,
    wording: Wording,
    pool: EnginePool,
    params: Vec<ParamSpec>,
}

impl Dense {
    /// The tokens of a query and of passages, with what stands around them.
    async fn tokens(
        self: &Arc<Self>,
        query: &Arc<str>,
        passages: Vec<Arc<str>>,
        params: &Params,
    ) -> Result<Vec<Tokens>> {
        let bytes = passages
            .iter()
            .fold(query.len(), |sum, text| sum + text.len());
        let (dense, query, params) = (Arc::clone(self), Arc::clone(query), params.clone());
        let read = move || {
            let (model, wording) = (dense.queue.model(), &dense.wording);
            let query = model.tokens(&wording.query(&query, &params, model)?);
            let passages = passages
                .iter()
                .map(|text| model.tokens(&wording.passage(text)));
            std::iter::once(query).chain(passages).collect()
        };
        self.pool.read(bytes, read).await?
    }

    /// Inner products of the query's vector and the passages', which are cosines where vectors have
    /// length 1.
    async fn score(self: &Arc<Self>, request: ScoreRequest) -> Result<Vec<f64>> {
        let ScoreRequest {
            query,
            passages,
            params,
            context,
        } = request;
        if passages.is_empty() {
            return Ok(Vec::new());
        }
        let passages = passages.into_texts()?;
        let tokens = self.tokens(&query, passages, &params).await?;
        let vectors = self.queue.run(&context, tokens).await?;
        let Some((query, passages)) = vectors.split_first() else {
            return Err(Error::engine("the encoder made no vector of the query"));
        };
        Ok(passages
            .iter()
            .map(|passage| inner_product(query, passage))
            .collect())
    }
}

fn inner_product(one: &[f32], other: &[f32]) -> f64 {
    let products = one
        .iter()
        .zip(other)
        .map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}

/// As a scorer.
struct DenseScorer(Arc<Dense>);

impl ScoreEngine for DenseScorer {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        Box::pin(join_all(
            batch.into_iter().map(|request| self.0.score(request)),
        ))
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::known(&self.0.params)
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}

/// As a searcher.
struct DenseSearcher {
    dense: Arc<Dense>,
    searcher: Searcher,
    params: Vec<ParamSpec>,
}

impl DenseSearcher {
    async fn answer(&self, request: SearchRequest) -> Result<Ranking> {
        let SearchRequest {
            query,
            limit,
            params,
            context,
        } = request;
        let how = self.searcher.how(limit, &params)?;
        let tokens = self.dense.tokens(&query, Vec::new(), &params).await?;
        let mut vectors = self.dense.queue.run(&context, tokens).await?;
        let vector = vectors
            .pop()
            .ok_or_else(|| Error::engine("the encoder made no vector"))?;
        self.searcher.search(&context, vector, how).await
    }
}

impl SearchEngine for DenseSearcher {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(join_all(
            batch.into_iter().map(|request| self.answer(request)),
        ))
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::known(&self.params)
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}

/// Builds the roles: searching if there is an index, and scoring.
pub(crate) fn build(
    spec: EngineSpec<'_>,
    env: &BuildEnv<'_>,
    setup: &DenseSetup<'_>,
) -> Result<Roles> {
    let mut score_params = wording::params(setup.wording.param).to_vec();
    let mut search_params = score_params.clone();
    search_params.extend(setup.index.params());
    search_params.extend_from_slice(setup.ignored);
    score_params.extend_from_slice(setup.ignored);
    let index = setup.index.files(env)?;
    if let Purpose::Check(stood_in) = env.purpose {
        let outline = Outline {
            search: index.map(|_| ParamsSpec::Known(search_params)),
            score: Some(ParamsSpec::Known(score_params)),
            prefix_stable: false,
        };
        return Ok(outline.roles(stood_in));
    }
    let model = opening(env, spec.name, "loading the model", &setup.model, || {
        setup.open(env)
    })?;
    let dim = model.dim();
    tracing::info!(
        service = spec.name,
        model = setup.model,
        dim,
        max_tokens = model.max_tokens(),
        "encoder"
    );
    let wording = Wording::new(spec.name, &setup.wording, &model)?;
    let searcher = match index {
        Some(files) => Some(Searcher::open(spec, env, &setup.index, &files, dim)?),
        None => None,
    };
    let dense = Arc::new(Dense {
        queue: env.models.queue(model),
        wording,
        pool: env.pool.clone(),
        params: score_params,
    });
    let search = searcher.map(|searcher| {
        let dense = Arc::clone(&dense);
        Arc::new(DenseSearcher {
            dense,
            searcher,
            params: search_params,
        }) as _
    });
    Ok(Roles {
        search,
        score: Some(Arc::new(DenseScorer(dense))),
        ..Roles::default()
    })
}
