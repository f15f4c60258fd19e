//! The k best documents of a disjunction, leaving out what cannot matter (MaxScore).
//!
//! Once k documents are known, the terms of least weight that together cannot lift a document to
//! the k-th score are only looked up for documents that the other, *essential* terms found. The
//! essential ones are added up window by window. Bounds are compared strictly, so a document that
//! ties with the k-th is never left out: the answer is that of scoring everything.

use std::sync::atomic::{AtomicBool, Ordering};

use tantivy::{DocId, TERMINATED};

use super::cursor::{Scoring, TermCursor};
use crate::top::{TieOrder, Top};

const WINDOW: u32 = 4096;

/// The scores so far of a run of consecutive documents.
pub(crate) struct Window {
    base: DocId,
    scores: Vec<u64>,
    seen: Vec<u64>,
}

impl Window {
    fn new() -> Self {
        Self {
            base: 0,
            scores: vec![0; WINDOW as usize],
            seen: vec![0; WINDOW as usize / 64],
        }
    }

    /// The first document behind it.
    pub(crate) fn end(&self) -> DocId {
        self.base.saturating_add(WINDOW).min(TERMINATED)
    }

    /// Adds `score` to `doc`, which is now seen; documents outside are left alone.
    #[inline]
    pub(crate) fn add(&mut self, doc: DocId, score: u64) {
        let at = doc.wrapping_sub(self.base) as usize;
        if let (Some(sum), Some(word)) = (self.scores.get_mut(at), self.seen.get_mut(at / 64)) {
            *sum += score;
            *word |= 1 << (at % 64);
        }
    }

    /// Calls `each` with every seen document in ascending order, and forgets them.
    fn drain(&mut self, mut each: impl FnMut(DocId, u64)) {
        for (word, scores) in self.seen.iter_mut().zip(self.scores.chunks_mut(64)) {
            let mut bits = std::mem::take(word);
            while bits != 0 {
                let bit = bits.trailing_zeros();
                bits &= bits - 1;
                if let Some(score) = scores.get_mut(bit as usize) {
                    each(self.base + bit, std::mem::take(score));
                }
            }
            self.base += 64;
        }
    }
}

/// The `limit` best documents by the sum of the terms' scores, best first; `None` when `cancelled`
/// was set on the way.
pub(crate) fn top_k(
    mut terms: Vec<TermCursor>,
    scoring: &Scoring<'_>,
    limit: usize,
    ties: &TieOrder<'_>,
    cancelled: &AtomicBool,
) -> Option<Vec<(u64, DocId)>> {
    terms.sort_by_key(|term| term.bound);
    // bounds[i] bounds the sum of the first i terms.
    let mut bounds = vec![0_u64];
    bounds.extend(terms.iter().scan(0_u64, |sum, term| {
        *sum = sum.saturating_add(term.bound);
        Some(*sum)
    }));
    let all = bounds.last().copied().unwrap_or(0);
    let mut top = Top::new(limit, ties);
    let mut window = Window::new();
    if limit == 0 {
        return Some(Vec::new());
    }
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return None;
        }
        let floor = top.floor();
        let looked_up = bounds
            .iter()
            .skip(1)
            .take_while(|bound| **bound < floor)
            .count();
        let (optional, essential) = terms.split_at_mut(looked_up);
        let Some(first) = essential.iter().map(TermCursor::doc).min() else {
            break;
        };
        if first >= TERMINATED {
            break;
        }
        window.base = first;
        for term in essential {
            let others = all - term.bound;
            term.add_to(&mut window, scoring, floor, others);
        }
        window.drain(|doc, score| {
            let mut score = score;
            for (term, bound) in optional.iter_mut().zip(bounds.iter().skip(1)).rev() {
                if score.saturating_add(*bound) < top.floor() {
                    return;
                }
                score += term.score_of(doc, scoring);
            }
            if score >= top.floor() {
                top.push(score, doc);
            }
        });
    }
    Some(top.into_ranking())
}
