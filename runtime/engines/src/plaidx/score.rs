//! The role `score` of `PLAIDX`: MaxSim without an index.

use std::sync::Arc;

use futures_util::future::join_all;
use routir_compute::{TokenEncoder, Tokens};
use routir_core::{Batching, BoxFuture, Error, ParamsSpec, Result, ScoreEngine, ScoreRequest};
use routir_index::late::LateQuery;

use super::on_device::Texts as TextsOnDevice;
use crate::models::ModelQueue;
use crate::pool::EnginePool;

/// A model that scores each passage by its best window.
pub(super) struct LateScorer {
    pub(super) queue: Arc<ModelQueue<TokenEncoder>>,
    pub(super) pool: EnginePool,
    /// Where MaxSim is computed, if on a device.
    pub(super) texts: Option<TextsOnDevice>,
    pub(super) window: usize,
    pub(super) stride: usize,
}

/// A query and the windows of passages, as the model reads them.
struct Texts {
    /// The query first, then the windows.
    tokens: Vec<Tokens>,
    /// How many windows each passage has.
    windows: Vec<usize>,
}

pub(super) fn params() -> ParamsSpec {
    ParamsSpec::none()
}

impl LateScorer {
    async fn answer(&self, request: ScoreRequest) -> Result<Vec<f64>> {
        let ScoreRequest {
            query,
            passages,
            context,
            ..
        } = request;
        if passages.is_empty() {
            return Ok(Vec::new());
        }
        let passages = passages.into_texts()?;
        let bytes = query.len() + passages.iter().map(|text| text.len()).sum::<usize>();
        let (model, window, stride) = (Arc::clone(self.queue.model()), self.window, self.stride);
        let dim = model.dim();
        let read = move || read(&model, &query, &passages, window, stride);
        let Texts { tokens, windows } = self.pool.read(bytes, read).await??;
        let rows = self.queue.run(&context, tokens).await?;
        if let Some(texts) = &self.texts {
            let scores = texts.score(&context, &self.pool, rows).await?;
            return best(&scores, &windows);
        }
        self.pool.run(move |_| scores(&rows, &windows, dim)).await?
    }
}

fn read(
    model: &TokenEncoder,
    query: &str,
    passages: &[Arc<str>],
    window: usize,
    stride: usize,
) -> Result<Texts> {
    let mut texts = Texts {
        tokens: vec![model.query(query)?],
        windows: Vec::with_capacity(passages.len()),
    };
    for passage in passages {
        let windows = model.windows(passage, window, stride)?;
        texts.windows.push(windows.len());
        texts.tokens.extend(windows);
    }
    Ok(texts)
}

/// The passages' scores, of the query's vectors and the windows', of which each passage has as many
/// as `windows` says.
fn scores(rows: &[Vec<f32>], windows: &[usize], dim: usize) -> Result<Vec<f64>> {
    let (query, mut rest) = rows
        .split_first()
        .ok_or_else(|| Error::internal("the model answered no query"))?;
    let query = LateQuery::new(query, dim)?;
    let mut scores = Vec::with_capacity(windows.len());
    for count in windows {
        let (own, others) = rest
            .split_at_checked(*count)
            .ok_or_else(|| Error::internal("the model answered too few windows"))?;
        rest = others;
        let best = own
            .iter()
            .map(|rows| query.maxsim(rows))
            .max_by(f32::total_cmp);
        scores.push(f64::from(best.unwrap_or_default()));
    }
    Ok(scores)
}

/// The best of the scores of each passage's windows.
fn best(mut scores: &[f32], windows: &[usize]) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(windows.len());
    for count in windows {
        let (own, others) = scores
            .split_at_checked(*count)
            .ok_or_else(|| Error::internal("the device answered too few windows"))?;
        scores = others;
        let best = own.iter().copied().max_by(f32::total_cmp);
        all.push(f64::from(best.unwrap_or_default()));
    }
    Ok(all)
}

impl ScoreEngine for LateScorer {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        Box::pin(join_all(
            batch.into_iter().map(|request| self.answer(request)),
        ))
    }

    fn params(&self) -> ParamsSpec {
        params()
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}
