//! The search: candidates, their texts, their scores, in this order.

use std::sync::Arc;

use futures_util::future::join_all;
use routir_core::{
    Batching, BoxFuture, DocId, Error, Hit, ParamKind, ParamSpec, Params, ParamsSpec, Ranking,
    RequestContext, Result, ScoreEngine, ScoreRequest, SearchEngine, SearchRequest,
};
use serde_json::{Map, Value};

use super::texts::Texts;
use crate::upstream::{known_to, together};

/// What a request may say instead of the configuration.
const PARAM: ParamSpec = ParamSpec::new(
    "rerank_multiplier",
    ParamKind::Number,
    "how many times as many candidates as documents are wanted; default as configured",
);

/// Whether so many times as many candidates can be asked for.
pub(super) fn is_multiplier(number: f64) -> bool {
    number.is_finite() && number > 0.0
}

/// A scorer with an upstream.
pub(super) struct SearchReranker {
    pub(super) upstream: Arc<dyn SearchEngine>,
    pub(super) texts: Texts,
    pub(super) scorer: Arc<dyn ScoreEngine>,
    /// How many candidates at most.
    pub(super) most: usize,
    /// How many times the limit.
    pub(super) multiplier: f64,
}

impl SearchReranker {
    async fn answer(&self, request: SearchRequest) -> Result<Ranking> {
        let SearchRequest {
            query,
            limit,
            params,
            context,
        } = request;
        let multiplier = params.number(&PARAM.name)?.unwrap_or(self.multiplier);
        if !is_multiplier(multiplier) {
            return Err(Error::invalid(format!(
                "`rerank_multiplier` must be above 0, not {multiplier}"
            )));
        }
        // As in RoutIR: never more than the bound, whatever the limit.
        let wanted = ((limit as f64 * multiplier).ceil() as usize).min(self.most);
        if wanted == 0 {
            return Ok(Ranking::default());
        }
        let (own, others) = self.shared_out(&params);
        let asked = SearchRequest {
            query: Arc::clone(&query),
            limit: wanted,
            params: others,
            context: Arc::clone(&context),
        };
        let asked = known_to(&self.upstream.params(), &asked);
        let mut candidates = one(self.upstream.search(vec![asked]).await)?;
        candidates.truncate(wanted);
        let hits = candidates.into_hits();
        if hits.is_empty() {
            return Ok(Ranking::default());
        }
        let docs: Vec<DocId> = hits.into_iter().map(|hit| hit.doc).collect();
        let passages = self.texts.of(&context, &docs).await?;
        let scores = self.scores(query, passages, own, context).await?;
        if scores.len() != docs.len() {
            return Err(Error::engine(
                "the scorer answered for other passages than asked",
            ));
        }
        let hits = docs.into_iter().zip(scores);
        let hits = hits.map(|(doc, score)| Hit { doc, score });
        Ranking::top(hits.collect(), limit)
    }

    async fn scores(
        &self,
        query: Arc<str>,
        passages: Vec<Arc<str>>,
        params: Params,
        context: Arc<RequestContext>,
    ) -> Result<Vec<f64>> {
        let request = ScoreRequest {
            query,
            passages: passages.into(),
            params,
            context,
        };
        one(self.scorer.score(vec![request]).await)
    }

    /// The arguments of the scorer, and those of the upstream: all others.
    fn shared_out(&self, params: &Params) -> (Params, Params) {
        let ParamsSpec::Known(known) = self.scorer.params() else {
            return (params.clone(), params.clone());
        };
        let (mut own, mut others) = (Map::new(), Map::new());
        for (name, value) in params.as_map() {
            let value: Value = value.clone();
            if known.iter().any(|spec| spec.name == name.as_str()) {
                own.insert(name.clone(), value);
            } else if name.as_str() != PARAM.name {
                others.insert(name.clone(), value);
            }
        }
        (own.into(), others.into())
    }
}

/// The one answer to one request.
fn one<T>(answers: Vec<Result<T>>) -> Result<T> {
    let answer = answers.into_iter().next();
    answer.unwrap_or_else(|| Err(Error::engine("an engine did not answer")))
}

impl SearchEngine for SearchReranker {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(join_all(
            batch.into_iter().map(|request| self.answer(request)),
        ))
    }

    /// Its own, the scorer's and the upstream's.
    fn params(&self) -> ParamsSpec {
        let others = [self.scorer.params(), self.upstream.params()];
        together(vec![PARAM], others)
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}
