//! The files of vectors that an index is built from: found, checked against each other, and read in
//! blocks of rows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use routir_vectors::VectorFile;

use crate::encode::parts;
use crate::encode::summary::bytes;
use crate::failure::{from_core, wrong};
use crate::progress::{Progress, Unit};

/// About how many bytes of vectors are held at once.
const BLOCK_BYTES: usize = 32 << 20;

/// Files with vectors of one size.
#[derive(Debug)]
pub(crate) struct Inputs {
    files: Vec<Input>,
    tensor: Option<String>,
    pub(crate) dim: usize,
    pub(crate) rows: u64,
}

#[derive(Debug)]
struct Input {
    path: PathBuf,
    rows: u64,
}

/// Rows that follow each other in a file.
pub(crate) struct Block<'a> {
    pub(crate) ids: &'a [String],
    /// As many rows, one after another.
    pub(crate) vectors: &'a [f32],
}

impl Inputs {
    /// Looks at `paths`: files, and folders whose files of vectors are taken in the order of their
    /// names, numbers in them by value.
    ///
    /// # Errors
    /// When there are none, a folder of `encode` is not complete, or a file is damaged, has no ids
    /// or vectors of another size.
    pub(crate) fn open(
        paths: &[PathBuf],
        tensor: Option<String>,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let mut found = Vec::new();
        for path in paths {
            if path.is_dir() {
                found.extend(folder(path)?);
            } else {
                found.push(path.clone());
            }
        }
        let mut inputs = Self {
            files: Vec::with_capacity(found.len()),
            tensor,
            dim: 0,
            rows: 0,
        };
        let total = found.len() as u64;
        for (number, path) in (0_u64..).zip(found) {
            progress.tell("looking at the vectors", number, total, Unit::Items);
            inputs.add(path)?;
        }
        progress.finish();
        if inputs.rows == 0 {
            return Err(wrong(format!(
                "there are no vectors in {}",
                shown(paths.iter())
            )));
        }
        Ok(inputs)
    }

    fn add(&mut self, path: PathBuf) -> anyhow::Result<()> {
        let file = self.file(&path)?;
        file.ids().map_err(from_core)?;
        match self.files.first() {
            None => self.dim = file.dim(),
            Some(first) if self.dim != file.dim() => {
                return Err(wrong(format!(
                    "`{}` has vectors of {} numbers, but `{}` has vectors of {}; all must come \
                     from one model",
                    path.display(),
                    file.dim(),
                    first.path.display(),
                    self.dim
                )));
            }
            Some(_) => {}
        }
        self.rows += file.rows();
        let rows = file.rows();
        self.files.push(Input { path, rows });
        Ok(())
    }

    /// How many files there are.
    pub(crate) fn files(&self) -> u64 {
        self.files.len() as u64
    }

    fn file(&self, path: &Path) -> anyhow::Result<VectorFile> {
        VectorFile::open_tensor(path, self.tensor.as_deref()).map_err(from_core)
    }

    /// What tells these files from others: names, sizes, times. For going on with work that was
    /// interrupted.
    pub(crate) fn stamp(&self) -> anyhow::Result<String> {
        let mut stamp = format!("{} {:?}\n", self.dim, self.tensor);
        for input in &self.files {
            let path = fs::canonicalize(&input.path)?;
            let metadata = fs::metadata(&path)?;
            let (size, time) = (metadata.len(), metadata.modified()?);
            stamp.push_str(&format!("{} {size} {time:?}\n", path.display()));
        }
        Ok(stamp)
    }

    /// Calls `each` with all rows in order, in blocks.
    ///
    /// # Errors
    /// When a file is no longer what it was; what `each` answers.
    pub(crate) fn blocks(
        &self,
        mut each: impl FnMut(Block<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (mut ids, mut vectors) = (Vec::new(), Vec::new());
        let most = (BLOCK_BYTES / (self.dim * size_of::<f32>())).max(1);
        for input in &self.files {
            let file = self.unchanged(input)?;
            let mut reader = file.ids().map_err(from_core)?;
            let mut first = 0;
            while first < input.rows {
                let left = usize::try_from(input.rows - first).unwrap_or(most);
                let rows = left.min(most);
                file.read(first, rows, &mut vectors).map_err(from_core)?;
                ids.clear();
                for _ in 0..rows {
                    let id = reader.next_id().map_err(from_core)?;
                    let id =
                        id.with_context(|| format!("{}: ids are missing", shown([&input.path])))?;
                    ids.push(id.to_owned());
                }
                each(Block {
                    ids: &ids,
                    vectors: &vectors,
                })?;
                first += rows as u64;
            }
        }
        Ok(())
    }

    /// Vectors spread evenly over all files, about `count` of them, without those that hold what is
    /// not a finite number; one after another.
    ///
    /// # Errors
    /// When a file is no longer what it was.
    pub(crate) fn sample(&self, count: u64, progress: &Progress) -> anyhow::Result<Vec<f32>> {
        let count = count.min(self.rows);
        let mut sample = Vec::new();
        let numbers = usize::try_from(count)
            .ok()
            .and_then(|it| it.checked_mul(self.dim));
        let room = numbers.and_then(|it| sample.try_reserve_exact(it).ok());
        room.ok_or_else(|| {
            let size = count.saturating_mul((self.dim * size_of::<f32>()) as u64);
            wrong(format!(
                "a sample of {count} vectors takes {}, which cannot be had; give a smaller --sample",
                bytes(size)
            ))
        })?;
        let mut row = Vec::new();
        let (mut taken, mut before) = (0_u64, 0_u64);
        for input in &self.files {
            let file = self.unchanged(input)?;
            // The sample's row number i is row i · rows / count of all.
            while taken < count {
                let at = u128::from(taken) * u128::from(self.rows) / u128::from(count);
                let at = u64::try_from(at).unwrap_or(u64::MAX);
                if at >= before + input.rows {
                    break;
                }
                if taken.is_multiple_of(4096) {
                    progress.tell("reading a sample", taken, count, Unit::Items);
                }
                file.read(at - before, 1, &mut row).map_err(from_core)?;
                if row.iter().all(|number| number.is_finite()) {
                    sample.extend_from_slice(&row);
                }
                taken += 1;
            }
            before += input.rows;
        }
        progress.finish();
        Ok(sample)
    }

    fn unchanged(&self, input: &Input) -> anyhow::Result<VectorFile> {
        let file = self.file(&input.path)?;
        if (file.rows(), file.dim()) == (input.rows, self.dim) {
            return Ok(file);
        }
        Err(wrong(format!(
            "{} changed while it was read",
            shown([&input.path])
        )))
    }
}

fn shown<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> String {
    let paths = paths
        .into_iter()
        .map(|path| format!("`{}`", path.display()));
    paths.collect::<Vec<_>>().join(", ")
}

/// The files of vectors in `dir`.
fn folder(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let place = || format!("cannot read {}", dir.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(place)? {
        let path = entry.with_context(place)?.path();
        let extension = path.extension().and_then(|it| it.to_str());
        if matches!(extension, Some("npy" | "safetensors")) && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(wrong(format!(
            "there are no files of vectors (.npy, .safetensors) in {}",
            dir.display()
        )));
    }
    files.sort_by_cached_key(|path| natural(&path.to_string_lossy()));
    if let Some(settings) = parts::read_settings(dir)? {
        let there: BTreeSet<u64> = files
            .iter()
            .filter_map(|it| parts::part_number(it))
            .collect();
        if let Some(why) = parts::missing(&settings, &there) {
            return Err(wrong(format!(
                "{} is not complete: {why}; finish it with the `encode` command that began it, or \
                 name the files that are to be taken",
                dir.display()
            )));
        }
    }
    Ok(files)
}

/// A key by which `shard100` comes after `shard20`.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest
            .find(|it: char| it.is_ascii_digit())
            .unwrap_or(rest.len());
        let (text, tail) = rest.split_at(digits);
        let end = tail
            .find(|it: char| !it.is_ascii_digit())
            .unwrap_or(tail.len());
        let (number, tail) = tail.split_at(end);
        key.push((text.to_owned(), number.parse().unwrap_or(u64::MAX)));
        rest = tail;
    }
    key
}

#[cfg(test)]
mod tests {
    use routir_vectors::{Element, Format, VectorWriter};

    use super::*;

    fn write(path: &Path, first: u16, rows: u16, dim: usize) {
        let mut writer = VectorWriter::create(path, Format::Routir, Element::F32, dim).unwrap();
        for row in first..first + rows {
            writer
                .push(&format!("d{row}"), &vec![f32::from(row); dim])
                .unwrap();
        }
        writer.finish().unwrap();
    }

    fn open(paths: &[PathBuf]) -> anyhow::Result<Inputs> {
        Inputs::open(paths, None, &Progress::default())
    }

    #[test]
    fn files_of_a_folder_come_by_number_and_all_rows_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for (number, rows) in [(0, 20), (20, 80), (100, 3)] {
            write(
                &dir.path().join(format!("shard{number}.npy")),
                number,
                rows,
                2,
            );
        }
        fs::write(dir.path().join("notes.txt"), "").unwrap();
        let inputs = open(&[dir.path().to_owned()]).unwrap();
        assert_eq!((inputs.rows, inputs.dim, inputs.files()), (103, 2, 3));
        let mut seen = Vec::new();
        let take = |block: Block<'_>| {
            assert_eq!(block.vectors.len(), 2 * block.ids.len());
            seen.extend(block.ids.to_vec());
            Ok(())
        };
        inputs.blocks(take).unwrap();
        assert_eq!(
            seen,
            (0..103).map(|row| format!("d{row}")).collect::<Vec<_>>()
        );
        let sample = inputs.sample(10, &Progress::default()).unwrap();
        let firsts: Vec<f32> = sample.chunks(2).map(|row| row[0]).collect();
        assert_eq!(
            firsts,
            [0.0, 10.0, 20.0, 30.0, 41.0, 51.0, 61.0, 72.0, 82.0, 92.0]
        );
        assert_eq!(
            inputs.sample(1000, &Progress::default()).unwrap().len(),
            206
        );
    }

    #[test]
    fn a_file_of_another_size_is_named_with_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..3)
            .map(|it| dir.path().join(format!("{it}.npy")))
            .collect();
        for (path, dim) in paths.iter().zip([4, 4, 5]) {
            write(path, 0, 1, dim);
        }
        let error = open(&paths).unwrap_err().to_string();
        assert!(
            error.contains("2.npy` has vectors of 5 numbers")
                && error.contains("0.npy` has vectors of 4"),
            "{error}"
        );
    }

    #[test]
    fn nothing_to_index_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open(&[dir.path().to_owned()]).is_err());
        write(&dir.path().join("a.npy"), 0, 0, 4);
        let error = open(&[dir.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("there are no vectors in"), "{error}");
        fs::write(
            dir.path().join(parts::SETTINGS),
            r#"{"documents_per_file": 5}"#,
        )
        .unwrap();
        let error = open(&[dir.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("is not complete"), "{error}");
    }
}
