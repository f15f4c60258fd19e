//! The role `fuse`.

use std::sync::Arc;

use routir_core::{BoxFuture, FuseEngine, FuseRequest, FuseSource, ParamsSpec, Ranking, Result};

use super::Extension;
use crate::bindings::RankedList;
use crate::convert::{Candidates, Column, fused};
use crate::guest::Phase;

impl Extension {
    async fn fuse_one(&self, request: FuseRequest) -> Result<Ranking> {
        let params = self.params(&request.params)?;
        let (candidates, columns) = Candidates::new(request.rankings)?;
        if candidates.len() == 0 {
            return Ok(Ranking::default()); // Nothing to ask about.
        }
        let lists = ranked_lists(columns, request.sources, &request.query);
        let candidates = Arc::new(candidates);
        let count = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        let args = (request.query, lists, count, params);
        let phase = Phase::Fusing(Arc::clone(&candidates));
        self.ask(
            &request.context,
            phase,
            |to| to.fuse,
            args,
            |scores: Vec<f64>| fused(&scores, &candidates, request.limit),
        )
        .await
    }
}

impl FuseEngine for Extension {
    fn fuse(&self, request: FuseRequest) -> BoxFuture<'_, Result<Ranking>> {
        Box::pin(self.fuse_one(request))
    }

    fn params(&self) -> ParamsSpec {
        self.params_spec()
    }

    fn computes_in_place(&self) -> bool {
        false // At most a tick; then on the sandbox's own threads.
    }
}

/// The columns with where they come from; a caller who does not say means the query itself.
fn ranked_lists(
    columns: Vec<Column>,
    sources: Vec<FuseSource>,
    query: &Arc<str>,
) -> Vec<RankedList> {
    let mut sources = sources.into_iter();
    columns
        .into_iter()
        .map(|column| {
            let source = sources.next();
            let (stage, query) = match &source {
                Some(source) => (&*source.stage, &*source.query),
                None => ("", &**query),
            };
            RankedList {
                source: stage.to_owned(),
                query: query.to_owned(),
                docs: column.docs,
                scores: column.scores,
            }
        })
        .collect()
}
