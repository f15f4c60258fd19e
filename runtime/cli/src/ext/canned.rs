//! A host whose services always answer the same: what a case says.

use std::sync::Arc;

use routir_core::{
    BoxFuture, Error, ErrorCode, Host, HostDocuments, HostPassages, HostScore, HostSearch, Ranking,
    RequestContext, Result, shorten,
};

use super::case::{Canned, Case, ranking};

/// The host that a case describes.
pub(super) struct CannedHost(pub(super) Arc<Case>);

impl CannedHost {
    fn service(&self, name: &str) -> Result<&Canned> {
        let name = name.trim();
        self.0.services.get(name).ok_or_else(|| {
            let known: Vec<_> = self.0.services.keys().map(String::as_str).collect();
            unknown("service", name, &known)
        })
    }

    fn search_one(&self, request: &HostSearch) -> Result<Arc<Ranking>> {
        let found = &self.service(&request.pipeline)?.search;
        let hits = found
            .get(request.query.as_ref())
            .or_else(|| found.get("*"))
            .map_or(&[][..], Vec::as_slice);
        let mut found = ranking(hits)?;
        found.truncate(request.limit);
        Ok(Arc::new(found))
    }

    fn score_one(&self, request: &HostScore) -> Result<Arc<[f64]>> {
        let scores = &self.service(&request.service)?.score;
        let texts = match &request.passages {
            HostPassages::Texts(texts) => texts.clone(),
            HostPassages::Documents(documents) => {
                let missing =
                    || Error::new(ErrorCode::UnknownDocument, "there is no such document");
                let texts = self.texts(documents)?.into_iter();
                texts
                    .map(|text| text.ok_or_else(missing))
                    .collect::<Result<_>>()?
            }
        };
        let score = |text: &Arc<str>| {
            let score = scores.get(text.as_ref()).or_else(|| scores.get("*"));
            score.copied().unwrap_or(0.0)
        };
        Ok(texts.iter().map(score).collect())
    }

    fn texts(&self, documents: &HostDocuments) -> Result<Vec<Option<Arc<str>>>> {
        let collections = &self.0.collections;
        let Some(collection) = collections.get(&documents.collection) else {
            let known: Vec<_> = collections.keys().map(String::as_str).collect();
            return Err(unknown("collection", &documents.collection, &known));
        };
        let text = |id: &routir_core::DocId| collection.get(id.as_str());
        let texts = documents.ids.iter().map(text);
        Ok(texts.map(|text| text.map(|t| t.as_str().into())).collect())
    }
}

impl Host for CannedHost {
    fn search(
        &self,
        _context: Arc<RequestContext>,
        requests: Vec<HostSearch>,
    ) -> BoxFuture<'static, Vec<Result<Arc<Ranking>>>> {
        let answers = requests.iter().map(|r| self.search_one(r)).collect();
        Box::pin(std::future::ready(answers))
    }

    fn score(
        &self,
        _context: Arc<RequestContext>,
        requests: Vec<HostScore>,
    ) -> BoxFuture<'static, Vec<Result<Arc<[f64]>>>> {
        let answers = requests.iter().map(|r| self.score_one(r)).collect();
        Box::pin(std::future::ready(answers))
    }

    fn content(
        &self,
        _context: Arc<RequestContext>,
        documents: HostDocuments,
    ) -> BoxFuture<'static, Result<Vec<Option<Arc<str>>>>> {
        let texts = self.texts(&documents);
        Box::pin(std::future::ready(texts))
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Error {
    let known = if known.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has {}", known.join(", "))
    };
    let message = format!("the case has no {what} `{}`; {known}", shorten(name));
    Error::new(ErrorCode::UnknownName, message)
}
