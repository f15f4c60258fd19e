//! What tells one state of a corpus file from another without reading all of it.

use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// How much of the head and of the tail is hashed, in bytes.
const SAMPLE: usize = 64 << 10;

/// Size, time of the last change, and hashes of the head and the tail of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceStamp {
    /// The size in bytes.
    pub(crate) size: u64,
    /// When it was last changed: seconds since the Unix epoch.
    mtime: i64,
    /// And the nanoseconds of that second.
    mtime_ns: i64,
    /// The hash of the first 64 KiB.
    head: u64,
    /// The hash of the last 64 KiB.
    tail: u64,
}

impl SourceStamp {
    /// The stamp of `file` as it is now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        let size = meta.len();
        Ok(Self {
            size,
            mtime: meta.mtime(),
            mtime_ns: meta.mtime_nsec(),
            head: sample(file, 0)?,
            tail: sample(file, size.saturating_sub(SAMPLE as u64))?,
        })
    }
}

fn sample(file: &File, mut offset: u64) -> io::Result<u64> {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    let mut buffer = vec![0; SAMPLE];
    let mut left = SAMPLE;
    while left > 0 {
        let (room, _) = buffer.split_at_mut(left);
        match file.read_at(room, offset) {
            Ok(0) => break,
            Ok(n) => {
                hasher.write(room.get(..n).unwrap_or_default());
                offset += n as u64;
                left = left.saturating_sub(n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hasher.finish())
}
