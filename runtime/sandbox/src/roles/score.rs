//! The role `score`.

use futures_util::future::join_all;
use routir_core::{Batching, BoxFuture, ParamsSpec, Result, ScoreEngine, ScoreRequest};

use super::Extension;
use crate::convert::scores;
use crate::guest::Phase;

impl Extension {
    async fn score_one(&self, request: ScoreRequest) -> Result<Vec<f64>> {
        let params = self.params(&request.params)?;
        // What crosses into a guest is text: the host never hands over a view of bytes.
        let passages = request.passages.into_texts()?;
        let count = passages.len();
        let args = (request.query, passages, params);
        let check = |given: Vec<f64>| scores(given, count);
        self.ask(&request.context, Phase::Serving, |to| to.score, args, check)
            .await
    }
}

impl ScoreEngine for Extension {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        Box::pin(join_all(batch.into_iter().map(|one| self.score_one(one))))
    }

    fn params(&self) -> ParamsSpec {
        self.params_spec()
    }

    fn batching(&self) -> Batching {
        Batching::Alone
    }
}
