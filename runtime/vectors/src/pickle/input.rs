//! A file read on from a place, with parts passed over unread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much is read at once, in bytes.
const PIECE: usize = 64 << 10;

/// What is left of a file.
pub(super) struct Input<'f> {
    file: &'f File,
    /// Where the next byte stands.
    at: u64,
    size: u64,
    piece: Vec<u8>,
    /// How much of the piece has been taken.
    taken: usize,
}

impl<'f> Input<'f> {
    pub(super) fn new(file: &'f File, at: u64, size: u64) -> Self {
        Self {
            file,
            at,
            size,
            piece: Vec::new(),
            taken: 0,
        }
    }

    pub(super) fn file(&self) -> &'f File {
        self.file
    }

    /// Where the next byte stands in the file.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> u64 {
        self.size.saturating_sub(self.at)
    }

    /// The next `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next `length` bytes, of which there must be as many.
    pub(super) fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        self.require(length as u64)?;
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The bytes up to the next line end, which is taken too; at most `most`.
    pub(super) fn line(&mut self, most: usize) -> Result<String, String> {
        let mut line = Vec::new();
        loop {
            match self.bytes::<1>()? {
                [b'\n'] => break,
                [byte] if line.len() < most => line.push(byte),
                _ => return Err("a name in it is too long".to_owned()),
            }
        }
        String::from_utf8(line).map_err(|_| "a name in it is no text".to_owned())
    }

    /// Passes over `length` bytes.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), String> {
        self.require(length)?;
        self.at += length;
        let taken = usize::try_from(length).unwrap_or(usize::MAX);
        self.taken = self.taken.saturating_add(taken);
        Ok(())
    }

    fn require(&self, length: u64) -> Result<(), String> {
        if length <= self.left() {
            return Ok(());
        }
        Err(format!(
            "it is cut off: {length} bytes should follow byte {}, and {} do",
            self.at,
            self.left()
        ))
    }

    fn fill(&mut self, mut bytes: &mut [u8]) -> Result<(), String> {
        self.require(bytes.len() as u64)?;
        while !bytes.is_empty() {
            if self.taken >= self.piece.len() {
                self.read_on()?;
            }
            let there = self.piece.get(self.taken..).unwrap_or_default();
            let count = there.len().min(bytes.len());
            let (now, later) = bytes.split_at_mut(count);
            now.copy_from_slice(there.get(..count).unwrap_or_default());
            self.taken += count;
            self.at += count as u64;
            bytes = later;
        }
        Ok(())
    }

    fn read_on(&mut self) -> Result<(), String> {
        self.piece.resize(PIECE, 0);
        let read = loop {
            match self.file.read_at(&mut self.piece, self.at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|error| error.to_string())?,
            }
        };
        self.piece.truncate(read);
        self.taken = 0;
        if read == 0 {
            return Err("it became shorter while it was read".to_owned());
        }
        Ok(())
    }
}
