//! Sorting more entries than should be held in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::entry::{ENTRY_BYTES, Entry};

/// How many entries are held in memory before they go to disk: 128 MiB of them.
pub(super) const HELD: usize = 8 << 20;

/// How many entries of a run are read back at once.
const READ_BACK: usize = 16 << 10;

/// Takes entries in any order and gives them back sorted. What does not fit in memory lies in
/// sorted runs in a file without a name, which the system removes whatever happens.
pub(super) struct Sorter {
    dir: PathBuf,
    held: Vec<Entry>,
    limit: usize,
    file: Option<File>,
    /// Where each run ends in the file, in bytes.
    ends: Vec<u64>,
}

impl Sorter {
    /// A sorter that holds `limit` entries and puts the rest into files in `dir`.
    pub(super) fn new(dir: PathBuf, limit: usize) -> Self {
        Self {
            dir,
            held: Vec::new(),
            limit,
            file: None,
            ends: Vec::new(),
        }
    }

    /// Takes one entry.
    pub(super) fn push(&mut self, entry: Entry) -> io::Result<()> {
        self.held.push(entry);
        if self.held.len() >= self.limit {
            self.spill()
        } else {
            Ok(())
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        self.held.sort_unstable();
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(&self.dir)?),
        };
        let mut at = self.ends.last().copied().unwrap_or(0);
        let mut bytes = Vec::with_capacity(READ_BACK * ENTRY_BYTES);
        for entries in self.held.chunks(READ_BACK) {
            bytes.clear();
            entries
                .iter()
                .for_each(|entry| bytes.extend_from_slice(&entry.to_bytes()));
            file.write_all_at(&bytes, at)?;
            at += bytes.len() as u64;
        }
        self.ends.push(at);
        self.held.clear();
        Ok(())
    }

    /// All entries, sorted.
    pub(super) fn sorted(mut self) -> io::Result<Sorted> {
        if self.ends.is_empty() {
            self.held.sort_unstable();
            return Ok(Sorted::Held(self.held.into_iter()));
        }
        if !self.held.is_empty() {
            self.spill()?;
        }
        self.held = Vec::new();
        let mut start = 0;
        let mut runs = Vec::with_capacity(self.ends.len());
        let mut heads = BinaryHeap::with_capacity(self.ends.len());
        for (index, &end) in self.ends.iter().enumerate() {
            let mut run = Run {
                at: start,
                end,
                entries: Vec::new().into_iter(),
            };
            start = end;
            if let Some(entry) = run.next(self.file.as_ref())? {
                heads.push(Reverse((entry, index)));
            }
            runs.push(run);
        }
        Ok(Sorted::Runs {
            file: self.file,
            runs,
            heads,
        })
    }
}

/// Entries in order.
pub(super) enum Sorted {
    Held(std::vec::IntoIter<Entry>),
    Runs {
        file: Option<File>,
        runs: Vec<Run>,
        heads: BinaryHeap<Reverse<(Entry, usize)>>,
    },
}

impl Iterator for Sorted {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Held(entries) => entries.next().map(Ok),
            Self::Runs { file, runs, heads } => {
                let Reverse((entry, index)) = heads.pop()?;
                match runs.get_mut(index)?.next(file.as_ref()) {
                    Ok(Some(next)) => heads.push(Reverse((next, index))),
                    Ok(None) => {}
                    Err(error) => return Some(Err(error)),
                }
                Some(Ok(entry))
            }
        }
    }
}

/// A sorted part of the file.
pub(super) struct Run {
    at: u64,
    end: u64,
    entries: std::vec::IntoIter<Entry>,
}

impl Run {
    fn next(&mut self, file: Option<&File>) -> io::Result<Option<Entry>> {
        if let Some(entry) = self.entries.next() {
            return Ok(Some(entry));
        }
        let Some(file) = file else { return Ok(None) };
        let bytes = (self.end - self.at).min((READ_BACK * ENTRY_BYTES) as u64);
        let mut buffer = vec![0; bytes as usize];
        file.read_exact_at(&mut buffer, self.at)?;
        self.at += bytes;
        let entries: Vec<_> = buffer
            .as_chunks::<ENTRY_BYTES>()
            .0
            .iter()
            .map(Entry::from_bytes)
            .collect();
        self.entries = entries.into_iter();
        Ok(self.entries.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_disk_comes_back_sorted() {
        let dir = tempfile::tempdir().unwrap();
        for (count, limit) in [(0, 4), (3, 4), (4, 4), (40_003, 1000), (17, 1)] {
            let mut sorter = Sorter::new(dir.path().into(), limit);
            let mix = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 16;
            for i in 0..count {
                sorter.push(Entry::new(mix(i), i, 1)).unwrap();
            }
            let found: Vec<_> = sorter.sorted().unwrap().map(Result::unwrap).collect();
            assert_eq!(found.len() as u64, count);
            assert!(found.is_sorted());
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
