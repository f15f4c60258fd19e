//! Documents as small numbers: what a fusion sees of them.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};
use routir_core::{DocId, Error, ErrorCode, Ranking, Result};

/// The documents of one fusion. A handle is a place in here, from 0 without gaps, in the order in
/// which documents first appear.
#[derive(Debug)]
pub(crate) struct Candidates {
    rankings: Vec<Arc<Ranking>>,
    /// Where each document first appears: its ranking, and its place in it.
    first: Vec<(u32, u32)>,
}

/// One of the rankings, in handles, as it crosses.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Column {
    /// Handles, best first, each once.
    pub(crate) docs: Vec<u32>,
    /// Their scores.
    pub(crate) scores: Vec<f64>,
}

impl Candidates {
    /// Gives every document of `rankings` its handle. A document that a ranking holds twice is in
    /// its column once, where it stands first, as in native fusions.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`] for over four thousand million hits.
    pub(crate) fn new(rankings: Vec<Arc<Ranking>>) -> Result<(Self, Vec<Column>)> {
        let hits: usize = rankings.iter().map(|ranking| ranking.len()).sum();
        if u32::try_from(hits).is_err() {
            let message = format!("cannot fuse {hits} hits; the most is {}", u32::MAX);
            return Err(Error::new(ErrorCode::TooLarge, message));
        }
        let (columns, first) = intern(&rankings, hits);
        Ok((Self { rankings, first }, columns))
    }

    /// How many documents there are.
    pub(crate) fn len(&self) -> usize {
        self.first.len()
    }

    /// The document behind a handle, if it was given out.
    pub(crate) fn doc(&self, handle: u32) -> Option<&DocId> {
        let (ranking, place) = self.first.get(usize::try_from(handle).ok()?)?;
        let ranking = self.rankings.get(*ranking as usize)?;
        ranking.hits().get(*place as usize).map(|hit| &hit.doc)
    }
}

struct Slot<'a> {
    doc: &'a DocId,
    /// The ranking that held it last.
    last: u32,
}

fn intern(rankings: &[Arc<Ranking>], hits: usize) -> (Vec<Column>, Vec<(u32, u32)>) {
    // Lists overlap: many lists seldom have many more documents than the longest of them.
    let longest = rankings.iter().map(|r| r.len()).max().unwrap_or(0);
    let room = hits.min(2 * longest);
    let hasher = DefaultHashBuilder::default();
    let mut handles: HashTable<u32> = HashTable::with_capacity(room);
    let mut slots: Vec<Slot<'_>> = Vec::with_capacity(room);
    let mut first = Vec::with_capacity(room);
    let mut columns = Vec::with_capacity(rankings.len());
    for (list, ranking) in (0_u32..).zip(rankings) {
        let mut column = Column {
            docs: Vec::with_capacity(ranking.len()),
            scores: Vec::with_capacity(ranking.len()),
        };
        for (place, hit) in (0_u32..).zip(ranking.hits()) {
            let doc = &hit.doc;
            let same = |handle: &u32| slots.get(*handle as usize).is_some_and(|s| s.doc == doc);
            let rehash = |handle: &u32| {
                let slot = slots.get(*handle as usize);
                slot.map_or(0, |slot| hash_of(&hasher, slot.doc))
            };
            let handle = match handles.entry(hash_of(&hasher, doc), same, rehash) {
                Entry::Occupied(known) => {
                    let handle = *known.get();
                    match slots.get_mut(handle as usize) {
                        Some(slot) if slot.last != list => slot.last = list,
                        _ => continue,
                    }
                    handle
                }
                Entry::Vacant(free) => {
                    let handle = slots.len() as u32; // At most u32::MAX hits.
                    free.insert(handle);
                    slots.push(Slot { doc, last: list });
                    first.push((list, place));
                    handle
                }
            };
            column.docs.push(handle);
            column.scores.push(hit.score);
        }
        columns.push(column);
    }
    (columns, first)
}

/// With a key that is random in each process: ids come from outside, so they must not be able to
/// choose collisions.
fn hash_of(hasher: &DefaultHashBuilder, doc: &DocId) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(doc.as_bytes());
    state.finish()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use routir_core::Hit;

    use super::*;

    pub(crate) fn ranking(hits: &[(&str, f64)]) -> Arc<Ranking> {
        let hits = hits.iter().map(|(id, score)| Hit::new(*id, *score));
        Arc::new(Ranking::from_hits(hits.collect()).unwrap())
    }

    #[test]
    fn a_document_has_one_handle_in_all_lists() {
        let lists = vec![
            ranking(&[("a", 3.0), ("b", 2.0)]),
            ranking(&[]),
            ranking(&[("c", 9.0), ("a", 1.0)]),
        ];
        let (candidates, columns) = Candidates::new(lists).unwrap();
        let docs: Vec<_> = columns.iter().map(|column| column.docs.clone()).collect();
        assert_eq!(docs, [vec![0, 1], vec![], vec![2, 0]]);
        assert_eq!(columns[2].scores, [9.0, 1.0]);
        assert_eq!(candidates.len(), 3);
        assert_eq!(candidates.doc(2).map(DocId::as_str), Some("c"));
        assert_eq!(candidates.doc(3), None);
        assert_eq!(candidates.doc(u32::MAX), None);
    }

    #[test]
    fn a_document_twice_in_one_list_counts_where_it_stands_first() {
        let (candidates, columns) =
            Candidates::new(vec![ranking(&[("a", 3.0), ("b", 2.0), ("a", 1.0)])]).unwrap();
        assert_eq!(columns[0].docs, [0, 1]);
        assert_eq!(columns[0].scores, [3.0, 2.0]);
        assert_eq!(candidates.len(), 2);
    }

    proptest! {
        #[test]
        fn handles_are_dense_and_lead_back(
            lists in prop::collection::vec(prop::collection::vec((0_u8..40, -5.0..5.0), 0..30), 0..6)
        ) {
            let rankings: Vec<_> = lists
                .iter()
                .map(|list| {
                    let hits = list.iter().map(|(id, score)| Hit::new(format!("d{id}"), *score));
                    Arc::new(Ranking::from_hits(hits.collect()).unwrap())
                })
                .collect();
            let (candidates, columns) = Candidates::new(rankings.clone()).unwrap();
            let mut given: Vec<u32> = columns.iter().flat_map(|c| c.docs.clone()).collect();
            given.sort_unstable();
            given.dedup();
            prop_assert_eq!(given, (0..candidates.len() as u32).collect::<Vec<_>>());
            for (ranking, column) in rankings.iter().zip(&columns) {
                let mut once: Vec<(DocId, f64)> = Vec::new();
                for hit in ranking.hits() {
                    if !once.iter().any(|(doc, _)| *doc == hit.doc) {
                        once.push((hit.doc.clone(), hit.score));
                    }
                }
                let back = column.docs.iter().zip(&column.scores);
                let back: Vec<_> = back
                    .map(|(handle, score)| (candidates.doc(*handle).unwrap().clone(), *score))
                    .collect();
                prop_assert_eq!(back, once);
            }
        }
    }
}
