//! The first page of an index file: what it is, whose it is, and a checksum.
//!
//! Layout: eight bytes of magic; the length of the JSON and its CRC-32, both little-endian `u32`;
//! the JSON; zeros up to 4 KiB.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The length of the header in bytes: what follows starts here.
pub(crate) const HEADER_BYTES: u64 = 4096;

const PREFIX: usize = 16;

/// Writes the header of `file`.
///
/// # Errors
/// When the file cannot be written, or `head` is longer than the page.
pub(crate) fn write<T: Serialize>(file: &File, magic: &[u8; 8], head: &T) -> io::Result<()> {
    let json = serde_json::to_vec(head)?;
    if json.len() + PREFIX > HEADER_BYTES as usize {
        return Err(io::Error::other("the name of the id field is too long"));
    }
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let mut page = Vec::with_capacity(HEADER_BYTES as usize);
    page.extend_from_slice(magic);
    page.extend_from_slice(&length.to_le_bytes());
    page.extend_from_slice(&crc32fast::hash(&json).to_le_bytes());
    page.extend_from_slice(&json);
    page.resize(HEADER_BYTES as usize, 0);
    file.write_all_at(&page, 0)
}

/// Reads the header of `file`.
///
/// # Errors
/// Why the file is not one of ours, or cannot be used.
pub(crate) fn read<T: DeserializeOwned>(file: &File, magic: &[u8; 8]) -> Result<T, String> {
    let mut page = vec![0; HEADER_BYTES as usize];
    file.read_exact_at(&mut page, 0)
        .map_err(|error| format!("its header: {error}"))?;
    let rest = page.strip_prefix(magic).ok_or("it is not such a file")?;
    let (length, rest) = rest
        .split_first_chunk::<4>()
        .ok_or("its header is cut off")?;
    let (crc, rest) = rest
        .split_first_chunk::<4>()
        .ok_or("its header is cut off")?;
    let json = rest
        .get(..u32::from_le_bytes(*length) as usize)
        .ok_or("its header is cut off")?;
    if crc32fast::hash(json) != u32::from_le_bytes(*crc) {
        return Err("its header's checksum is wrong".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| format!("its header: {error}"))
}
