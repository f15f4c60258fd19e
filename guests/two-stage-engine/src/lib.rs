//! An engine of two stages: two services search at the same time, their rankings are fused, and a
//! third scores the best of them.

wit_bindgen::generate!({ path: "../../wit/since_v0.1.0", world: "searcher" });

mod fuse;
mod manifest;
mod settings;

use std::iter::zip;

use routir::extension::host::{self, Documents, Passages, ScoreRequest, SearchRequest};
use settings::Settings;

struct TwoStage;

impl Guest for TwoStage {
    fn search(query: String, limit: u32, params: Params) -> Result<Hits, Error> {
        let settings = Settings::read(&params)?;
        // Both in one call: the host runs them at the same time.
        let requests = settings.services.map(|service| SearchRequest {
            pipeline: service.to_owned(),
            query: query.clone(),
            collection: None,
            limit: settings.depth.max(limit),
            params: Vec::new(),
        });
        let rankings = host::search(&requests)
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        let mut fused = fuse::reciprocal_ranks(&rankings, settings.rrf_k);
        fused.truncate(settings.rerank.max(limit) as usize);
        rerank(&query, &settings, &mut fused)?;
        fused.truncate(limit as usize);
        let (ids, scores) = fused.into_iter().unzip();
        Ok(Hits { ids, scores })
    }
}

/// Gives the first documents the scores of the reranker. Those after them keep their order, below
/// the worst of these.
fn rerank(query: &str, settings: &Settings, fused: &mut [(String, f64)]) -> Result<(), Error> {
    let count = fused.len().min(settings.rerank as usize);
    let (head, tail) = fused.split_at_mut(count);
    if head.is_empty() {
        return Ok(());
    }
    let request = ScoreRequest {
        service: settings.reranker.to_owned(),
        query: query.to_owned(),
        passages: Passages::Documents(Documents {
            collection: settings.collection.to_owned(),
            view: None,
            ids: head.iter().map(|(id, _)| id.clone()).collect(),
        }),
        params: Vec::new(),
    };
    let mut answers = host::score(&[request]);
    let scores = answers
        .pop()
        .unwrap_or_else(|| Err(Error::Failed("the host gave no scores".into())))?;
    let worst = scores.iter().copied().fold(f64::INFINITY, f64::min);
    for ((_, score), new) in zip(&mut *head, scores) {
        *score = new;
    }
    for (place, (_, score)) in tail.iter_mut().enumerate() {
        *score = worst - (place + 1) as f64;
    }
    head.sort_by(|(a_id, a), (b_id, b)| b.total_cmp(a).then_with(|| a_id.cmp(b_id)));
    Ok(())
}

export!(TwoStage);
