//! `LSR`: learned sparse retrieval. A model makes weights of terms of the query (SPLADE and its kin),
//! and an index finds the documents with the largest inner products.
//!
//! | key | means | default |
//! |---|---|---|
//! | `model_name` | the encoder: a folder with an ONNX graph, or `hf:owner/name` | required |
//! | `file` | which of the model's graphs | the first there is |
//! | `index_path` | the index's folder | required |
//! | `max_length` | to how many tokens queries are cut | the model's |
//! | `max_terms` | how many terms of a query count, those with the largest weights | all |
//! | `alpha` | 1 for exact answers; below, blocks of documents are left out already when this part of what they can reach is not enough | 1 |
//! | `id_to_subset_mapping` | which subset each document is in: JSON, or a pickled dictionary | no subsets |
//! | `build` | whether to build the index of a collection at first start, and when that has changed | false |
//! | `collection`, `view` | of which one | the only one there is, its default view |
//!
//! `name`, `batch_size` and `k_scale` are taken and change nothing: a subset is searched as a whole.
//! A model with a table of weights for queries (`idf.json`) reads queries without computing.
//!
//! RoutIR's `LSR` searches an index of Lucene, which is not read here. An index is built at start
//! when `build` asks for it, or beforehand with `routir-rt index sparse`: from documents, or from the
//! JSON lines of term weights that Anserini's indices are made of.

mod fill;
mod hosted;
mod plan;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::future::join_all;
use routir_compute::SparseEncoder;
use routir_core::{
    Batching, BoxFuture, Error, Health, ParamKind, ParamSpec, ParamsSpec, Ranking, Result, Roles,
    SearchEngine, SearchRequest,
};
use routir_index::sparse::{SparseIndex, SparseSearch};

use crate::build::{BuildEnv, EngineSpec, Purpose};
use crate::check::{Outline, file, is_ahead, there};
use crate::models::{ModelQueue, opening};
use crate::pool::EnginePool;
use crate::subsets::Subsets;
use plan::Plan;

/// What is searched.
struct Documents {
    index: SparseIndex,
    subsets: Option<Subsets>,
}

impl Documents {
    fn search(
        &self,
        query: &[(u32, f32)],
        limit: usize,
        alpha: f32,
        subset: Option<&str>,
        cancelled: &AtomicBool,
    ) -> Result<Ranking> {
        let subset = match (subset, &self.subsets) {
            (Some(name), Some(subsets)) => Some(subsets.get(name)?),
            _ => None,
        };
        let how = SparseSearch { alpha, subset };
        self.index.search(query, limit, &how, cancelled)
    }
}

struct Lsr {
    queue: Arc<ModelQueue<SparseEncoder>>,
    pool: EnginePool,
    documents: Arc<Documents>,
    alpha: f64,
}

/// What is made of a query before its weights are known.
enum Read<T> {
    /// What the model computes them of.
    Tokens(T),
    /// They were looked up.
    Weights(Vec<(u32, f32)>),
}

impl Lsr {
    async fn answer(&self, request: SearchRequest) -> Result<Ranking> {
        let SearchRequest {
            query,
            limit,
            params,
            context,
        } = request;
        let alpha = params.number("alpha")?.unwrap_or(self.alpha) as f32;
        let (bytes, model) = (query.len(), Arc::clone(self.queue.model()));
        let read = move || match model.table_query(&query)? {
            Some(weights) => Ok(Read::Weights(weights)),
            None => model.tokens(&query).map(Read::Tokens),
        };
        let weights = match self.pool.read(bytes, read).await?? {
            Read::Weights(weights) => weights,
            Read::Tokens(tokens) => self.queue.one(&context, tokens).await?,
        };
        let documents = Arc::clone(&self.documents);
        let search = move |cancelled: &AtomicBool| {
            documents.search(&weights, limit, alpha, params.text("subset")?, cancelled)
        };
        self.pool.run(search).await.flatten()
    }
}

impl SearchEngine for Lsr {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(join_all(
            batch.into_iter().map(|request| self.answer(request)),
        ))
    }

    fn params(&self) -> ParamsSpec {
        params(self.documents.subsets.is_some())
    }

    fn prefix_stable(&self) -> bool {
        prefix_stable(self.alpha)
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}

/// What a request may say; of a subset only where there are some.
fn params(subsets: bool) -> ParamsSpec {
    let alpha = (
        "alpha",
        ParamKind::Number,
        "1 for exact answers, less for faster ones; default as configured",
    );
    let subset = (
        "subset",
        ParamKind::Text,
        "only documents of this subset; default all",
    );
    let specs = std::iter::once(alpha).chain(subsets.then_some(subset));
    let specs = specs.map(|(name, kind, doc)| ParamSpec::new(name, kind, doc));
    ParamsSpec::Known(specs.collect())
}

/// Whether fewer are the first of more. A request with an `alpha` of its own may be answered by the
/// first of a larger answer, as approximate as it asked for.
fn prefix_stable(alpha: f64) -> bool {
    alpha >= 1.0
}

/// The model behind its queue, which is hosted for others from now on, and the model that reads
/// documents, which it shares its graph with.
struct Models {
    queue: Arc<ModelQueue<SparseEncoder>>,
    documents: Arc<SparseEncoder>,
    health: Option<Arc<dyn Health>>,
}

fn open(plan: &Plan, spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Models> {
    let source = &plan.model.source;
    let opened = opening(env, spec.name, "loading the model", &source, || {
        plan.place.open(spec, env, |compute| {
            let documents = compute.sparse(&plan.documents)?;
            Ok((compute.sparse(&plan.model)?, documents))
        })
    })?;
    let (model, documents) = opened.value;
    let queue = env.models.queue(model);
    let encoder = hosted::hosted(&queue, Arc::clone(&documents), env);
    env.models.host(spec, &plan.named, source, Some(encoder));
    Ok(Models {
        queue,
        documents,
        health: opened.health,
    })
}

/// The encoder alone.
pub(crate) fn host(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Vec<Arc<dyn Health>>> {
    let plan = Plan::read(spec.config, env, true)?;
    match env.purpose {
        Purpose::Check(_) => plan.place.check(spec, env).map(|()| Vec::new()),
        Purpose::Serve => open(&plan, spec, env).map(|it| it.health.into_iter().collect()),
    }
}

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let plan = Plan::read(spec.config, env, false)?;
    if let Some(path) = &plan.subsets {
        file("`id_to_subset_mapping`", path)?;
    }
    if let Purpose::Check(stood_in) = env.purpose {
        plan.place.check(spec, env)?;
        if plan.fill.is_none() && !is_ahead(&plan.index) {
            there(SparseIndex::present(&plan.index))?;
        }
        let outline = Outline {
            search: Some(params(plan.subsets.is_some())),
            prefix_stable: prefix_stable(plan.alpha),
            ..Outline::default()
        };
        return Ok(outline.roles(stood_in));
    }
    let source = &plan.model.source;
    let Models {
        queue,
        documents,
        health,
    } = open(&plan, spec, env)?;
    let model = queue.model();
    let index = match &plan.fill {
        Some(fill) => fill.open_or_build(&plan.index, &documents, spec.name, env)?,
        None => SparseIndex::open(&plan.index)?,
    };
    let (terms, vocabulary) = (model.terms(), index.vocabulary() as usize);
    if terms != 0 && terms != vocabulary {
        return Err(Error::invalid(format!(
            "model `{source}` has {terms} terms and the index in `{}` was made with a vocabulary of \
             {vocabulary}; an index is searched with the vocabulary that it was built with",
            plan.index.display()
        )));
    }
    tracing::info!(
        service = spec.name,
        documents = index.len(),
        weights = index.postings(),
        bytes_per_document = index.disk_bytes() / (index.len() as u64).max(1),
        built_with = index.model(),
        dir = %plan.index.display(),
        "sparse index is open"
    );
    let id = |document| index.id(document);
    let subsets = plan.subsets.as_deref();
    let subsets = subsets
        .map(|path| Subsets::read(path, index.len(), id))
        .transpose()?;
    let engine = Lsr {
        queue,
        pool: env.pool.clone(),
        documents: Arc::new(Documents { index, subsets }),
        alpha: plan.alpha,
    };
    Ok(Roles {
        search: Some(Arc::new(engine)),
        health: health.into_iter().collect(),
        ..Roles::default()
    })
}
