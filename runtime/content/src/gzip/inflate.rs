//! A gzip file as its text, from its start or from any place where a block of it begins.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY,
    TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{BlockBoundaryState, DecompressorOxide, decompress};

/// How far back a block may refer.
pub(super) const WINDOW: usize = 32 << 10;

/// How much of the file is read at once.
const INPUT: usize = 64 << 10;

/// The longest header of a member: a name, a comment and extra fields.
const MAX_HEADER: usize = 1 << 20;

/// Where inflating can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resume {
    /// The offset in the file of the first byte that has not been read.
    pub(super) input: u64,
    /// How many bits of the byte before are still to be read.
    pub(super) bits: u8,
    /// Those bits.
    pub(super) bit_buf: u8,
    /// Whether a member begins here, with its header.
    pub(super) member: bool,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Some more text, or none yet.
    Text,
    /// A place to resume at: the end of a block or of a member.
    Boundary,
    /// The end of the file.
    Ended,
}

enum State {
    Header { first: bool },
    Blocks,
    Ended,
}

/// Inflates one file.
pub(super) struct Inflater<'f> {
    file: &'f File,
    /// Where `input` ends in the file.
    at: u64,
    input: Vec<u8>,
    used: usize,
    core: Box<DecompressorOxide>,
    state: State,
    /// The window and the text after it; only up to `end` is filled.
    out: Vec<u8>,
    end: usize,
    /// The check of the member that is being read; `None` when its start was not.
    check: Option<(crc32fast::Hasher, u32)>,
}

impl<'f> Inflater<'f> {
    /// At the start of `file`.
    pub(super) fn new(file: &'f File) -> Self {
        let start = Resume {
            input: 0,
            bits: 0,
            bit_buf: 0,
            member: true,
        };
        let mut inflater = Self::resume(file, start, &[]);
        inflater.state = State::Header { first: true };
        inflater
    }

    /// At `from`, `window` being the text before it.
    pub(super) fn resume(file: &'f File, from: Resume, window: &[u8]) -> Self {
        let state = if from.member {
            State::Header { first: false }
        } else {
            State::Blocks
        };
        let core = DecompressorOxide::from_block_boundary_state(&BlockBoundaryState {
            num_bits: from.bits,
            bit_buf: from.bit_buf,
            ..BlockBoundaryState::default()
        });
        Self {
            file,
            at: from.input,
            input: Vec::new(),
            used: 0,
            core: Box::new(core),
            state,
            out: window.to_vec(),
            end: window.len(),
            check: None,
        }
    }

    /// The window and the text so far.
    pub(super) fn out(&self) -> &[u8] {
        self.out.get(..self.end).unwrap_or_default()
    }

    /// The same, by value.
    pub(super) fn into_out(mut self) -> Vec<u8> {
        self.out.truncate(self.end);
        self.out
    }

    /// Forgets all text but the last [`WINDOW`] bytes; returns how many are left.
    pub(super) fn shift(&mut self) -> usize {
        let start = self.end.saturating_sub(WINDOW);
        self.out.copy_within(start..self.end, 0);
        self.end -= start;
        self.end
    }

    /// The offset in the file up to which it has been read.
    fn position(&self) -> u64 {
        self.at - (self.input.len() - self.used) as u64
    }

    /// Where the last step ended, when that was a boundary.
    pub(super) fn here(&self) -> Option<Resume> {
        let (bits, bit_buf, member) = match self.state {
            State::Header { .. } => (0, 0, true),
            State::Blocks => {
                let state = self.core.block_boundary_state()?;
                (state.num_bits, state.bit_buf, false)
            }
            State::Ended => return None,
        };
        Some(Resume {
            input: self.position(),
            bits,
            bit_buf,
            member,
        })
    }

    /// Goes on to the next boundary, or until there are `room` more bytes of text.
    ///
    /// # Errors
    /// When the file cannot be read, is cut off or corrupt.
    pub(super) fn step(&mut self, room: usize) -> io::Result<Step> {
        match self.state {
            State::Header { first } => self.header(first),
            State::Blocks => self.blocks(room),
            State::Ended => Ok(Step::Ended),
        }
    }

    fn blocks(&mut self, room: usize) -> io::Result<Step> {
        if self.used == self.input.len() && !self.fill()? {
            return Err(cut_off());
        }
        let most = self.end + room;
        if self.out.len() < most {
            self.out.resize(most, 0);
        }
        let input = self.input.get(self.used..).unwrap_or_default();
        let out = self.out.get_mut(..most).unwrap_or_default();
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
            | TINFL_FLAG_HAS_MORE_INPUT
            | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;
        let (status, read, made) = decompress(&mut self.core, input, out, self.end, flags);
        self.used += read;
        let text = self.out.get(self.end..self.end + made).unwrap_or_default();
        if let Some((crc, length)) = &mut self.check {
            crc.update(text);
            *length = length.wrapping_add(text.len() as u32);
        }
        self.end += made;
        match status {
            TINFLStatus::Done => {
                self.trailer()?;
                self.state = State::Header { first: false };
                Ok(Step::Boundary)
            }
            TINFLStatus::BlockBoundary => Ok(Step::Boundary),
            TINFLStatus::NeedsMoreInput | TINFLStatus::HasMoreOutput => Ok(Step::Text),
            _ => Err(corrupt("its compressed blocks make no sense")),
        }
    }

    /// Reads a member's header. After the last member there may be nothing, or zeros.
    fn header(&mut self, first: bool) -> io::Result<Step> {
        let Some(byte) = self.byte()? else {
            self.state = State::Ended;
            return if first {
                Err(cut_off())
            } else {
                Ok(Step::Ended)
            };
        };
        if byte == 0 && !first {
            while let Some(byte) = self.byte()? {
                if byte != 0 {
                    return Err(corrupt("something else follows its padding"));
                }
            }
            self.state = State::Ended;
            return Ok(Step::Ended);
        }
        if byte != 0x1f || self.need()? != 0x8b || self.need()? != 8 {
            return Err(corrupt("something that is not gzip stands in it"));
        }
        let flags = self.need()?;
        if flags & 0xe0 != 0 {
            return Err(corrupt("a member's header has unknown flags"));
        }
        self.skip(6)?;
        if flags & 4 != 0 {
            let length = u16::from_le_bytes([self.need()?, self.need()?]);
            self.skip(usize::from(length))?;
        }
        for flag in [8, 16] {
            if flags & flag != 0 {
                self.skip_text()?;
            }
        }
        if flags & 2 != 0 {
            self.skip(2)?;
        }
        *self.core = DecompressorOxide::default();
        self.check = Some((crc32fast::Hasher::new(), 0));
        self.state = State::Blocks;
        Ok(Step::Text)
    }

    fn trailer(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        for byte in &mut trailer {
            *byte = self.need()?;
        }
        let [a, b, c, d, e, f, g, h] = trailer;
        let said = (
            u32::from_le_bytes([a, b, c, d]),
            u32::from_le_bytes([e, f, g, h]),
        );
        let found = self.check.take();
        let found = found.map(|(crc, length)| (crc.finalize(), length));
        if found.is_none_or(|found| found == said) {
            Ok(())
        } else {
            Err(corrupt("a member's checksum is wrong"))
        }
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.input.resize(INPUT, 0);
        let read = loop {
            match self.file.read_at(&mut self.input, self.at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.input.truncate(read);
        self.used = 0;
        self.at += read as u64;
        Ok(read > 0)
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        if self.used == self.input.len() && !self.fill()? {
            return Ok(None);
        }
        let byte = self.input.get(self.used).copied();
        self.used += 1;
        Ok(byte)
    }

    fn need(&mut self) -> io::Result<u8> {
        self.byte()?.ok_or_else(cut_off)
    }

    fn skip(&mut self, count: usize) -> io::Result<()> {
        (0..count).try_for_each(|_| self.need().map(drop))
    }

    fn skip_text(&mut self) -> io::Result<()> {
        for _ in 0..MAX_HEADER {
            if self.need()? == 0 {
                return Ok(());
            }
        }
        Err(corrupt("a member's header does not end"))
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off")
}

fn corrupt(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
