//! The hot part of every merger: sums per document, and the ranking of the sums.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};
use routir_core::{DocId, Error, ErrorCode, Hit, Ranking, Result};

/// Sums per document, in the order in which documents first appear.
///
/// Documents are looked up by their text as it stands in the input, hashed with a key that is
/// random in each process: ids come from outside, so they must not be able to choose collisions.
pub(crate) struct Tally<'a> {
    hasher: DefaultHashBuilder,
    places: HashTable<u32>,
    slots: Vec<Slot<'a>>,
}

struct Slot<'a> {
    doc: &'a DocId,
    sum: Sum,
    /// How many lists with a weight above 0 hold the document.
    lists: u32,
    /// The list that added to it last.
    last: u32,
}

impl<'a> Tally<'a> {
    /// An empty tally for the documents of `rankings`.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`] for over four thousand million hits.
    pub(crate) fn new(rankings: &[Arc<Ranking>]) -> Result<Self> {
        let hits: usize = rankings.iter().map(|ranking| ranking.len()).sum();
        if u32::try_from(hits).is_err() {
            let message = format!("cannot fuse {hits} hits; the most is {}", u32::MAX);
            return Err(Error::new(ErrorCode::TooLarge, message));
        }
        // Lists overlap: many lists seldom have many more documents than the longest of them.
        let longest = rankings
            .iter()
            .map(|ranking| ranking.len())
            .max()
            .unwrap_or(0);
        let room = hits.min(2 * longest);
        Ok(Self {
            hasher: DefaultHashBuilder::default(),
            places: HashTable::with_capacity(room),
            slots: Vec::with_capacity(room),
        })
    }

    /// Adds what list number `list` gives each of its hits: `value(rank, score)`, rank from 1.
    /// `counts` says whether the list counts as holding the document.
    pub(crate) fn add_list(
        &mut self,
        list: u32,
        ranking: &'a Ranking,
        counts: bool,
        value: impl Fn(usize, f64) -> f64,
    ) {
        for (rank, hit) in (1..).zip(ranking) {
            self.add(list, &hit.doc, counts, value(rank, hit.score));
        }
    }

    fn add(&mut self, list: u32, doc: &'a DocId, counts: bool, value: f64) {
        let hash = hash_of(&self.hasher, doc);
        let same = |place: &u32| {
            self.slots
                .get(*place as usize)
                .is_some_and(|s| s.doc == doc)
        };
        let rehash = |place: &u32| {
            let slot = self.slots.get(*place as usize);
            slot.map_or(0, |slot| hash_of(&self.hasher, slot.doc))
        };
        match self.places.entry(hash, same, rehash) {
            Entry::Occupied(place) => {
                if let Some(slot) = self.slots.get_mut(*place.get() as usize)
                    && slot.last != list
                {
                    slot.sum.add(value);
                    slot.lists += u32::from(counts);
                    slot.last = list;
                }
            }
            Entry::Vacant(place) => {
                place.insert(self.slots.len() as u32); // At most u32::MAX hits.
                let sum = Sum {
                    high: value,
                    low: 0.0,
                };
                let lists = u32::from(counts);
                self.slots.push(Slot {
                    doc,
                    sum,
                    lists,
                    last: list,
                });
            }
        }
    }

    /// The `limit` best documents by `score(sum, lists that hold it)`.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::EngineFailure`] when a score among them is not finite: the input's
    /// scores are too large to add.
    pub(crate) fn rank(
        self,
        limit: Option<usize>,
        score: impl Fn(f64, u32) -> f64,
    ) -> Result<Ranking> {
        drop(self.places);
        // Keys grow as scores fall, so that they sort as whole numbers.
        let key = |slot: &Slot<'a>| falling_key(score(slot.sum.rounded(), slot.lists));
        let mut order: Vec<_> = self
            .slots
            .iter()
            .map(|slot| (key(slot), slot.doc))
            .collect();
        sort_best(&mut order, limit.unwrap_or(usize::MAX));
        let hit = |(key, doc): (u64, &DocId)| Hit {
            doc: doc.clone(),
            score: score_of(key),
        };
        Ranking::from_hits(order.into_iter().map(hit).collect())
    }
}

fn hash_of(hasher: &DefaultHashBuilder, doc: &DocId) -> u64 {
    // The bytes alone: what `Hash` adds to keep fields apart is not needed for a single one.
    let mut state = hasher.build_hasher();
    state.write(doc.as_bytes());
    state.finish()
}

/// Sorts by key, then document, and keeps the first `limit`.
///
/// Keys alone are sorted first, which needs no branches; then what ties is sorted by document.
fn sort_best(order: &mut Vec<(u64, &DocId)>, limit: usize) {
    if limit == 0 {
        order.clear();
    } else if limit < order.len() {
        let (_, &mut (worst, _), _) = order.select_nth_unstable_by_key(limit - 1, |(key, _)| *key);
        // What ties with the last place may stand on either side of it.
        order.retain(|(key, _)| *key <= worst);
    }
    order.sort_unstable_by_key(|(key, _)| *key);
    for ties in order
        .chunk_by_mut(|(a, _), (b, _)| a == b)
        .filter(|ties| ties.len() > 1)
    {
        ties.sort_unstable_by_key(|(_, doc)| *doc);
    }
    order.truncate(limit);
}

/// A sum in twice the precision of its parts, so that their order does not show in the result.
#[derive(Clone, Copy)]
struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    /// Knuth's two-sum: what rounding takes from `high` is kept in `low`.
    fn add(&mut self, value: f64) {
        let sum = self.high + value;
        let part = sum - self.high;
        self.low += (self.high - (sum - part)) + (value - part);
        self.high = sum;
    }

    fn rounded(self) -> f64 {
        // An overflow leaves a NaN in `low`; the infinity says better what happened.
        if self.high.is_finite() {
            self.high + self.low
        } else {
            self.high
        }
    }
}

const SIGN: u64 = 1 << 63;

/// A whole number that grows as the score falls; -0.0 and 0.0 share one.
fn falling_key(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    !(if bits & SIGN == 0 { bits | SIGN } else { !bits })
}

/// The score that has this key.
fn score_of(key: u64) -> f64 {
    let bits = !key;
    f64::from_bits(if bits & SIGN == 0 {
        !bits
    } else {
        bits & !SIGN
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranking(hits: &[(&str, f64)]) -> Ranking {
        Ranking::from_hits(
            hits.iter()
                .map(|(doc, score)| Hit::new(*doc, *score))
                .collect(),
        )
        .unwrap()
    }

    #[test]
    fn a_document_twice_in_a_list_counts_once_where_it_stands_first() {
        let list = ranking(&[("a", 3.0), ("b", 2.0), ("a", 1.0)]);
        let mut tally = Tally::new(&[]).unwrap();
        tally.add_list(0, &list, true, |_, score| score);
        tally.add_list(1, &list, true, |_, score| score);
        let fused = tally
            .rank(None, |sum, lists| sum * f64::from(lists))
            .unwrap();
        assert_eq!(fused, ranking(&[("a", 12.0), ("b", 8.0)]));
    }

    #[test]
    fn sums_that_overflow_are_an_error_that_names_the_document() {
        let list = ranking(&[("big", f64::MAX), ("small", 1.0)]);
        let mut tally = Tally::new(&[]).unwrap();
        tally.add_list(0, &list, true, |_, score| score);
        tally.add_list(1, &list, true, |_, score| score);
        let error = tally.rank(Some(1), |sum, _| sum).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the score of document `big` is inf, not a finite number"
        );
    }

    #[test]
    fn sums_do_not_depend_on_the_order_of_their_parts() {
        let parts = [0.1, 1.0 / 3.0, 1e-9, 1e9, -1e9, 1.0 / 61.0, 1.0 / 7.0];
        let total = |parts: &mut dyn Iterator<Item = &f64>| {
            let mut sum = Sum {
                high: 0.0,
                low: 0.0,
            };
            parts.for_each(|part| sum.add(*part));
            sum.rounded()
        };
        let (forth, back) = (total(&mut parts.iter()), total(&mut parts.iter().rev()));
        assert_eq!(forth.to_bits(), back.to_bits());
        let naive: f64 = parts.iter().sum();
        assert_ne!(
            naive,
            parts.iter().rev().sum::<f64>(),
            "the plain sum does depend on it"
        );
    }

    proptest! {
        #[test]
        fn keys_order_scores_and_give_them_back(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(!a.is_nan() && !b.is_nan());
            prop_assert_eq!(score_of(falling_key(a)), a);
            prop_assert_eq!(falling_key(a).cmp(&falling_key(b)), b.partial_cmp(&a).unwrap());
        }
    }
}
