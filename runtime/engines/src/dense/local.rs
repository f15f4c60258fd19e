//! Vectors that a model in this process makes.

use std::sync::Arc;

use routir_compute::{Compute, DenseEncoder, DenseSpec, Embedding, Tokens};
use routir_core::{BoxFuture, ParamSpec, Params, RequestContext, Result, Roles};

use super::index::Searcher;
use super::index_keys::IndexKeys;
use super::wording::{self, Wording, WordingSpec};
use super::{Embedder, RoleParams, hosted, no_vector};
use crate::build::{BuildEnv, EngineSpec, Purpose};
use crate::devices::Opened;
use crate::models::{ModelPlace, ModelQueue, opening};
use crate::pool::EnginePool;

/// A dense engine as configured.
pub(crate) struct DenseSetup<'a> {
    /// The model, as the configuration names it.
    pub(crate) model: &'a str,
    pub(crate) encoder: DenseSpec,
    /// Where it computes.
    pub(crate) place: ModelPlace,
    /// Where texts are cut of a model that reads longer ones, if `encoder` does not say.
    pub(crate) usual_tokens: Option<usize>,
    pub(crate) wording: WordingSpec,
    pub(crate) index: IndexKeys<'a>,
    /// What it takes from a request and does nothing with.
    pub(crate) ignored: &'static [ParamSpec],
}

impl DenseSetup<'_> {
    fn open(&self, compute: &Compute) -> Result<Arc<DenseEncoder>> {
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

/// The model behind its queue.
pub(super) struct Local {
    pub(super) queue: Arc<ModelQueue<DenseEncoder>>,
    pub(super) wording: Arc<Wording>,
    pub(super) pool: EnginePool,
}

impl Local {
    /// The tokens of a query and of passages, with what stands around them.
    async fn tokens(
        &self,
        query: Arc<str>,
        passages: Vec<Arc<str>>,
        params: Params,
    ) -> Result<Vec<Tokens>> {
        let bytes = passages
            .iter()
            .fold(query.len(), |sum, text| sum + text.len());
        let (model, wording) = (Arc::clone(self.queue.model()), Arc::clone(&self.wording));
        let read = move || {
            let query = model.tokens(&wording.query(&query, &params, &model)?);
            let passages = passages
                .iter()
                .map(|text| model.tokens(&wording.passage(text)));
            std::iter::once(query).chain(passages).collect()
        };
        self.pool.read(bytes, read).await?
    }
}

impl Embedder for Local {
    fn embed(
        &self,
        context: &Arc<RequestContext>,
        query: &Arc<str>,
        passages: Vec<Arc<str>>,
        params: &Params,
    ) -> BoxFuture<'_, Result<Vec<Vec<f32>>>> {
        let (context, query, params) = (Arc::clone(context), Arc::clone(query), params.clone());
        Box::pin(async move {
            let tokens = self.tokens(query, passages, params).await?;
            let vectors = self.queue.run(&context, tokens).await?;
            vectors.into_iter().map(Embedding::numbers).collect()
        })
    }

    fn embed_query<'a>(
        &'a self,
        context: &Arc<RequestContext>,
        query: &Arc<str>,
        params: &Params,
        stays: bool,
    ) -> BoxFuture<'a, Result<Embedding>> {
        let (context, query, params) = (Arc::clone(context), Arc::clone(query), params.clone());
        Box::pin(async move {
            let mut tokens = self.tokens(query, Vec::new(), params).await?;
            tokens.iter_mut().for_each(|text| text.stays = stays);
            let vectors = self.queue.run(&context, tokens).await?;
            vectors.into_iter().next().ok_or_else(no_vector)
        })
    }
}

impl DenseSetup<'_> {
    /// Builds the roles: searching if there is an index, and scoring.
    ///
    /// # Errors
    /// When the model or the index is missing, damaged or does not fit.
    pub(crate) fn build(&self, spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
        let params = wording::params(self.wording.param);
        let params = RoleParams::new(&params, &self.index, self.ignored);
        let index = self.index.files(spec, env)?;
        if let Purpose::Check(stood_in) = env.purpose {
            self.place.check(spec, env)?;
            return Ok(params.outline(index.is_some(), stood_in));
        }
        let Opened {
            value: model,
            health,
            device,
        } = opening(env, spec.name, "loading the model", &self.model, || {
            self.place.open(spec, env, |compute| self.open(compute))
        })?;
        let dim = model.dim();
        tracing::info!(
            service = spec.name,
            model = self.model,
            dim,
            max_tokens = model.max_tokens(),
            "encoder"
        );
        let wording = Arc::new(Wording::new(spec.name, &self.wording, &model)?);
        let open = |files| Searcher::open(spec, env, &self.index, files, Some(dim));
        let searcher = index.as_ref().map(open).transpose()?;
        let local = Arc::new(Local {
            queue: env.models.queue(model),
            wording,
            pool: env.pool.clone(),
        });
        let encoder = hosted::hosted(&local);
        env.models
            .host(spec, self.model, &self.encoder.source, Some(encoder));
        let embedder: Arc<dyn Embedder> = local;
        Ok(params.roles(&embedder, searcher, (health, device)))
    }
}
