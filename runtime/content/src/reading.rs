//! How a file is read by offset: with patience, or only as far as its bytes lie in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How long a read may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As long as the disk needs. Blocks, so for threads that may.
    Patient,
    /// Not at all: what does not lie in the system's page cache is an error, as is everything where
    /// the system or the file system cannot tell. Whoever gets it reads again with patience.
    AtHand,
}

impl Reading {
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// When the file ends before, cannot be read, or would have to be waited for.
    pub(crate) fn exact_at(self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Patient => file.read_exact_at(buffer, offset),
            Self::AtHand => at_hand(file, buffer, offset),
        }
    }
}

#[cfg(target_os = "linux")]
fn at_hand(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    use rustix::io::{ReadWriteFlags, preadv2};
    let wanted = buffer.len();
    let mut buffers = [io::IoSliceMut::new(buffer)];
    // Of what is partly there the system gives the part.
    let read = preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT)?;
    if read == wanted {
        Ok(())
    } else {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

#[cfg(not(target_os = "linux"))]
fn at_hand(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::WouldBlock.into())
}
