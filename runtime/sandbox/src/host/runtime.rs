//! `host`: search, score and content by the runtime.

use std::sync::Arc;

use routir_core::{
    HostDocuments, HostPassages, HostScore, HostSearch, Ranking, Result as CoreResult,
};

use super::content;
use super::desk::{HandOver, doc_ids, hold, open, take_one, to_guest};
use crate::bindings::host::{Documents, Host, Passages, ScoreRequest, SearchRequest};
use crate::bindings::types::{self, Hits};
use crate::convert::params_from_guest;
use crate::guest::{Call, State};

type Answers<T> = Vec<Result<T, types::Error>>;

impl Host for State {
    async fn search(&mut self, requests: Vec<SearchRequest>) -> wasmtime::Result<Answers<Hits>> {
        let desk = match open(&mut self.call, "host.search")? {
            Ok(desk) => desk,
            Err(error) => return Ok(refuse_all(&requests, &error)),
        };
        let held = match hold(&desk, &requests) {
            Ok(held) => held,
            Err(error) => return Ok(refuse_all(&requests, &error)),
        };
        let (asked, slots) = sift(&mut self.call, requests, search_request);
        let limits: Vec<_> = asked.iter().map(|request| request.limit).collect();
        let found = if asked.is_empty() {
            Vec::new()
        } else {
            desk.host.search(Arc::clone(&desk.context), asked).await
        };
        drop(held);
        let mut room = HandOver::new(&desk.account);
        let mut found = found.into_iter().zip(limits);
        let answers = fill(slots, || {
            let (ranking, limit) = found.next()?;
            Some(handed_hits(ranking, limit, &mut room))
        });
        room.leave(&mut self.call);
        Ok(answers)
    }

    async fn score(&mut self, requests: Vec<ScoreRequest>) -> wasmtime::Result<Answers<Vec<f64>>> {
        let desk = match open(&mut self.call, "host.score")? {
            Ok(desk) => desk,
            Err(error) => return Ok(refuse_all(&requests, &error)),
        };
        let held = match hold(&desk, &requests) {
            Ok(held) => held,
            Err(error) => return Ok(refuse_all(&requests, &error)),
        };
        let (asked, slots) = sift(&mut self.call, requests, score_request);
        let passages: Vec<_> = asked.iter().map(passages_of).collect();
        let scored = if asked.is_empty() {
            Vec::new()
        } else {
            desk.host.score(Arc::clone(&desk.context), asked).await
        };
        drop(held);
        let mut room = HandOver::new(&desk.account);
        let mut scored = scored.into_iter().zip(passages);
        let answers = fill(slots, || {
            let (scores, passages) = scored.next()?;
            Some(handed_scores(scores, passages, &mut room))
        });
        room.leave(&mut self.call);
        Ok(answers)
    }

    async fn content(
        &mut self,
        documents: Documents,
        max_bytes: u32,
    ) -> wasmtime::Result<Result<Vec<Option<String>>, types::Error>> {
        let desk = match open(&mut self.call, "host.content")? {
            Ok(desk) => desk,
            Err(error) => return Ok(Err(error)),
        };
        let held = hold(&desk, std::slice::from_ref(&documents));
        let documents = take_one(&mut self.call).and_then(|()| host_documents(documents));
        let (_held, documents) = match (held, documents) {
            (Ok(held), Ok(documents)) => (held, documents),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
        let mut room = HandOver::new(&desk.account);
        let texts = content::read(&desk, documents, max_bytes, &mut room).await;
        room.leave(&mut self.call);
        Ok(texts)
    }
}

/// The same answer to each.
fn refuse_all<T, A>(requests: &[T], error: &types::Error) -> Answers<A> {
    requests.iter().map(|_| Err(error.clone())).collect()
}

/// Requests that can be asked, and for each place of the list either its refusal or nothing yet.
fn sift<G, H>(
    call: &mut Call,
    requests: Vec<G>,
    convert: impl Fn(G) -> Result<H, types::Error>,
) -> (Vec<H>, Vec<Option<types::Error>>) {
    let mut asked = Vec::new();
    let slots = requests
        .into_iter()
        .map(
            |request| match take_one(call).and_then(|()| convert(request)) {
                Ok(request) => {
                    asked.push(request);
                    None
                }
                Err(error) => Some(error),
            },
        )
        .collect();
    (asked, slots)
}

/// Puts the answers to what was asked into their places.
fn fill<T>(
    slots: Vec<Option<types::Error>>,
    mut next: impl FnMut() -> Option<Result<T, types::Error>>,
) -> Answers<T> {
    let unanswered = || Err(types::Error::Failed("the host gave no answer".to_owned()));
    slots
        .into_iter()
        .map(|refusal| match refusal {
            Some(error) => Err(error),
            None => next().unwrap_or_else(unanswered),
        })
        .collect()
}

fn search_request(request: SearchRequest) -> Result<HostSearch, types::Error> {
    Ok(HostSearch {
        pipeline: request.pipeline,
        query: Arc::from(request.query),
        collection: request.collection,
        limit: request.limit as usize,
        params: params_from_guest(request.params).map_err(|error| to_guest(&error))?,
    })
}

fn score_request(request: ScoreRequest) -> Result<HostScore, types::Error> {
    let passages = match request.passages {
        Passages::Texts(texts) => HostPassages::Texts(texts.into_iter().map(Arc::from).collect()),
        Passages::Documents(documents) => HostPassages::Documents(host_documents(documents)?),
    };
    Ok(HostScore {
        service: request.service,
        query: Arc::from(request.query),
        passages,
        params: params_from_guest(request.params).map_err(|error| to_guest(&error))?,
    })
}

fn host_documents(documents: Documents) -> Result<HostDocuments, types::Error> {
    Ok(HostDocuments {
        collection: documents.collection,
        view: documents.view,
        ids: doc_ids(documents.ids)?,
    })
}

fn passages_of(request: &HostScore) -> usize {
    match &request.passages {
        HostPassages::Texts(texts) => texts.len(),
        HostPassages::Documents(documents) => documents.ids.len(),
    }
}

fn handed_hits(
    ranking: CoreResult<Arc<Ranking>>,
    limit: usize,
    room: &mut HandOver,
) -> Result<Hits, types::Error> {
    let ranking = ranking.map_err(|error| to_guest(&error))?;
    let hits = ranking.hits();
    let hits = hits.get(..limit).unwrap_or(hits);
    // In the guest: the id, its place and length, the score.
    room.take(hits.iter().map(|hit| hit.doc.len() + 16).sum())?;
    Ok(Hits {
        ids: hits.iter().map(|hit| hit.doc.to_string()).collect(),
        scores: hits.iter().map(|hit| hit.score).collect(),
    })
}

fn handed_scores(
    scores: CoreResult<Arc<[f64]>>,
    passages: usize,
    room: &mut HandOver,
) -> Result<Vec<f64>, types::Error> {
    let scores = scores.map_err(|error| to_guest(&error))?;
    if scores.len() != passages {
        let given = scores.len();
        return Err(types::Error::Failed(format!(
            "the service answered {given} scores for {passages} passages"
        )));
    }
    room.take(8 * scores.len())?;
    Ok(scores.to_vec())
}
