//! The k best documents seen so far, in total order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Orders two documents with equal scores: by their ids, ascending.
pub(crate) type TieOrder<'a> = dyn Fn(u32, u32) -> Ordering + 'a;

/// A bounded heap of the `limit` best documents, its worst on top.
///
/// Ids are compared only between equal scores. Its worst case is a query under which very many
/// documents tie at the cut: each of them costs one comparison of ids with the worst kept one (two
/// reads of the id files), and a logarithm more when it takes that one's place.
pub(crate) struct Top<'a> {
    limit: usize,
    heap: BinaryHeap<Entry<'a>>,
    ties: &'a TieOrder<'a>,
}

struct Entry<'a> {
    score: u64,
    doc: u32,
    ties: &'a TieOrder<'a>,
}

impl Entry<'_> {
    fn rank_order(&self, other: &Self) -> Ordering {
        other.score.cmp(&self.score).then_with(|| {
            if self.doc == other.doc {
                Ordering::Equal
            } else {
                (self.ties)(self.doc, other.doc)
            }
        })
    }
}

impl Ord for Entry<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank_order(other)
    }
}

impl PartialOrd for Entry<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry<'_> {}

impl<'a> Top<'a> {
    pub(crate) fn new(limit: usize, ties: &'a TieOrder<'a>) -> Self {
        Self {
            limit,
            heap: BinaryHeap::new(),
            ties,
        }
    }

    /// The least score that can still get in, by winning a tie if it is the worst one's.
    pub(crate) fn floor(&self) -> u64 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() >= self.limit => worst.score,
            _ => 0,
        }
    }

    pub(crate) fn push(&mut self, score: u64, doc: u32) {
        let entry = Entry {
            score,
            doc,
            ties: self.ties,
        };
        if self.heap.len() < self.limit {
            self.heap.push(entry);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && entry < *worst
        {
            *worst = entry;
        }
    }

    /// Scores and documents, best first.
    pub(crate) fn into_ranking(self) -> Vec<(u64, u32)> {
        self.heap
            .into_sorted_vec()
            .into_iter()
            .map(|entry| (entry.score, entry.doc))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_at_the_cut_go_to_the_smaller_id() {
        // Ids run against document numbers, so that the order of arrival is the wrong one.
        let ties = |a: u32, b: u32| b.cmp(&a);
        for limit in 0..6 {
            let mut top = Top::new(limit, &ties);
            for (score, doc) in [(1, 0), (2, 1), (1, 2), (1, 3), (0, 4)] {
                top.push(score, doc);
            }
            let all = [(2, 1), (1, 3), (1, 2), (1, 0), (0, 4)];
            assert_eq!(top.into_ranking(), all[..limit.min(5)]);
        }
    }
}
