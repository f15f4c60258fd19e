//! The role `search`.

use futures_util::future::join_all;
use routir_core::{Batching, BoxFuture, ParamsSpec, Ranking, Result, SearchEngine, SearchRequest};

use super::Extension;
use crate::bindings::types::Hits;
use crate::convert::hits;
use crate::guest::Phase;

impl Extension {
    async fn search_one(&self, request: SearchRequest) -> Result<Ranking> {
        let params = self.params(&request.params)?;
        let limit = request.limit;
        let most = u32::try_from(limit).unwrap_or(u32::MAX);
        let args = (request.query, most, params);
        let check = |found: Hits| hits(found, limit);
        self.ask(
            &request.context,
            Phase::Serving,
            |to| to.search,
            args,
            check,
        )
        .await
    }
}

impl SearchEngine for Extension {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(join_all(batch.into_iter().map(|one| self.search_one(one))))
    }

    fn params(&self) -> ParamsSpec {
        self.params_spec()
    }

    fn batching(&self) -> Batching {
        Batching::Alone
    }
}
