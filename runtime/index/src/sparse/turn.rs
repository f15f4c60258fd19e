//! From documents to terms: blocks are written one after another, each by term; then, for as many
//! terms at once as fit in memory, what all blocks have of them is put together.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytemuck::{cast_slice, try_cast_slice};

use super::row::RowBuilder;
use crate::map::Mapped;

/// About how much memory the rows take that are put together at once, in bytes.
const AT_ONCE: usize = 64 << 20;
/// What an entry of a row takes besides its list, in bytes, at most.
const ENTRY_BYTES: usize = 7;
const FILE: &str = "blocks.u32";

/// What documents of a block have, by term: a number of terms, the terms' places, where the list of
/// each ends, and the lists, each of documents with their impacts.
pub(crate) struct Chunk {
    terms: Vec<u32>,
    ends: Vec<u32>,
    postings: Vec<[u8; 2]>,
}

impl Chunk {
    /// Of documents, at most 256, each as its terms' places and impacts.
    pub(crate) fn new(documents: &[Vec<(u32, u8)>]) -> Self {
        let mut entries: Vec<u64> = Vec::with_capacity(documents.iter().map(Vec::len).sum());
        for (document, weights) in (0_u64..).zip(documents) {
            let entry = |it: &(u32, u8)| u64::from(it.0) << 16 | document << 8 | u64::from(it.1);
            entries.extend(weights.iter().map(entry));
        }
        entries.sort_unstable();
        let (mut terms, mut ends) = (Vec::new(), Vec::new());
        for (end, entry) in (1..).zip(&entries) {
            let term = (entry >> 16) as u32;
            if terms.last() == Some(&term) {
                ends.pop();
            } else {
                terms.push(term);
            }
            ends.push(end);
        }
        let postings = entries
            .iter()
            .map(|it| [(it >> 8) as u8, *it as u8])
            .collect();
        Self {
            terms,
            ends,
            postings,
        }
    }
}

/// Writes blocks.
pub(crate) struct Turn {
    path: PathBuf,
    file: BufWriter<File>,
    /// Where each block ends, in numbers of 32 bits.
    ends: Vec<u64>,
    /// What each term's row takes, in bytes, about.
    sizes: Vec<usize>,
    postings: u64,
}

impl Turn {
    /// In a file in `dir`, for documents of `terms` terms.
    pub(crate) fn create(dir: &Path, terms: usize) -> io::Result<Self> {
        let path = dir.join(FILE);
        Ok(Self {
            file: BufWriter::with_capacity(1 << 18, File::create_new(&path)?),
            path,
            ends: Vec::new(),
            sizes: vec![0; terms],
            postings: 0,
        })
    }

    pub(crate) fn push(&mut self, chunk: &Chunk) -> io::Result<()> {
        let Chunk {
            terms,
            ends,
            postings,
        } = chunk;
        let mut start = 0;
        for (term, end) in terms.iter().zip(ends) {
            if let Some(size) = self.sizes.get_mut(*term as usize) {
                *size += ENTRY_BYTES + 2 * (end - start) as usize;
            }
            start = *end;
        }
        let padding = [[0_u8; 2]; 1];
        let padding = padding.get(..postings.len() % 2).unwrap_or_default();
        self.file.write_all(&(terms.len() as u32).to_le_bytes())?;
        self.file.write_all(cast_slice(terms))?;
        self.file.write_all(cast_slice(ends))?;
        self.file.write_all(postings.as_flattened())?;
        self.file.write_all(padding.as_flattened())?;
        let numbers = 1 + 2 * terms.len() + postings.len().div_ceil(2);
        self.ends
            .push(self.ends.last().copied().unwrap_or_default() + numbers as u64);
        self.postings += postings.len() as u64;
        Ok(())
    }

    /// How many weights all blocks have.
    pub(crate) fn postings(&self) -> u64 {
        self.postings
    }

    /// Calls `each` with the bytes of every term's row, in order, and removes the file.
    pub(crate) fn finish(
        mut self,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.file.flush()?;
        let blocks = self.ends.len();
        let map = Mapped::<u32>::open(&self.path, self.ends.last().copied().unwrap_or_default())?;
        let mut first = 0;
        while first < self.sizes.len() {
            let mut size = 0;
            let fits = |it: &&usize| {
                size += **it;
                size <= AT_ONCE
            };
            let sizes = self.sizes.iter().skip(first);
            let count = sizes.take_while(fits).count().max(1);
            let mut rows: Vec<RowBuilder> = Vec::new();
            rows.resize_with(count, RowBuilder::default);
            let mut start = 0;
            for (block, end) in (0_u32..).zip(&self.ends) {
                let numbers = map.range(start, *end).unwrap_or_default();
                push_block(numbers, block, first as u32, &mut rows);
                start = *end;
            }
            for row in rows {
                each(&row.finish(blocks))?;
            }
            first += count;
        }
        drop(map);
        fs::remove_file(&self.path)
    }
}

/// Adds what a block has of the terms from `first` on to their rows.
fn push_block(numbers: &[u32], block: u32, first: u32, rows: &mut [RowBuilder]) {
    let read = || {
        let (&terms, rest) = numbers.split_first()?;
        let (terms, rest) = rest.split_at_checked(terms as usize)?;
        let (ends, postings) = rest.split_at_checked(terms.len())?;
        let postings: &[[u8; 2]] = try_cast_slice(postings).ok()?;
        Some((terms, ends, postings))
    };
    let Some((terms, ends, postings)) = read() else {
        return;
    };
    let from = terms.partition_point(|it| *it < first);
    let mut start = from
        .checked_sub(1)
        .and_then(|it| ends.get(it))
        .copied()
        .unwrap_or_default();
    for (term, end) in terms.iter().zip(ends).skip(from) {
        let Some(row) = rows.get_mut((term - first) as usize) else {
            break;
        };
        row.push(
            block,
            postings
                .get(start as usize..*end as usize)
                .unwrap_or_default(),
        );
        start = *end;
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::Row;
    use super::*;

    #[test]
    fn rows_have_what_blocks_had() {
        let dir = tempfile::tempdir().unwrap();
        let mut turn = Turn::create(dir.path(), 5).unwrap();
        turn.push(&Chunk::new(&[vec![(0, 3), (4, 9)], vec![(4, 2)]]))
            .unwrap();
        turn.push(&Chunk::new(&[])).unwrap();
        turn.push(&Chunk::new(&[vec![(1, 1)], vec![(4, 200)], vec![(0, 6)]]))
            .unwrap();
        assert_eq!(turn.postings(), 6);
        let mut rows = Vec::new();
        let keep = |row: &[u8]| {
            let row: Vec<u64> = row
                .chunks(8)
                .map(|it| u64::from_le_bytes(it.try_into().unwrap()))
                .collect();
            rows.push(row);
            Ok(())
        };
        turn.finish(keep).unwrap();
        let impact = |term: usize, block, document| {
            Row::read(cast_slice(&rows[term]), 3)
                .unwrap()
                .impact(block, document)
        };
        assert_eq!(rows.len(), 5);
        assert_eq!(
            (impact(0, 0, 0), impact(0, 2, 2), impact(0, 1, 0)),
            (Some(3), Some(6), Some(0))
        );
        assert_eq!(
            (impact(4, 0, 1), impact(4, 2, 1), impact(1, 2, 0)),
            (Some(2), Some(200), Some(1))
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
