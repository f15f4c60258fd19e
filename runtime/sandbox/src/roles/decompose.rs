//! The role `decompose_query`.

use std::sync::Arc;

use futures_util::future::join_all;
use routir_core::{BoxFuture, DecomposeEngine, DecomposeRequest, ParamsSpec, Result};

use super::Extension;
use crate::convert::sub_queries;
use crate::guest::Phase;

impl Extension {
    async fn decompose_one(&self, request: DecomposeRequest) -> Result<Vec<Arc<str>>> {
        let params = self.params(&request.params)?;
        let limit = request.limit;
        let most = limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
        let args = (request.query, most, params);
        let check = |made: Vec<String>| sub_queries(made, limit);
        self.ask(
            &request.context,
            Phase::Serving,
            |to| to.decompose,
            args,
            check,
        )
        .await
    }
}

impl DecomposeEngine for Extension {
    fn decompose(&self, batch: Vec<DecomposeRequest>) -> BoxFuture<'_, Vec<Result<Vec<Arc<str>>>>> {
        Box::pin(join_all(
            batch.into_iter().map(|one| self.decompose_one(one)),
        ))
    }

    fn params(&self) -> ParamsSpec {
        self.params_spec()
    }
}
