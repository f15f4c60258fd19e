//! What all documents have of one term: what each block reaches at most, and the impacts, block after
//! block.
//!
//! ```text
//! present   how many blocks have the term (u32), and nothing (u32)
//! places    their numbers, ascending (u32 each); left out when a third of all blocks or more have
//!           the term: then there is an entry for every block
//! anchors   for every 16 entries where the first one's list starts in `lists` (u32)
//! maxima    for each entry the block's largest impact (u8), 0 when it has none
//! lengths   for each entry how many documents of the block have the term (u8); 255 when there are
//!           128 or more
//! lists     for each entry: a document's number in its block and its impact (u8 each), one after
//!           another; at length 255 the impacts of all 256 documents
//! ```

use bytemuck::{cast_slice, try_cast_slice};

use super::{BLOCK, TILE};

/// Entries between two anchors.
const STEP: usize = 16;
/// The length of a list that has all documents.
const ALL: u8 = u8::MAX;
/// Bytes before the rest.
const HEAD: usize = 8;

/// Collects a row block by block.
#[derive(Default)]
pub(crate) struct RowBuilder {
    places: Vec<u32>,
    maxima: Vec<u8>,
    lengths: Vec<u8>,
    lists: Vec<u8>,
}

impl RowBuilder {
    /// Adds the next block that has the term: its number, and its documents, ascending, with their
    /// impacts.
    pub(crate) fn push(&mut self, block: u32, postings: &[[u8; 2]]) {
        self.places.push(block);
        self.maxima
            .push(postings.iter().map(|it| it[1]).max().unwrap_or_default());
        if postings.len() * 2 < BLOCK {
            self.lengths.push(postings.len() as u8);
            self.lists.extend_from_slice(postings.as_flattened());
            return;
        }
        self.lengths.push(ALL);
        let mut impacts = [0; BLOCK];
        for [document, impact] in postings {
            if let Some(place) = impacts.get_mut(usize::from(*document)) {
                *place = *impact;
            }
        }
        self.lists.extend(impacts);
    }

    /// The row's bytes, a multiple of 8, in an index of `blocks` blocks.
    pub(crate) fn finish(mut self, blocks: usize) -> Vec<u8> {
        let present = self.places.len();
        let mut bytes = Vec::with_capacity(HEAD + 4 * blocks + self.lists.len());
        bytes.extend_from_slice(cast_slice(&[present as u32, 0]));
        if everywhere(present, blocks) {
            let spread = |values: &[u8]| {
                let mut spread = vec![0; blocks];
                for (place, value) in self.places.iter().zip(values) {
                    if let Some(entry) = spread.get_mut(*place as usize) {
                        *entry = *value;
                    }
                }
                spread
            };
            (self.maxima, self.lengths) = (spread(&self.maxima), spread(&self.lengths));
        } else {
            bytes.extend_from_slice(cast_slice(&self.places));
        }
        let mut start = 0;
        for lengths in self.lengths.chunks(STEP) {
            bytes.extend_from_slice(&u32::to_le_bytes(start as u32));
            start += lengths.iter().map(|it| list_bytes(*it)).sum::<usize>();
        }
        bytes.extend_from_slice(&self.maxima);
        bytes.extend_from_slice(&self.lengths);
        bytes.extend_from_slice(&self.lists);
        bytes.resize(bytes.len().next_multiple_of(size_of::<u64>()), 0);
        bytes
    }
}

/// Whether a row has an entry for every block.
fn everywhere(present: usize, blocks: usize) -> bool {
    present * 3 >= blocks
}

/// Bytes of a list.
#[inline(always)]
fn list_bytes(length: u8) -> usize {
    if length == ALL {
        BLOCK
    } else {
        usize::from(length) * 2
    }
}

/// A row of a file that is not trusted.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    /// The blocks of the entries; `None` when there is an entry for every block.
    places: Option<&'a [u32]>,
    anchors: &'a [u32],
    maxima: &'a [u8],
    lengths: &'a [u8],
    lists: &'a [u8],
}

/// What a block has of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List<'a> {
    /// Documents with their impacts.
    Some(&'a [[u8; 2]]),
    /// The impacts of all documents, 0 for those without the term.
    All(&'a [u8; BLOCK]),
}

impl<'a> Row<'a> {
    /// Reads what is before the lists, in an index of `blocks` blocks; `None` when it is damaged.
    pub(crate) fn read(bytes: &'a [u8], blocks: usize) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let head: &[u32] = try_cast_slice(head).ok()?;
        let present = *head.first()? as usize;
        let (places, entries) = if everywhere(present, blocks) {
            (0, blocks)
        } else {
            (present, present)
        };
        if entries > blocks {
            return None;
        }
        let numbers = places + entries.div_ceil(STEP);
        let (numbers, rest) = rest.split_at_checked(numbers * size_of::<u32>())?;
        let numbers: &[u32] = try_cast_slice(numbers).ok()?;
        let (named, anchors) = numbers.split_at_checked(places)?;
        let (maxima, rest) = rest.split_at_checked(entries)?;
        let (lengths, lists) = rest.split_at_checked(entries)?;
        Some(Self {
            places: (places > 0).then_some(named),
            anchors,
            maxima,
            lengths,
            lists,
        })
    }

    /// The blocks of the entries, `None` when there is one for every block, and their maxima.
    pub(crate) fn maxima(&self) -> (Option<&'a [u32]>, &'a [u8]) {
        (self.places, self.maxima)
    }

    /// Calls `each` with the blocks of a tile that are chosen, by their numbers in it, and that have
    /// the term. `None` when the row is damaged.
    #[inline(always)]
    pub(crate) fn tile(
        &self,
        tile: usize,
        chosen: u32,
        mut each: impl FnMut(usize, List<'a>),
    ) -> Option<()> {
        let first = tile * TILE;
        let (start, end) = match self.places {
            None => (
                first.min(self.lengths.len()),
                (first + TILE).min(self.lengths.len()),
            ),
            Some(places) => {
                let start = places.partition_point(|it| (*it as usize) < first);
                let here = places.get(start..)?.iter().take(TILE);
                (
                    start,
                    start + here.take_while(|it| (**it as usize) < first + TILE).count(),
                )
            }
        };
        if start == end {
            return Some(());
        }
        let anchor = start / STEP;
        let before = self
            .lengths
            .get(anchor * STEP..start)?
            .iter()
            .map(|it| list_bytes(*it));
        let mut at = *self.anchors.get(anchor)? as usize + before.sum::<usize>();
        for (entry, length) in (start..).zip(self.lengths.get(start..end)?) {
            let list_end = at + list_bytes(*length);
            let block = match self.places {
                None => entry - first,
                Some(places) => (*places.get(entry)? as usize).wrapping_sub(first),
            };
            if *length > 0 && chosen >> (block % TILE) & 1 == 1 {
                let list = self.lists.get(at..list_end)?;
                each(
                    block % TILE,
                    match list.try_into() {
                        Ok(all) if *length == ALL => List::All(all),
                        _ => List::Some(list.as_chunks().0),
                    },
                );
            }
            at = list_end;
        }
        Some(())
    }

    /// The impact for a document of a block, 0 when it has none; `None` when the row is damaged.
    pub(crate) fn impact(&self, block: usize, document: u8) -> Option<u8> {
        let mut found = 0;
        self.tile(block / TILE, 1 << (block % TILE), |_, list| {
            found = match list {
                List::Some(list) => list
                    .iter()
                    .find(|it| it[0] == document)
                    .map_or(0, |it| it[1]),
                List::All(list) => list.get(usize::from(document)).copied().unwrap_or_default(),
            };
        })?;
        Some(found)
    }
}

// A document is a byte, a shorter list's length is not 255, and the blocks of a tile are bits.
const _: () = assert!(BLOCK == 256 && TILE <= 32);

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned(bytes: &[u8]) -> Vec<u64> {
        bytes
            .chunks(8)
            .map(|it| u64::from_le_bytes(it.try_into().unwrap()))
            .collect()
    }

    /// The impact for a document of a block, under a term that one in `rare` blocks has.
    fn impact(rare: u32, block: u32, document: u8) -> u8 {
        let here = block.is_multiple_of(rare);
        let many = block.is_multiple_of(5);
        let has = here
            && if many {
                document.is_multiple_of(2)
            } else {
                u32::from(document) % 9 == block % 9
            };
        if has {
            document.wrapping_add(block as u8) | 1
        } else {
            0
        }
    }

    #[test]
    fn every_impact_is_found_again() {
        for (rare, blocks) in [(1, 100), (2, 33), (3, 100), (7, 100), (40, 41), (1, 1)] {
            let mut row = RowBuilder::default();
            for block in (0..blocks).filter(|it| it % rare == 0) {
                let postings: Vec<[u8; 2]> = (0..=255)
                    .map(|document| [document, impact(rare, block, document)])
                    .filter(|it| it[1] > 0)
                    .collect();
                row.push(block, &postings);
            }
            let bytes = aligned(&row.finish(blocks as usize));
            let row = Row::read(cast_slice(&bytes), blocks as usize).unwrap();
            let (places, maxima) = row.maxima();
            assert_eq!(places.is_none(), rare <= 3);
            for block in 0..blocks {
                let impacts = (0..=255).map(|document| impact(rare, block, document));
                let entry = places.map_or(Some(block as usize), |it| it.binary_search(&block).ok());
                assert_eq!(
                    entry.map_or(0, |it| maxima[it]),
                    impacts.clone().max().unwrap()
                );
                for (document, wanted) in (0..=255).zip(impacts) {
                    assert_eq!(row.impact(block as usize, document), Some(wanted));
                }
            }
            assert_eq!(row.impact(blocks as usize + 50, 0), Some(0));
        }
    }

    #[test]
    fn damage_is_noticed_and_never_a_panic() {
        for blocks in [3, 20] {
            let mut row = RowBuilder::default();
            row.push(0, &[[7, 9]]);
            row.push(2, &[[0, 1], [9, 3]]);
            let good = aligned(&row.finish(blocks));
            let read = |bytes: &[u64]| {
                let row = Row::read(cast_slice(bytes), blocks)?;
                Some([row.impact(0, 7)?, row.impact(2, 9)?])
            };
            assert_eq!(read(&good), Some([9, 3]));
            assert_eq!(read(&good[..2]), None);
            assert_eq!(read(&[]), None);
            for at in 0..good.len() {
                for bit in 0..64 {
                    let mut bad = good.clone();
                    bad[at] ^= 1 << bit;
                    read(&bad);
                }
            }
        }
    }
}
