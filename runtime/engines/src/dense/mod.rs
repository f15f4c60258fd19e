//! Dense retrieval: an encoder makes a vector of the query, and an index finds the vectors of
//! documents that are nearest. What the engines `SentenceTransformerEngine` and `Qwen3` share.

mod api;
mod by_faiss;
mod hosted;
mod index;
mod index_keys;
mod index_queue;
mod instruction;
mod local;
mod resident;
mod shared_faiss;
mod wording;

use std::cell::Cell;
use std::sync::Arc;

use futures_util::future::join_all;
use routir_compute::Embedding;
use routir_core::{
    Batching, BoxFuture, Error, Health, ParamSpec, Params, ParamsSpec, Ranking, RequestContext,
    Result, Roles, ScoreEngine, ScoreRequest, SearchEngine, SearchRequest,
};
use routir_device::Device;

pub(crate) use api::ApiSetup;
pub(crate) use index_keys::IndexKeys;
pub(crate) use instruction::Instruction;
pub(crate) use local::DenseSetup;
pub use shared_faiss::SharedFaiss;
pub(crate) use wording::{InstructionParam, Prompt, WordingSpec, task};

use crate::check::Outline;
use index::Searcher;

/// What makes vectors of texts.
pub(crate) trait Embedder: Send + Sync {
    /// The vectors of a query and of passages, in this order, with what stands around the texts; all of
    /// the same size, as many as texts.
    fn embed(
        &self,
        context: &Arc<RequestContext>,
        query: &Arc<str>,
        passages: Vec<Arc<str>>,
        params: &Params,
    ) -> BoxFuture<'_, Result<Vec<Vec<f32>>>>;

    /// The vector of a query; `stays` says that it may stay on the device where it is made.
    fn embed_query<'a>(
        &'a self,
        context: &Arc<RequestContext>,
        query: &Arc<str>,
        params: &Params,
        stays: bool,
    ) -> BoxFuture<'a, Result<Embedding>> {
        let _ = stays;
        let vectors = self.embed(context, query, Vec::new(), params);
        Box::pin(async move {
            let vector = vectors.await?.pop().ok_or_else(no_vector)?;
            Ok(Embedding::Numbers(vector))
        })
    }
}

/// Of how many numbers inner products are made in place: some hundred microseconds of work.
const IN_PLACE_NUMBERS: usize = 256 << 10;

/// The inner products of the first vector and each of the others.
fn products(vectors: &[Vec<f32>]) -> Result<Vec<f64>> {
    let (query, passages) = vectors.split_first().ok_or_else(no_vector)?;
    let product = |passage: &Vec<f32>| inner_product(query, passage);
    Ok(passages.iter().map(product).collect())
}

fn inner_product(one: &[f32], other: &[f32]) -> f64 {
    let products = one
        .iter()
        .zip(other)
        .map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}

/// As a scorer.
struct DenseScorer {
    embedder: Arc<dyn Embedder>,
    params: Vec<ParamSpec>,
}

impl DenseScorer {
    /// Inner products of the query's vector and the passages', which are cosines where vectors have
    /// length 1.
    async fn answer(&self, request: ScoreRequest) -> Result<Vec<f64>> {
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
        let vectors = self.embedder.embed(&context, &query, passages, &params);
        let vectors = vectors.await?;
        let numbers = vectors.iter().map(Vec::len).sum::<usize>();
        if numbers <= IN_PLACE_NUMBERS {
            return products(&vectors);
        }
        let broke_off = |why| Error::engine(format!("the computation broke off: {why}"));
        tokio::task::spawn_blocking(move || products(&vectors))
            .await
            .map_err(broke_off)?
    }
}

impl ScoreEngine for DenseScorer {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
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

/// As a searcher.
struct DenseSearcher {
    embedder: Arc<dyn Embedder>,
    searcher: Searcher,
    params: Vec<ParamSpec>,
    /// Whether the model is on the device that the index is on.
    stays: bool,
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
        let embedder = &self.embedder;
        let vector = embedder.embed_query(&context, &query, &params, self.stays);
        let vector = vector.await?;
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

fn no_vector() -> Error {
    Error::engine("the encoder made no vector of the query")
}

/// What requests may say to the engine: as a searcher, and as a scorer.
struct RoleParams {
    search: Vec<ParamSpec>,
    score: Vec<ParamSpec>,
}

impl RoleParams {
    fn new(wording: &[ParamSpec], index: &IndexKeys<'_>, ignored: &[ParamSpec]) -> Self {
        let index = index.params();
        Self {
            search: [wording, &index, ignored].concat(),
            score: [wording, ignored].concat(),
        }
    }

    /// Roles for a check: searching if there is an index, and scoring.
    fn outline(self, index: bool, stood_in: &Cell<bool>) -> Roles {
        let outline = Outline {
            search: index.then_some(ParamsSpec::Known(self.search)),
            score: Some(ParamsSpec::Known(self.score)),
            ..Outline::default()
        };
        outline.roles(stood_in)
    }

    /// The roles: searching if there is an index, and scoring.
    /// It needs the model's device, if that is on one, and the index's.
    fn roles(
        self,
        embedder: &Arc<dyn Embedder>,
        searcher: Option<Searcher>,
        (model, device): (Option<Arc<dyn Health>>, Option<Arc<Device>>),
    ) -> Roles {
        let index = searcher.as_ref().map(Searcher::health).unwrap_or_default();
        let on = searcher.as_ref().and_then(Searcher::device);
        let stays = device
            .zip(on)
            .is_some_and(|(model, index)| Arc::ptr_eq(&model, index));
        let search = searcher.map(|searcher| {
            Arc::new(DenseSearcher {
                embedder: Arc::clone(embedder),
                searcher,
                params: self.search,
                stays,
            }) as _
        });
        Roles {
            search,
            score: Some(Arc::new(DenseScorer {
                embedder: Arc::clone(embedder),
                params: self.score,
            })),
            health: model.into_iter().chain(index).collect(),
            ..Roles::default()
        }
    }
}
