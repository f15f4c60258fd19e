//! The role `search` of `PLAIDX`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::future::join_all;
use routir_compute::TokenEncoder;
use routir_core::{
    Batching, BoxFuture, Error, ParamKind, ParamSpec, ParamsSpec, Ranking, Result, SearchEngine,
    SearchRequest,
};
use routir_index::late::{LateIndex, LateQuery, LateSearch, ScoredPassage, max_p};

use super::mapping::PassageMapping;
use super::on_device::Resident;
use crate::models::ModelQueue;
use crate::pool::EnginePool;
use crate::subsets::Subsets;

/// A model and an index of its vectors.
pub(super) struct LateSearcher {
    pub(super) queue: Arc<ModelQueue<TokenEncoder>>,
    pub(super) pool: EnginePool,
    pub(super) passages: Arc<Passages>,
    /// The index's token vectors on a device.
    pub(super) resident: Option<Resident>,
    pub(super) probes: Option<usize>,
    pub(super) rerank: Option<usize>,
}

/// An index with what is known of its passages.
pub(super) struct Passages {
    pub(super) index: LateIndex,
    pub(super) mapping: Option<PassageMapping>,
    pub(super) subsets: Option<Subsets>,
}

impl Passages {
    /// The document of a passage.
    pub(super) fn document(&self, passage: u32) -> Result<&str> {
        match &self.mapping {
            None => self.index.id(passage),
            Some(mapping) => mapping
                .document(passage)
                .ok_or_else(|| Error::internal("a passage has no line in the passage mapping")),
        }
    }

    /// `how`, among the passages of `subset`.
    fn within<'a>(&'a self, how: LateSearch<'a>, subset: Option<&str>) -> Result<LateSearch<'a>> {
        let subset = match (subset, &self.subsets) {
            (Some(name), Some(subsets)) => Some(subsets.get(name)?),
            _ => None,
        };
        Ok(LateSearch { subset, ..how })
    }

    /// The best documents for a query's vectors, among those of `subset`.
    fn search(
        &self,
        rows: &[f32],
        limit: usize,
        how: LateSearch<'_>,
        subset: Option<&str>,
        cancelled: &AtomicBool,
    ) -> Result<Ranking> {
        let how = self.within(how, subset)?;
        let passages = self.index.search_passages(rows, limit, &how, cancelled)?;
        self.best(&passages, limit)
    }

    /// The passages that are worth comparing exactly; all of them have token vectors.
    fn chosen(
        &self,
        rows: &[f32],
        limit: usize,
        how: LateSearch<'_>,
        subset: Option<&str>,
        cancelled: &AtomicBool,
    ) -> Result<Vec<u32>> {
        let how = self.within(how, subset)?;
        let query = LateQuery::new(rows, self.index.dim())?;
        let mut chosen = Vec::new();
        for passage in self.index.chosen(&query, limit, &how, cancelled)? {
            if !self.index.is_bare(passage)? {
                chosen.push(passage);
            }
        }
        Ok(chosen)
    }

    /// The best documents of scored passages.
    fn best(&self, passages: &[ScoredPassage], limit: usize) -> Result<Ranking> {
        max_p(passages, limit, |passage| self.document(passage))
    }
}

/// What a request may say; of a subset only where there are some.
pub(super) fn params(subsets: bool) -> ParamsSpec {
    let all = [
        (
            "probes",
            ParamKind::Count,
            "for how many centroids per query token passages are looked at; default as configured",
        ),
        (
            "rerank",
            ParamKind::Count,
            "how many passages are compared exactly; default as configured",
        ),
    ];
    let subset = (
        "subset",
        ParamKind::Text,
        "only documents of this subset; default all",
    );
    let specs = all.into_iter().chain(subsets.then_some(subset));
    ParamsSpec::Known(
        specs
            .map(|(name, kind, doc)| ParamSpec::new(name, kind, doc))
            .collect(),
    )
}

impl LateSearcher {
    async fn answer(&self, request: SearchRequest) -> Result<Ranking> {
        let SearchRequest {
            query,
            limit,
            params,
            context,
        } = request;
        let usual = LateSearch::for_limit(limit);
        let how = LateSearch {
            probes: params
                .count("probes")?
                .or(self.probes)
                .unwrap_or(usual.probes),
            rerank: params
                .count("rerank")?
                .or(self.rerank)
                .unwrap_or(usual.rerank),
            subset: None,
        };
        let (bytes, model) = (query.len(), Arc::clone(self.queue.model()));
        let tokens = self.pool.read(bytes, move || model.query(&query)).await??;
        let rows = self.queue.one(&context, tokens).await?;
        let passages = Arc::clone(&self.passages);
        let Some(resident) = &self.resident else {
            let search = move |cancelled: &AtomicBool| {
                passages.search(&rows, limit, how, params.text("subset")?, cancelled)
            };
            return self.pool.run(search).await.flatten();
        };
        let choose = move |cancelled: &AtomicBool| {
            let subset = params.text("subset")?;
            let chosen = passages.chosen(&rows, limit, how, subset, cancelled)?;
            Ok((rows, chosen))
        };
        let (rows, chosen) = self.pool.run(choose).await.flatten()?;
        let scored = resident.score(&context, &rows, chosen).await?;
        let passages = Arc::clone(&self.passages);
        let best = move |_: &AtomicBool| passages.best(&scored, limit);
        self.pool.run(best).await.flatten()
    }
}

impl SearchEngine for LateSearcher {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(join_all(
            batch.into_iter().map(|request| self.answer(request)),
        ))
    }

    fn params(&self) -> ParamsSpec {
        params(self.passages.subsets.is_some())
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}
