//! A corpus as lines, read in large pieces of whole lines, with bounded memory.

use std::io::{self, Read};

/// How much is read at once, in bytes.
const PIECE: usize = 1 << 20;

/// The byte order mark that some editors put before UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Whole lines as they follow each other in the corpus.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Where the piece starts in the corpus's text, in bytes.
    pub(crate) offset: u64,
    /// What it takes of the corpus's text, in bytes.
    pub(crate) length: u64,
    /// The lines with their ends; nothing when this is one line that is too long.
    pub(crate) bytes: Vec<u8>,
}

/// One line of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Where it starts in the corpus's text, in bytes.
    pub(crate) offset: u64,
    /// Its bytes without the white space around them; `None` when it is too long.
    pub(crate) bytes: Option<&'a [u8]>,
}

impl Piece {
    /// The lines of the piece, empty ones too; `max_line` is the longest that is not too long.
    pub(crate) fn lines(&self, max_line: usize) -> impl Iterator<Item = Line<'_>> {
        let too_long = self.bytes.is_empty() && self.length > 0;
        let lost = too_long.then_some(Line {
            offset: self.offset,
            bytes: None,
        });
        let mut offset = self.offset;
        let lines = self
            .bytes
            .split_inclusive(|&byte| byte == b'\n')
            .map(move |line| {
                let start = offset;
                offset += line.len() as u64;
                let line = if start == 0 {
                    line.strip_prefix(BOM).unwrap_or(line)
                } else {
                    line
                };
                let skipped = offset - start - line.len() as u64;
                let text = line.trim_ascii_start();
                let start = start + skipped + (line.len() - text.len()) as u64;
                let text = text.trim_ascii_end();
                Line {
                    offset: start,
                    bytes: (text.len() <= max_line).then_some(text),
                }
            });
        lost.into_iter().chain(lines)
    }
}

/// Cuts what `input` gives into pieces.
pub(crate) struct Pieces<R> {
    input: R,
    max_line: usize,
    offset: u64,
    /// Read, but not yet the whole of a line.
    rest: Vec<u8>,
    ended: bool,
}

impl<R: Read> Pieces<R> {
    /// The pieces of `input`. A line of more than `max_line` bytes is passed over, not held.
    pub(crate) fn new(input: R, max_line: usize) -> Self {
        Self {
            input,
            max_line,
            offset: 0,
            rest: Vec::new(),
            ended: false,
        }
    }

    /// Reads up to [`PIECE`] bytes more; returns how many were there before.
    fn read_more(&mut self) -> io::Result<usize> {
        let before = self.rest.len();
        let read = self
            .input
            .by_ref()
            .take(PIECE as u64)
            .read_to_end(&mut self.rest)?;
        self.ended = read < PIECE;
        Ok(before)
    }

    fn cut(&mut self, end: usize) -> Piece {
        let tail = self.rest.split_off(end.min(self.rest.len()));
        let bytes = std::mem::replace(&mut self.rest, tail);
        let piece = Piece {
            offset: self.offset,
            length: bytes.len() as u64,
            bytes,
        };
        self.offset += piece.length;
        piece
    }

    /// Passes over the rest of a line that is too long.
    fn pass_over(&mut self) -> io::Result<Piece> {
        let mut length = self.rest.len() as u64;
        self.rest.clear();
        while !self.ended {
            self.read_more()?;
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                self.rest.drain(..=end);
                length += end as u64 + 1;
                break;
            }
            length += self.rest.len() as u64;
            self.rest.clear();
        }
        let piece = Piece {
            offset: self.offset,
            length,
            bytes: Vec::new(),
        };
        self.offset += length;
        Ok(piece)
    }

    fn advance(&mut self) -> io::Result<Option<Piece>> {
        let mut searched = 0;
        loop {
            let fresh = self.rest.get(searched..).unwrap_or_default();
            if let Some(end) = fresh.iter().rposition(|&byte| byte == b'\n') {
                return Ok(Some(self.cut(searched + end + 1)));
            }
            if self.ended {
                let end = self.rest.len();
                return Ok((end > 0).then(|| self.cut(end)));
            }
            if self.rest.len() > self.max_line {
                return self.pass_over().map(Some);
            }
            searched = self.read_more()?;
        }
    }
}

impl<R: Read> Iterator for Pieces<R> {
    type Item = io::Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.ended = true;
            self.rest.clear();
        }
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], max_line: usize) -> Vec<(u64, Option<String>)> {
        Pieces::new(text, max_line)
            .flat_map(|piece| {
                let piece = piece.unwrap();
                let owned = |line: Line<'_>| {
                    (
                        line.offset,
                        line.bytes.map(|b| String::from_utf8_lossy(b).into_owned()),
                    )
                };
                piece.lines(max_line).map(owned).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn lines_keep_their_offsets_past_marks_and_ends() {
        let some = |offset: u64, text: &str| (offset, Some(text.to_owned()));
        assert_eq!(
            lines(b"\xef\xbb\xbfa\r\n\n  bc \nd", 10),
            [some(3, "a"), some(7, ""), some(9, "bc"), some(13, "d")]
        );
        assert_eq!(lines(b"", 10), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let mut text = b"a\n".to_vec();
        text.extend(vec![b'x'; 3 * PIECE + 5]);
        text.extend_from_slice(b"\nb\n");
        let end = 2 + 3 * PIECE as u64 + 6;
        assert_eq!(
            lines(&text, PIECE),
            [(0, Some("a".into())), (2, None), (end, Some("b".into()))]
        );
        assert_eq!(
            lines(b"abc\nabcd\n", 3),
            [(0, Some("abc".into())), (4, None)]
        );
    }

    #[test]
    fn a_long_line_spans_pieces() {
        let long = "y".repeat(2 * PIECE + 7);
        let text = format!("{long}\nz");
        assert_eq!(
            lines(text.as_bytes(), 4 * PIECE)[0].1.as_deref(),
            Some(long.as_str())
        );
    }
}
