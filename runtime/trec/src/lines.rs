//! Numbered lines of a plain or gzip-compressed file, each of bounded length.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use crate::{Error, Result};

/// The longest line that is read, in bytes, line break not counted.
pub const MAX_LINE_BYTES: usize = 16 << 20;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BUFFER_BYTES: usize = 1 << 16;

/// Lines without their breaks; blank ones are skipped but counted.
pub(crate) struct Lines {
    file: Arc<str>,
    source: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::open(path, source))?;
        Self::new(&path.to_string_lossy(), file)
    }

    /// Lines of `source`, which errors call `name`.
    pub(crate) fn new(name: &str, source: impl Read + Send + 'static) -> Result<Self> {
        let file: Arc<str> = name.into();
        let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
        // A pipe may hand over a single byte first, so the two are read, not peeked at.
        let mut start = Vec::with_capacity(GZIP_MAGIC.len());
        source
            .by_ref()
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut start)
            .map_err(|source| Error::Read {
                file: Arc::clone(&file),
                line: 1,
                source,
            })?;
        let compressed = start == GZIP_MAGIC;
        let whole = BufReader::with_capacity(BUFFER_BYTES, io::Cursor::new(start).chain(source));
        let source: Box<dyn BufRead + Send> = if compressed {
            Box::new(BufReader::with_capacity(
                BUFFER_BYTES,
                MultiGzDecoder::new(whole),
            ))
        } else {
            Box::new(whole)
        };
        Ok(Self {
            file,
            source,
            buffer: Vec::new(),
            number: 0,
        })
    }

    /// The next line that is not blank.
    pub(crate) fn next_line(&mut self) -> Result<Option<&str>> {
        loop {
            self.number += 1;
            if !self.read_line()? {
                return Ok(None);
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(line) => Ok(Some(line)),
            Err(error) => Err(self.problem(format!(
                "byte {} is not UTF-8 text; convert the file to UTF-8",
                error.valid_up_to() + 1
            ))),
        }
    }

    /// The line that [`Lines::next_line`] gave last.
    pub(crate) fn last_line(&self) -> &str {
        std::str::from_utf8(&self.buffer).unwrap_or_default()
    }

    /// An error about the line that was read last.
    pub(crate) fn problem(&self, problem: impl Into<String>) -> Error {
        self.problem_at(self.number, problem)
    }

    /// An error about another line.
    pub(crate) fn problem_at(&self, line: u64, problem: impl Into<String>) -> Error {
        Error::Line {
            file: Arc::clone(&self.file),
            line,
            problem: problem.into(),
        }
    }

    /// The number of the line that was read last, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Reads one line into the buffer, without its break; false at the end.
    fn read_line(&mut self) -> Result<bool> {
        self.buffer.clear();
        let most = MAX_LINE_BYTES as u64 + 2; // One line break may be two bytes.
        let read = self
            .source
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|source| Error::Read {
                file: Arc::clone(&self.file),
                line: self.number,
                source,
            })?;
        if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.buffer.drain(..3);
        }
        for end in [b'\n', b'\r'] {
            if self.buffer.last() == Some(&end) {
                self.buffer.pop();
            }
        }
        if self.buffer.len() > MAX_LINE_BYTES {
            return Err(self.problem(format!("the line is longer than {MAX_LINE_BYTES} bytes")));
        }
        Ok(read > 0)
    }
}

/// The columns of a line, which must be exactly `N`, separated by white space.
pub(crate) fn columns<'a, const N: usize>(
    line: &'a str,
    wanted: &str,
) -> Result<[&'a str; N], String> {
    let mut columns = [""; N];
    let mut found = 0;
    for column in line.split_ascii_whitespace() {
        if let Some(slot) = columns.get_mut(found) {
            *slot = column;
        }
        found += 1;
    }
    if found == N {
        Ok(columns)
    } else {
        Err(format!("expected {N} columns `{wanted}`, found {found}"))
    }
}

/// What a JSON parser says about a line, with its column alone: the line number is the file's.
pub(crate) fn json_problem(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let end = format!(" at line {} column {}", error.line(), error.column());
    match message.strip_suffix(&end) {
        Some(what) => format!("{what} at column {}", error.column()),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u64, String)>> {
        let mut lines = Lines::new("test", io::Cursor::new(bytes.to_vec()))?;
        let mut all = Vec::new();
        while let Some(line) = lines.next_line()? {
            let line = line.to_owned();
            all.push((lines.number(), line));
        }
        Ok(all)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn byte_order_mark_blank_lines_and_carriage_returns_are_ignored_but_counted() {
        let lines = all(b"\xef\xbb\xbfone\r\n\r\n \t\nfour").unwrap();
        assert_eq!(lines, [(1, "one".to_owned()), (4, "four".to_owned())]);
        assert!(all(b"").unwrap().is_empty());
    }

    #[test]
    fn gzip_is_known_by_its_bytes_and_may_have_several_members() {
        let bytes = [gzip(b"one\n"), gzip(b"two\n")].concat();
        assert_eq!(
            all(&bytes).unwrap(),
            [(1, "one".to_owned()), (2, "two".to_owned())]
        );
    }

    #[test]
    fn damaged_gzip_is_an_error_with_its_line() {
        let mut bytes = gzip(&b"a line of text\n".repeat(50_000));
        bytes.truncate(bytes.len() - 20);
        let error = all(&bytes).unwrap_err();
        assert!(matches!(error, Error::Read { .. }), "{error}");
        assert!(error.to_string().starts_with("test:"), "{error}");
    }

    #[test]
    fn a_line_of_the_longest_length_is_read_and_a_longer_one_refused() {
        let longest = vec![b'x'; MAX_LINE_BYTES];
        assert_eq!(
            all(&[longest.as_slice(), b"\r\n"].concat()).unwrap().len(),
            1
        );
        let error = all(&[b"ok\n", longest.as_slice(), b"x"].concat()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("test:2: the line is longer than {MAX_LINE_BYTES} bytes")
        );
    }

    #[test]
    fn an_endless_compressed_line_is_refused_before_it_is_unpacked() {
        let error = all(&gzip(&vec![b'x'; 64 << 20])).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
    }

    #[test]
    fn what_is_not_utf8_is_named_with_its_line_and_byte() {
        let error = all(b"fine\nca\xffe\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "test:2: byte 3 is not UTF-8 text; convert the file to UTF-8"
        );
    }
}
