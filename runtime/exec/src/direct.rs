//! Calls of one service or collection that stand in no pipeline: for servers that relay to this
//! one.

use std::collections::HashMap;
use std::sync::Arc;

use routir_core::{
    Answer, CallStats, DecomposeRequest, DocId, Document, Error, ErrorCode, FuseRequest, Payload,
    Ranking, RequestContext, Result, Role,
};

use crate::runtime::{Runtime, spend, within};

/// How many bytes of documents one call answers with: as many as clients take.
const MAX_DOCUMENTS_BYTES: usize = 64 << 20;
/// How many documents are read before they are counted; other servers ask for as many in a call.
const AT_ONCE: usize = 64;

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

    /// Documents of a collection in the order of their ids, each found or failed alone. Each is read
    /// once, however often its id stands there; those that make the answer larger than 64 MiB, which
    /// all places of an id count for, fail.
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
        let mut places: HashMap<&DocId, usize> = HashMap::with_capacity(ids.len());
        let mut distinct = Vec::with_capacity(ids.len());
        for id in ids {
            *places.entry(id).or_insert_with(|| {
                distinct.push(id.clone());
                0
            }) += 1;
        }
        let read = async {
            let mut found = HashMap::with_capacity(distinct.len());
            let mut left = MAX_DOCUMENTS_BYTES;
            for ids in distinct.chunks(AT_ONCE) {
                if left == 0 {
                    break;
                }
                let documents = source.fetch_for(context, view, ids).await?;
                if documents.len() != ids.len() {
                    return Err(Error::internal(format!(
                        "collection `{collection}` answered for {} documents of {}",
                        documents.len(),
                        ids.len()
                    )));
                }
                for (id, document) in ids.iter().zip(documents) {
                    let document = document.and_then(|document| {
                        let times = places.get(id).copied().unwrap_or(1);
                        let bytes = size(&document).saturating_mul(times);
                        left = left.checked_sub(bytes).ok_or_else(|| {
                            left = 0;
                            too_large()
                        })?;
                        Ok(document)
                    });
                    found.insert(id, document);
                }
            }
            Ok(found)
        };
        let found = within(context, read).await?;
        let one = |id| found.get(id).cloned().unwrap_or_else(|| Err(too_large()));
        Ok(ids.iter().map(one).collect())
    }
}

/// The bytes that a document is written in.
fn size(document: &Document) -> usize {
    let payload = match &document.payload {
        Payload::Text(text) => text.len(),
        Payload::Bytes(bytes) => bytes.size(),
    };
    payload + document.title.as_ref().map_or(0, |title| title.len())
}

fn too_large() -> Error {
    Error::new(
        ErrorCode::TooLarge,
        format!(
            "the documents of this call are over {MAX_DOCUMENTS_BYTES} bytes together; ask for \
             fewer at once"
        ),
    )
}

fn gone() -> Error {
    Error::internal("a service left the catalog")
}
