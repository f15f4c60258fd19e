//! The members of a tar archive, one after the other: old, ustar, pax and GNU headers.
//!
//! Headers are read by the `tar` crate; the walk is our own, because it must hold no more of a
//! hostile archive than a name, and because an archive that is cut off must be told from one that
//! is over.

use std::io;

use routir_core::shorten;
use tar::{EntryType, Header};

/// What an archive is made of, in bytes.
pub(super) const BLOCK: usize = 512;

/// The longest name of a member, in bytes.
const MAX_NAME: u64 = 64 << 10;

/// The longest list of pax records, in bytes.
const MAX_PAX: u64 = 1 << 20;

/// An archive that is read forwards.
pub(super) trait Archive {
    /// Fills `buffer` from `offset`, which never goes back; returns how much there was.
    ///
    /// # Errors
    /// When it cannot be read.
    fn fill(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether it has so many bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    fn reaches(&mut self, length: u64) -> io::Result<bool>;
}

/// A file in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Where its data starts.
    pub(super) offset: u64,
    /// How long it is.
    pub(super) size: u64,
    /// The checksum of the block before the data, which is its header.
    pub(super) header_crc: u32,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member<'a> {
    /// A file.
    File(Span),
    /// Another name of an earlier member, a hard link.
    Link(&'a [u8]),
}

/// What an archive holds beside files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Whether it says where it ends.
    pub(super) ended: bool,
    /// Symbolic links, sparse files and devices, which are passed over.
    pub(super) skipped: u64,
}

/// What headers say about the member after them.
#[derive(Default)]
struct Pending {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

/// Is told the name of a member and what it is.
type Each<'e> = &'e mut dyn FnMut(&[u8], Member<'_>) -> Result<(), String>;

/// Calls `each` with the name of every file and hard link.
///
/// # Errors
/// Why this is no whole archive; what `each` answers.
pub(super) fn walk(archive: &mut dyn Archive, each: Each<'_>) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut pending = Pending::default();
    let mut at: u64 = 0;
    loop {
        let mut block = [0; BLOCK];
        let start = at;
        match archive
            .fill(at, &mut block)
            .map_err(|error| error.to_string())?
        {
            0 => return Ok(tally),
            BLOCK => {}
            _ => return Err(format!("it is cut off in the header at byte {at}")),
        }
        if block.iter().all(|byte| *byte == 0) {
            tally.ended = true;
            return Ok(tally);
        }
        let header = Header::from_byte_slice(&block);
        let wrong = |what: &str| format!("the header at byte {start} {what}");
        if !checksum_fits(&block, header) {
            return Err(wrong("is corrupt, or this is no tar archive"));
        }
        let own_size = own_size(header).ok_or_else(|| wrong("has a size that is no number"))?;
        let kind = header.entry_type();
        let data = at + BLOCK as u64;
        let mut size = own_size;
        let mut extra = 0;
        match kind {
            EntryType::GNULongName | EntryType::GNULongLink => {
                let name = read(archive, data, size, MAX_NAME).map_err(|why| wrong(&why))?;
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                let slot = if kind == EntryType::GNULongName {
                    &mut pending.name
                } else {
                    &mut pending.link
                };
                *slot = Some(name.to_vec());
            }
            EntryType::XHeader => {
                let records = read(archive, data, size, MAX_PAX).map_err(|why| wrong(&why))?;
                pax(&records, &mut pending).map_err(|why| wrong(&why))?;
            }
            EntryType::XGlobalHeader => {}
            EntryType::GNUSparse => {
                tally.skipped += 1;
                // More headers may follow, each saying whether it is the last.
                let mut more = block.get(482) == Some(&1);
                while more {
                    let at = data + extra;
                    let read = archive
                        .fill(at, &mut block)
                        .map_err(|error| error.to_string())?;
                    if read < BLOCK {
                        return Err(format!("it is cut off in the header at byte {at}"));
                    }
                    extra += BLOCK as u64;
                    more = block.get(504) == Some(&1);
                }
                pending = Pending::default();
            }
            _ => {
                let Pending {
                    name,
                    link,
                    size: said,
                    sparse,
                } = std::mem::take(&mut pending);
                let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
                if has_data(kind) {
                    size = said.unwrap_or(own_size);
                } else {
                    size = 0;
                }
                let is_file = matches!(kind, EntryType::Regular | EntryType::Continuous)
                    && !name.ends_with(b"/");
                if kind == EntryType::Link {
                    let own = || header.link_name_bytes().map(|link| link.into_owned());
                    if let Some(link) = link.or_else(own) {
                        each(&name, Member::Link(&link))?;
                    }
                } else if is_file && !sparse {
                    let span = Span {
                        offset: data,
                        size,
                        header_crc: crc32fast::hash(&block),
                    };
                    let end = data.checked_add(size);
                    let end = end.ok_or_else(|| wrong("has a size that no archive has"))?;
                    if !archive.reaches(end).map_err(|error| error.to_string())? {
                        let name = String::from_utf8_lossy(&name).into_owned();
                        let name = shorten(&name);
                        return Err(format!(
                            "it is cut off in the member `{name}` at byte {data}"
                        ));
                    }
                    each(&name, Member::File(span))?;
                } else if !matches!(kind, EntryType::Directory) && !name.ends_with(b"/") {
                    tally.skipped += 1;
                }
            }
        }
        let padded = size.checked_next_multiple_of(BLOCK as u64);
        let next = padded.and_then(|size| size.checked_add(data + extra));
        at = next.ok_or_else(|| wrong("has a size that no archive has"))?;
    }
}

/// Whether data follows the header. As Python's `tarfile` has it: links, directories and devices
/// have none, whatever their size says.
fn has_data(kind: EntryType) -> bool {
    !matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

/// The sum of the header's bytes, its own field counted as spaces; as signed bytes, too, which
/// some old programs wrote.
fn checksum_fits(block: &[u8; BLOCK], header: &Header) -> bool {
    let field = 148..156;
    let byte = |(at, byte): (usize, &u8)| if field.contains(&at) { b' ' } else { *byte };
    let unsigned: u32 = block.iter().enumerate().map(|it| u32::from(byte(it))).sum();
    let signed: i64 = block
        .iter()
        .enumerate()
        .map(|it| i64::from(byte(it).cast_signed()))
        .sum();
    header
        .cksum()
        .is_ok_and(|said| said == unsigned || i64::from(said) == signed)
}

/// The data of a header that says something about the next.
fn read(archive: &mut dyn Archive, at: u64, size: u64, most: u64) -> Result<Vec<u8>, String> {
    if size > most {
        return Err(format!("is longer than {most} bytes"));
    }
    let mut data = vec![0; size as usize];
    let read = archive
        .fill(at, &mut data)
        .map_err(|error| error.to_string())?;
    if read == data.len() {
        Ok(data)
    } else {
        Err("is cut off".to_owned())
    }
}

/// The size that a header says; as in Python, none said is 0.
fn own_size(header: &Header) -> Option<u64> {
    let field = &header.as_old().size;
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Some(0);
    }
    header.entry_size().ok()
}

/// The first of `records` as key and value, and what follows it. A record is as long as it says, and
/// may have line breaks.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let digits = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(records.get(..digits)?)
        .ok()?
        .parse()
        .ok()?;
    let (record, after) = records.split_at_checked(length)?;
    let record = record.get(digits + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = record.split_at(equals);
    Some((key, value.get(1..)?, after))
}

fn pax(mut records: &[u8], pending: &mut Pending) -> Result<(), String> {
    // Some programs fill up with zeros.
    while records.first().is_some_and(|byte| *byte != 0) {
        let (key, value, after) = record(records).ok_or("has malformed pax records")?;
        records = after;
        match key {
            b"path" => pending.name = Some(value.to_vec()),
            b"linkpath" => pending.link = Some(value.to_vec()),
            b"size" => {
                let size = std::str::from_utf8(value).ok();
                let size = size.and_then(|size| size.parse().ok());
                pending.size = Some(size.ok_or("has a size that is no number")?);
            }
            key if key.starts_with(b"GNU.sparse.") => pending.sparse = true,
            _ => {}
        }
        if pending
            .name
            .as_ref()
            .is_some_and(|name| name.len() as u64 > MAX_NAME)
        {
            return Err(format!("has a name longer than {MAX_NAME} bytes"));
        }
    }
    Ok(())
}
