//! The inverted lists: for each centroid the passages that have token vectors there.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytemuck::cast_slice;

/// A passage that no list has seen yet.
const NONE: u32 = u32::MAX;

/// Writes the lists of `centroids` centroids to `ends` and `lists` and answers how many entries they
/// have. `passage_ends` says where each passage's entries of `codes` end. As many lists as fit
/// `memory` bytes are filled at once, each time reading all codes from front to back.
pub(crate) fn write(
    ends: &Path,
    lists: &Path,
    passage_ends: &[u64],
    codes: &[u32],
    centroids: usize,
    memory: usize,
) -> io::Result<u64> {
    let mut sizes = vec![0_u64; centroids];
    let mut last = vec![NONE; centroids];
    each(passage_ends, codes, |passage, code| {
        if let (Some(size), Some(last)) = (sizes.get_mut(code), last.get_mut(code))
            && *last != passage
        {
            *last = passage;
            *size += 1;
        }
    });
    drop(last);
    let mut file = BufWriter::new(File::create_new(ends)?);
    let mut total = 0;
    for size in &sizes {
        total += size;
        file.write_all(&total.to_le_bytes())?;
    }
    close(file)?;
    let mut file = BufWriter::new(File::create_new(lists)?);
    let mut first = 0;
    while first < centroids {
        let (mut end, mut room) = (first, (memory / size_of::<u32>()) as u64);
        let mut starts = Vec::new();
        let mut filled = 0_u64;
        for size in sizes.iter().skip(first) {
            if end > first && *size > room {
                break;
            }
            starts.push(filled as usize);
            filled += size;
            room = room.saturating_sub(*size);
            end += 1;
        }
        let mut entries = vec![NONE; filled as usize];
        let mut next = starts;
        let mut last = vec![NONE; end - first];
        each(passage_ends, codes, |passage, code| {
            let Some(list) = code.checked_sub(first) else {
                return;
            };
            if let (Some(next), Some(last)) = (next.get_mut(list), last.get_mut(list))
                && *last != passage
            {
                *last = passage;
                if let Some(entry) = entries.get_mut(*next) {
                    *entry = passage;
                }
                *next += 1;
            }
        });
        file.write_all(cast_slice(&entries))?;
        first = end;
    }
    close(file)?;
    Ok(total)
}

/// Calls `visit` with every passage and code, in order.
fn each(passage_ends: &[u64], codes: &[u32], mut visit: impl FnMut(u32, usize)) {
    let mut start = 0;
    for (passage, end) in (0_u32..).zip(passage_ends) {
        let end = *end as usize;
        for code in codes.get(start..end).unwrap_or_default() {
            visit(passage, *code as usize);
        }
        start = end;
    }
}

/// Writes what is left and waits until the disk has it.
pub(crate) fn close(writer: BufWriter<File>) -> io::Result<()> {
    writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_the_same_however_little_memory_there_is() {
        let codes = [2, 0, 2, 1, 1, 0, 2, 2, 4];
        let passages = [3_u64, 5, 5, 9];
        for memory in [0, 4, 12, 1000] {
            let dir = tempfile::tempdir().unwrap();
            let (ends, lists) = (dir.path().join("e"), dir.path().join("l"));
            assert_eq!(
                write(&ends, &lists, &passages, &codes, 5, memory).unwrap(),
                6
            );
            let read = |path| -> Vec<u32> {
                let bytes = std::fs::read(path).unwrap();
                bytes
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|b| u32::from_le_bytes(*b))
                    .collect()
            };
            assert_eq!(read(&lists), [0, 3, 1, 0, 3, 3], "{memory}");
            let ends: Vec<u32> = read(&ends).into_iter().step_by(2).collect();
            assert_eq!(ends, [2, 3, 5, 5, 6]);
        }
    }
}
