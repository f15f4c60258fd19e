//! A search, as in PLAID (Santhanam et al., "PLAID: An Efficient Engine for Late Interaction
//! Retrieval", 2022): the passages in the lists of the centroids nearest to the query's rows; of
//! these the best by centroid interaction; of these the true order by decompressed MaxSim.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use routir_core::{Error, ErrorCode, Hit, Ranking, Result};

use super::index::LateIndex;
use super::maxsim::{LateQuery, Maxima, block_rows};
use super::probe::Probe;
use super::subset::PassageSet;

/// Candidates between two looks at whether the caller is still there.
const STEP: usize = 1024;

/// How thoroughly to search.
#[derive(Clone, Copy, Debug)]
pub struct LateSearch<'a> {
    /// For each row of the query, how many centroids' lists are read. When all lists read hold fewer
    /// passages than are wanted, more are.
    pub probes: usize,
    /// How many passages are decompressed, the best by their centroids; at least as many as are
    /// wanted.
    pub rerank: usize,
    /// The passages to search; `None` is all.
    pub subset: Option<&'a PassageSet>,
}

impl LateSearch<'_> {
    /// The defaults when `limit` passages are wanted.
    #[must_use]
    pub fn for_limit(limit: usize) -> Self {
        Self {
            probes: if limit <= 100 { 4 } else { 8 },
            rerank: limit.saturating_mul(2).max(256),
            subset: None,
        }
    }

    /// Everything: the order is that of MaxSim over all vectors as the index keeps them.
    #[must_use]
    pub fn exhaustive() -> Self {
        Self {
            probes: usize::MAX,
            rerank: usize::MAX,
            subset: None,
        }
    }
}

/// A passage with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredPassage {
    /// Its number.
    pub passage: u32,
    /// MaxSim: higher is better.
    pub score: f32,
}

impl LateIndex {
    /// The `limit` best documents for a query, given as rows of [`LateIndex::dim`] values, one after
    /// another. A document's score is its best passage's. Fewer are answered when the passages that
    /// were decompressed belong to fewer documents. No rows, no documents. Blocks.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for a query of another dimension, with numbers that are not
    /// finite or with too many rows; [`ErrorCode::Cancelled`] once `cancelled`;
    /// [`ErrorCode::EngineFailure`] when the index is damaged.
    pub fn search(
        &self,
        query: &[f32],
        limit: usize,
        how: &LateSearch<'_>,
        cancelled: &AtomicBool,
    ) -> Result<Ranking> {
        let passages = self.search_passages(query, limit, how, cancelled)?;
        max_p(&passages, limit, |passage| self.id(passage))
    }

    /// The passages that were decompressed, best first (of equals the lower number first): as many
    /// as [`LateSearch::rerank`] says and are found, at least `limit` if there are.
    ///
    /// # Errors
    /// As [`LateIndex::search`].
    pub fn search_passages(
        &self,
        query: &[f32],
        limit: usize,
        how: &LateSearch<'_>,
        cancelled: &AtomicBool,
    ) -> Result<Vec<ScoredPassage>> {
        let query = LateQuery::new(query, self.dim())?;
        let chosen = self.chosen(&query, limit, how, cancelled)?;
        self.decompressed(&query, &chosen, cancelled)
    }

    /// The passages that [`LateIndex::search_passages`] decompresses, ascending, for who scores them
    /// elsewhere: the best by their centroids alone. Some may have no token vectors.
    ///
    /// # Errors
    /// As [`LateIndex::search`].
    pub fn chosen(
        &self,
        query: &LateQuery,
        limit: usize,
        how: &LateSearch<'_>,
        cancelled: &AtomicBool,
    ) -> Result<Vec<u32>> {
        still_wanted(cancelled)?;
        if query.rows() == 0 || limit == 0 || self.is_empty() {
            return Ok(Vec::new());
        }
        let within = how.subset.map_or(self.len(), PassageSet::len);
        let rerank = how.rerank.max(limit);
        let mut probes = how.probes.max(1);
        let (probe, candidates) = loop {
            let probe = Probe::new(query, self.centroid_rows(), probes, cancelled)?;
            // So few passages are all candidates.
            let candidates = match how.subset {
                Some(subset) if within <= rerank => subset.clone(),
                subset => self.candidates(&probe, subset, cancelled)?,
            };
            if candidates.len() >= limit.min(within) || probes >= self.centroids() {
                break (probe, candidates);
            }
            probes = probes.saturating_mul(4);
        };
        self.interact(&probe, &candidates, rerank, cancelled)
    }

    /// The passages in the lists of the probed centroids.
    fn candidates(
        &self,
        probe: &Probe,
        subset: Option<&PassageSet>,
        cancelled: &AtomicBool,
    ) -> Result<PassageSet> {
        let mut candidates = PassageSet::new(self.len());
        for cell in &probe.cells {
            still_wanted(cancelled)?;
            for passage in self.list(*cell)? {
                if subset.is_none_or(|subset| subset.contains(*passage)) {
                    candidates.insert(*passage);
                }
            }
        }
        Ok(candidates)
    }

    /// The `count` best candidates by their centroids alone, ascending by number.
    fn interact(
        &self,
        probe: &Probe,
        candidates: &PassageSet,
        count: usize,
        cancelled: &AtomicBool,
    ) -> Result<Vec<u32>> {
        if candidates.len() <= count {
            return Ok(candidates.iter().collect());
        }
        let mut scored = Vec::with_capacity(candidates.len());
        for (at, passage) in candidates.iter().enumerate() {
            if at % STEP == 0 {
                still_wanted(cancelled)?;
            }
            let score = probe.interaction(self.codes_of(passage)?);
            let Some(score) = score else {
                return Err(self.broken("codes.u32", "it names centroids that are not there"));
            };
            scored.push(ScoredPassage { passage, score });
        }
        if let Some(last) = count.checked_sub(1) {
            scored.select_nth_unstable_by(last, ScoredPassage::rank_order);
        }
        let mut chosen: Vec<u32> = scored.iter().take(count).map(|it| it.passage).collect();
        // In the order of the files.
        chosen.sort_unstable();
        Ok(chosen)
    }

    /// The passages by MaxSim, best first.
    fn decompressed(
        &self,
        query: &LateQuery,
        passages: &[u32],
        cancelled: &AtomicBool,
    ) -> Result<Vec<ScoredPassage>> {
        let mut best = Maxima::new(query);
        let mut rows = vec![0.0; block_rows() * self.dim()];
        let mut scored = Vec::with_capacity(passages.len());
        for passage in passages {
            still_wanted(cancelled)?;
            let (mut start, end) = self.tokens_of(*passage)?;
            if start == end {
                continue;
            }
            best.clear();
            while start < end {
                let count = (end - start).min(block_rows() as u64);
                let rows = rows
                    .get_mut(..count as usize * self.dim())
                    .unwrap_or_default();
                self.decode(start, rows)?;
                best.take(rows);
                start += count;
            }
            scored.push(ScoredPassage {
                passage: *passage,
                score: best.sum(),
            });
        }
        scored.sort_unstable_by(ScoredPassage::rank_order);
        Ok(scored)
    }
}

impl ScoredPassage {
    fn rank_order(&self, other: &Self) -> Ordering {
        let score = other.score.total_cmp(&self.score);
        score.then(self.passage.cmp(&other.passage))
    }
}

/// The `limit` best documents of scored passages, each with its best passage's score (MaxP).
/// `document` answers the id of a passage's document.
///
/// # Errors
/// What `document` answers; [`ErrorCode::EngineFailure`] for a score that is not finite.
pub fn max_p<'a>(
    passages: &[ScoredPassage],
    limit: usize,
    document: impl Fn(u32) -> Result<&'a str>,
) -> Result<Ranking> {
    let mut best: HashMap<&str, f32> = HashMap::with_capacity(passages.len());
    for scored in passages {
        match best.entry(document(scored.passage)?) {
            Entry::Vacant(entry) => {
                entry.insert(scored.score);
            }
            Entry::Occupied(mut entry) => {
                // NaN stays, to be told of.
                if scored.score.is_nan() || scored.score > *entry.get() {
                    entry.insert(scored.score);
                }
            }
        }
    }
    let mut best: Vec<(&str, f32)> = best.into_iter().collect();
    let order = |a: &(&str, f32), b: &(&str, f32)| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0));
    if limit < best.len() {
        best.select_nth_unstable_by(limit, order);
        best.truncate(limit);
    }
    let hits = best
        .into_iter()
        .map(|(id, score)| Hit::new(id, f64::from(score)));
    Ranking::from_hits(hits.collect())
}

/// Fails once nobody waits for the answer.
pub(crate) fn still_wanted(cancelled: &AtomicBool) -> Result<()> {
    if cancelled.load(Atomic::Relaxed) {
        return Err(Error::new(ErrorCode::Cancelled, "the caller left"));
    }
    Ok(())
}
