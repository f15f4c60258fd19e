//! A query term's way through its postings.

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::BlockSegmentPostings;
use tantivy::{DocId, TERMINATED};

use super::impact::Impacts;
use super::maxscore::Window;

/// A term's postings, the place in them, and what a posting can be worth.
pub(crate) struct TermCursor {
    postings: BlockSegmentPostings,
    at: usize,
    weight: f64,
    /// No posting of this term scores more.
    pub(crate) bound: u64,
}

/// What all cursors of a search read beside their postings.
pub(crate) struct Scoring<'a> {
    pub(crate) impacts: &'a Impacts,
    pub(crate) norms: &'a FieldNormReader,
}

impl TermCursor {
    pub(crate) fn new(postings: BlockSegmentPostings, weight: f64) -> Self {
        Self {
            postings,
            at: 0,
            weight,
            bound: ceil(weight),
        }
    }

    /// The document under the cursor; [`TERMINATED`] at the end.
    pub(crate) fn doc(&self) -> DocId {
        self.postings
            .docs()
            .get(self.at)
            .copied()
            .unwrap_or(TERMINATED)
    }

    /// Adds this term's scores to all its documents in the window, leaving out blocks in which no
    /// document can reach `floor` even if all `others` gave it their most.
    pub(crate) fn add_to(
        &mut self,
        window: &mut Window,
        scoring: &Scoring<'_>,
        floor: u64,
        others: u64,
    ) {
        let end = window.end();
        while self.doc() < end {
            let hopeless = floor > 0 && self.block_bound(scoring).saturating_add(others) < floor;
            let (docs, freqs) = (self.postings.docs(), self.postings.freqs());
            let stop = match docs.last() {
                Some(last) if *last >= end => docs.partition_point(|doc| *doc < end),
                _ => docs.len(),
            };
            // A damaged block need not be sorted; move on all the same.
            let stop = stop.max(self.at + 1);
            if !hopeless {
                let docs = docs.iter().zip(freqs).take(stop).skip(self.at);
                for (doc, freq) in docs {
                    let norm = scoring.norms.fieldnorm_id(*doc);
                    window.add(*doc, value(self.weight, scoring.impacts.share(norm, *freq)));
                }
            }
            if stop >= docs.len() {
                self.postings.advance();
                self.at = 0;
            } else {
                self.at = stop;
            }
        }
    }

    /// What this term gives `doc`. Documents must be asked for in ascending order.
    pub(crate) fn score_of(&mut self, doc: DocId, scoring: &Scoring<'_>) -> u64 {
        self.at = self.postings.seek(doc);
        if self.doc() != doc {
            return 0;
        }
        let freq = self.postings.freqs().get(self.at).copied().unwrap_or(1);
        value(
            self.weight,
            scoring.impacts.share(scoring.norms.fieldnorm_id(doc), freq),
        )
    }

    fn block_bound(&mut self, scoring: &Scoring<'_>) -> u64 {
        let best = self
            .postings
            .block_max_score(scoring.norms, scoring.impacts.block_weight());
        ceil(self.weight * scoring.impacts.share_bound(best))
    }
}

/// A score in units; rounding down is monotone, so bounds of shares bound scores.
fn value(weight: f64, share: f64) -> u64 {
    (weight * share) as u64
}

fn ceil(bound: f64) -> u64 {
    (bound as u64).saturating_add(1)
}
