//! `TokenOverlap`: scores passages by the query terms that they hold. For tests and demonstrations.
//!
//! The score is the mean over the query's different terms of tf / (tf + 1), where tf is how often
//! the passage has the term: 0 for a passage with none of them, close to 1 for one that is full of
//! all. Terms are those of `BM25`'s analyzer. It knows no corpus, so a rare term counts as much as a
//! common one. It takes no configuration.

use std::sync::Arc;

use futures_util::future::join_all;
use routir_core::{Batching, BoxFuture, ParamsSpec, Result, Roles, ScoreEngine, ScoreRequest};
use routir_index::EnglishAnalyzer;

use crate::build::{BuildEnv, EngineSpec};
use crate::options::Options;
use crate::pool::EnginePool;

/// Up to how much text is scored in place: some tens of microseconds of work, which is what it
/// costs to hand it to another thread.
const IN_PLACE_BYTES: usize = 64 << 10;

struct TokenOverlap {
    analyzer: EnglishAnalyzer,
    pool: EnginePool,
}

impl ScoreEngine for TokenOverlap {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        let answer = |request: ScoreRequest| async move {
            let ScoreRequest {
                query, passages, ..
            } = request;
            let passages = passages.into_texts()?;
            let bytes: usize = passages.iter().map(|text| text.len()).sum();
            if bytes <= IN_PLACE_BYTES {
                return Ok(scores(&self.analyzer, &query, &passages));
            }
            let analyzer = self.analyzer.clone();
            self.pool
                .run(move |_| scores(&analyzer, &query, &passages))
                .await
        };
        Box::pin(join_all(batch.into_iter().map(answer)))
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }

    fn batching(&self) -> Batching {
        Batching::Alone
    }
}

fn scores(analyzer: &EnglishAnalyzer, query: &str, passages: &[Arc<str>]) -> Vec<f64> {
    let mut terms: Vec<_> = analyzer.counts(query).into_keys().collect();
    // In a fixed order, so that equal passages get equal scores to the last bit.
    terms.sort_unstable();
    let count = terms.len().max(1) as f64;
    let mut counter = analyzer.counter(terms);
    let score = |passage: &Arc<str>| {
        let shares = counter
            .count(passage)
            .iter()
            .map(|tf| f64::from(*tf) / (f64::from(*tf) + 1.0));
        shares.sum::<f64>() / count
    };
    passages.iter().map(score).collect()
}

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    Options::new(spec.config).finish()?;
    let engine = TokenOverlap {
        analyzer: EnglishAnalyzer::default(),
        pool: env.pool.clone(),
    };
    Ok(Roles {
        score: Some(Arc::new(engine)),
        ..Roles::default()
    })
}
