//! Document ids: one per line of a file, or held in memory when a pickle brought them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use routir_core::{Error, Result};

use crate::failure::{io_error, wrong};
use crate::new_file::NewFile;

/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 64 << 10;

/// Ids in memory, one after another.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct IdList {
    text: String,
    ends: Vec<usize>,
}

impl IdList {
    pub(crate) fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(self.text.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&str> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..*self.ends.get(index)?)
    }
}

/// What is wrong with `id`, if anything: it must fit on a line of its own.
pub(crate) fn problem(id: &str) -> Option<String> {
    if id.is_empty() {
        Some("is empty".to_owned())
    } else if id.len() > MAX_ID_BYTES {
        Some(format!("has {} bytes, more than {MAX_ID_BYTES}", id.len()))
    } else if id.contains(['\n', '\r']) {
        Some(format!("{id:?} holds a line break"))
    } else {
        None
    }
}

/// Ids one after another.
#[derive(Debug)]
pub struct IdReader<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    Held(&'a IdList, usize),
    Lines(Lines),
}

#[derive(Debug)]
struct Lines {
    path: PathBuf,
    input: BufReader<File>,
    line: Vec<u8>,
    number: u64,
}

impl<'a> IdReader<'a> {
    pub(crate) fn held(list: &'a IdList) -> Self {
        Self(Source::Held(list, 0))
    }

    /// Those of a file with one per line.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<IdReader<'static>> {
        let file = File::open(path).map_err(|error| io_error("reading", path, &error))?;
        Ok(IdReader(Source::Lines(Lines {
            path: path.to_owned(),
            input: BufReader::with_capacity(1 << 20, file),
            line: Vec::new(),
            number: 0,
        })))
    }

    /// The next id; `None` at the end.
    ///
    /// # Errors
    /// For a line that is no id, with its number: empty, too long, or not UTF-8.
    pub fn next_id(&mut self) -> Result<Option<&str>> {
        match &mut self.0 {
            Source::Held(list, at) => {
                let id = list.get(*at);
                *at += 1;
                Ok(id)
            }
            Source::Lines(lines) => lines.next_id(),
        }
    }
}

impl Lines {
    fn next_id(&mut self) -> Result<Option<&str>> {
        self.line.clear();
        // One byte for the line's end, and one to see that it is too long.
        let mut limited = (&mut self.input).take(MAX_ID_BYTES as u64 + 2);
        let read = limited
            .read_until(b'\n', &mut self.line)
            .map_err(|error| io_error("reading", &self.path, &error))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let id = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned());
        match id.and_then(|id| problem(id).map_or(Ok(id), Err)) {
            Ok(id) => Ok(Some(id)),
            Err(why) => {
                let line = self.number;
                Err(wrong(&self.path, format!("the id in line {line} {why}")))
            }
        }
    }
}

/// How many ids a file with one per line has. Looks for line ends only.
///
/// # Errors
/// When it cannot be read.
pub fn count_ids(path: &Path) -> Result<u64> {
    let failed = |error| io_error("reading", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut piece = vec![0; 1 << 20];
    let (mut count, mut last) = (0, b'\n');
    loop {
        let read = match file.read(&mut piece) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        let bytes = piece.get(..read).unwrap_or_default();
        let Some(&end) = bytes.last() else { break };
        count += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        last = end;
    }
    Ok(count + u64::from(last != b'\n'))
}

/// Writes ids, one per line.
#[derive(Debug)]
pub struct IdWriter {
    file: NewFile,
    count: u64,
}

impl IdWriter {
    /// Starts the file that will be `path`; see [`NewFile`].
    ///
    /// # Errors
    /// As [`NewFile::create`].
    pub fn create(path: &Path) -> Result<Self> {
        let file = NewFile::create(path)?;
        Ok(Self { file, count: 0 })
    }

    /// Appends an id.
    ///
    /// # Errors
    /// For an id that does not fit on a line of its own; when the disk takes no more.
    pub fn push(&mut self, id: &str) -> Result<()> {
        if let Some(why) = problem(id) {
            return Err(Error::invalid(format!("a document's id {why}")));
        }
        self.file.write(id.as_bytes())?;
        self.file.write(b"\n")?;
        self.count += 1;
        Ok(())
    }

    /// How many have been written.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Puts the file in place. Answers its size in bytes.
    ///
    /// # Errors
    /// As [`NewFile::commit`].
    pub fn commit(self) -> Result<u64> {
        self.file.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(path: &Path) -> Result<Vec<String>> {
        let mut reader = IdReader::open(path)?;
        let mut ids = Vec::new();
        while let Some(id) = reader.next_id()? {
            ids.push(id.to_owned());
        }
        Ok(ids)
    }

    #[test]
    fn ids_are_lines_with_or_without_a_last_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ids");
        for (text, ids) in [
            ("a\nb\n", vec!["a", "b"]),
            ("a\r\n b c\u{fc}", vec!["a", " b c\u{fc}"]),
            ("", vec![]),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(all(&path).unwrap(), ids);
            assert_eq!(count_ids(&path).unwrap(), ids.len() as u64);
        }
    }

    #[test]
    fn a_line_that_is_no_id_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ids");
        let long = [b"a\n".to_vec(), vec![b'x'; MAX_ID_BYTES + 1]].concat();
        for (text, why) in [
            (b"a\n\nb\n".as_slice(), "the id in line 2 is empty"),
            (b"a\n\xff\n", "the id in line 2 is not UTF-8"),
            (&long, "the id in line 2 has 65537 bytes"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = all(&path).unwrap_err();
            assert!(error.message().contains(why), "{error}");
        }
        let mut writer = IdWriter::create(&path).unwrap();
        assert!(writer.push("a\nb").is_err());
        assert!(writer.push("").is_err());
        writer.push("a b").unwrap();
        assert_eq!(writer.count(), 1);
        assert_eq!(writer.commit().unwrap(), 4);
    }
}
