//! A runtime that answers from a few canned documents, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use routir_core::{
    BoxFuture, Error, ErrorCode, Hit, Host, HostDocuments, HostPassages, HostScore, HostSearch,
    Ranking, RequestContext, Result,
};

/// Rankings by service, texts by document, scores by document; every call as a line.
#[derive(Default)]
pub(crate) struct Runtime {
    pub(crate) rankings: BTreeMap<&'static str, Vec<(&'static str, f64)>>,
    pub(crate) texts: BTreeMap<&'static str, &'static str>,
    pub(crate) scores: BTreeMap<&'static str, f64>,
    pub(crate) calls: Mutex<Vec<String>>,
}

impl Runtime {
    fn find(&self, request: &HostSearch) -> Result<Arc<Ranking>> {
        let Some(hits) = self.rankings.get(request.pipeline.as_str()) else {
            let message = format!("there is no service `{}`", request.pipeline);
            return Err(Error::new(ErrorCode::UnknownName, message));
        };
        let hits = hits.iter().take(request.limit);
        Ranking::from_hits(hits.map(|(id, score)| Hit::new(*id, *score)).collect()).map(Arc::new)
    }

    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }
}

impl Host for Runtime {
    fn search(
        &self,
        _: Arc<RequestContext>,
        requests: Vec<HostSearch>,
    ) -> BoxFuture<'static, Vec<Result<Arc<Ranking>>>> {
        let told = requests
            .iter()
            .map(|r| format!("{} {:?} {}", r.pipeline, r.query, r.limit));
        self.note(format!("search {}", told.collect::<Vec<_>>().join(" | ")));
        let answers = requests.iter().map(|request| self.find(request)).collect();
        Box::pin(async move { answers })
    }

    fn score(
        &self,
        _: Arc<RequestContext>,
        requests: Vec<HostScore>,
    ) -> BoxFuture<'static, Vec<Result<Arc<[f64]>>>> {
        let answer = |request: &HostScore| match &request.passages {
            HostPassages::Documents(documents) => {
                let ids: Vec<_> = documents.ids.iter().map(|id| id.as_str()).collect();
                self.note(format!("score {} {}", request.service, ids.join(" ")));
                let score = |id: &&str| self.scores.get(id).copied().unwrap_or(-1.0);
                Ok(ids.iter().map(score).collect())
            }
            HostPassages::Texts(texts) => Ok(texts.iter().map(|text| text.len() as f64).collect()),
        };
        let answers = requests.iter().map(answer).collect();
        Box::pin(async move { answers })
    }

    fn content(
        &self,
        _: Arc<RequestContext>,
        documents: HostDocuments,
    ) -> BoxFuture<'static, Result<Vec<Option<Arc<str>>>>> {
        self.note(format!("content {}", documents.collection));
        let text = |id: &str| self.texts.get(id).map(|text| Arc::from(*text));
        let texts = documents.ids.iter().map(|id| text(id.as_str())).collect();
        Box::pin(async move { Ok(texts) })
    }
}
