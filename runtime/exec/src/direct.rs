//! Calls of one service or collection that stand in no pipeline: for servers that relay to this
//! one.

use std::sync::Arc;

use routir_core::{
    Answer, CallStats, DecomposeRequest, DocId, Document, Error, FuseRequest, Ranking,
    RequestContext, Result, Role,
};

use crate::runtime::{Runtime, spend, within};

impl Runtime {
    /// Makes one ranking of several with one merger.
    ///
    /// # Errors
    /// An unknown service or argument, the engine's failure, the deadline.
    pub async fn fuse(
        &self,
        service: &str,
        mut request: FuseRequest,
    ) -> Result<Answer<Arc<Ranking>>> {
        let scope = self.scope(&request.context)?;
        routir_plan::check_call(service, Role::Fuse, &request.params, &scope.catalog)?;
        let found = scope.services.get(service).ok_or_else(gone)?;
        let merger = found.fuse.as_ref().ok_or_else(gone)?;
        found.check_circle(&request.context)?;
        request.context = self.admitted(request.context);
        if request.limit == Some(0) || request.rankings.iter().all(|ranking| ranking.is_empty()) {
            return Ok(Answer::now(Arc::default(), CallStats::default()));
        }
        let context = Arc::clone(&request.context);
        let call = async {
            spend(&context)?;
            merger.call(request).await
        };
        within(&context, call).await
    }

    /// Makes sub-queries of a query with one expander.
    ///
    /// # Errors
    /// An unknown service or argument, the engine's failure, a full queue, the deadline.
    pub async fn decompose(
        &self,
        service: &str,
        mut request: DecomposeRequest,
    ) -> Result<Answer<Arc<[Arc<str>]>>> {
        let scope = self.scope(&request.context)?;
        let role = Role::DecomposeQuery;
        routir_plan::check_call(service, role, &request.params, &scope.catalog)?;
        let found = scope.services.get(service).ok_or_else(gone)?;
        let expander = found.decompose.as_ref().ok_or_else(gone)?;
        found.check_circle(&request.context)?;
        request.context = self.admitted(request.context);
        let context = Arc::clone(&request.context);
        let call = async {
            spend(&context)?;
            expander.call(request, scope.catalog.generation).await
        };
        within(&context, call).await
    }

    /// Documents of a collection in the order of their ids, each found or failed alone.
    ///
    /// # Errors
    /// An unknown collection or view, a source that cannot be read, the deadline.
    pub async fn documents(
        &self,
        context: &RequestContext,
        collection: &str,
        view: Option<&str>,
        ids: &[DocId],
    ) -> Result<Vec<Result<Arc<Document>>>> {
        let source = self.collection(context, collection)?;
        let found = within(context, source.fetch_for(context, view, ids)).await?;
        if found.len() == ids.len() {
            return Ok(found);
        }
        Err(Error::internal(format!(
            "collection `{collection}` answered for {} documents of {}",
            found.len(),
            ids.len()
        )))
    }
}

fn gone() -> Error {
    Error::internal("a service left the catalog")
}
