//! `index.ids`: the id of each vector, one per line, in the order in which the vectors were added.
//! The file stays where it is; in memory is where every 32nd line starts and how long each line is
//! (1.25 bytes per vector), so that one is found without reading its neighbours.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use routir_core::{Error, Result};

const STEP: usize = 32;
/// The length of a line that is longer than a byte can say.
const LONG: u8 = u8::MAX;

/// The ids, by position in the index.
pub(super) struct LineIds {
    /// `None` is an empty file, which cannot be mapped.
    map: Option<Mmap>,
    /// Where lines 0, 32, 64, … start.
    starts: Vec<u64>,
    /// The bytes of each line with its end, or [`LONG`].
    lengths: Vec<u8>,
}

impl LineIds {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let unreadable = |why: &dyn std::fmt::Display| {
            Error::invalid(format!(
                "the ids in `{}` cannot be read: {why}",
                path.display()
            ))
        };
        let file = File::open(path).map_err(|e| unreadable(&e))?;
        let bytes = file.metadata().map_err(|e| unreadable(&e))?.len();
        if bytes == 0 {
            return Ok(Self {
                map: None,
                starts: Vec::new(),
                lengths: Vec::new(),
            });
        }
        // SAFETY: an index belongs to the server: whoever changes its files under a running server
        // changes what it answers, as with the index itself.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| unreadable(&e))?;
        let text = std::str::from_utf8(&map).map_err(|e| unreadable(&e))?;
        let (mut starts, mut lengths, mut start) = (Vec::new(), Vec::new(), 0_u64);
        for line in text.split_inclusive('\n') {
            if line.trim_ascii().is_empty() {
                let number = lengths.len() + 1;
                return Err(unreadable(&format!("line {number} is empty")));
            }
            if lengths.len() % STEP == 0 {
                starts.push(start);
            }
            lengths.push(u8::try_from(line.len()).unwrap_or(LONG));
            start += line.len() as u64;
        }
        Ok(Self {
            map: Some(map),
            starts,
            lengths,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// The id at a position.
    pub(super) fn get(&self, position: usize) -> Result<&str> {
        let find = || {
            let start = usize::try_from(*self.starts.get(position / STEP)?).ok()?;
            let rest = self.map.as_ref()?.get(start..)?;
            let before = self.lengths.get(position - position % STEP..position)?;
            let length = *self.lengths.get(position)?;
            let line = if length == LONG || before.contains(&LONG) {
                rest.split(|byte| *byte == b'\n').nth(before.len())?
            } else {
                let skipped = before.iter().map(|length| usize::from(*length)).sum();
                rest.get(skipped..)?.get(..usize::from(length))?
            };
            std::str::from_utf8(line.trim_ascii()).ok()
        };
        find().filter(|id| !id.is_empty()).ok_or_else(|| {
            Error::engine(format!(
                "the ids hold nothing readable for vector {position}; was the file changed?"
            ))
        })
    }

    /// All, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let text = self.map.as_ref().map_or(&[][..], |map| &map[..]);
        let lines = text.split(|byte| *byte == b'\n').take(self.len());
        lines.map(|line| std::str::from_utf8(line.trim_ascii()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_of_many_and_nothing_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.ids");
        for end in ["", "\n"] {
            // Some as long as a byte can say with their end, one more and one less.
            let padding = |n: usize| "x".repeat(if n % 41 == 7 { 244 + n % 3 } else { n % 2 });
            let ids = (0..100).map(|n| format!("doc \u{fc}{}{}", n * n, padding(n)));
            let ids: Vec<String> = ids.collect();
            std::fs::write(&path, format!("{}{end}", ids.join("\r\n"))).unwrap();
            let read = LineIds::open(&path).unwrap();
            assert_eq!(read.len(), 100);
            assert!(read.iter().eq(ids.iter().map(String::as_str)));
            for (position, id) in ids.iter().enumerate() {
                assert_eq!(read.get(position).unwrap(), id);
            }
            assert!(read.get(100).is_err());
            assert!(read.get(usize::MAX).is_err());
        }
    }

    #[test]
    fn empty_lines_and_bytes_that_are_no_text_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.ids");
        std::fs::write(&path, "a\n\nb\n").unwrap();
        let error = LineIds::open(&path).err().unwrap();
        assert!(error.message().contains("line 2 is empty"), "{error}");
        std::fs::write(&path, b"a\n\xff\n").unwrap();
        assert!(LineIds::open(&path).is_err());
        std::fs::write(&path, "").unwrap();
        assert_eq!(LineIds::open(&path).unwrap().len(), 0);
    }
}
