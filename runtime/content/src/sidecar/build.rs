//! Building a sidecar: one pass over the corpus, parsed on several threads, sorted with bounded
//! memory, and then a look at every id that came more than once.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use parking_lot::Mutex;
use routir_core::{Error, Result};

use super::entry::{Entry, MAX_OFFSET};
use super::sort::{HELD, Sorter};
use super::write::PageWriter;
use super::{Head, MAGIC, VERSION, Wanted};
use crate::failure::{changed, io_error};
use crate::header;
use crate::id_hash::IdHash;
use crate::lines::{Piece, Pieces};
use crate::options::{OpenOptions, Phase, Progress};
use crate::reading::Reading;
use crate::record::id_of;
use crate::source::Source;

/// More malformed lines than this in a row mean that the file is no such corpus.
const MALFORMED_IN_A_ROW: u64 = 10;

/// How many malformed lines are reported one by one.
const MALFORMED_REPORTED: u64 = 10;

/// Writes the sidecar of `source` into `file`; temporary files go to `dir`.
///
/// # Errors
/// When the corpus cannot be read or has more than ten malformed lines in a row, or when the disk
/// is full.
pub(crate) fn build(
    source: &Source,
    wanted: Wanted<'_>,
    hash: IdHash,
    options: &OpenOptions<'_>,
    file: &File,
    dir: &Path,
) -> Result<()> {
    let mut sorter = Sorter::new(dir.to_owned(), HELD);
    let writing = |error: io::Error| io_error("writing an index in", dir, &error);
    let take = &mut |entry| sorter.push(entry).map_err(writing);
    let malformed = read(source, wanted, hash, options, take)?;

    let mut pages = PageWriter::new(file);
    let mut duplicates = Vec::new();
    let mut same: Vec<Entry> = Vec::new();
    for entry in sorter.sorted().map_err(writing)? {
        let entry = entry.map_err(writing)?;
        if same.last().is_some_and(|last| last.hash() != entry.hash()) {
            settle(source, wanted.id_field, &mut same, &mut duplicates)?;
            same.drain(..)
                .try_for_each(|entry| pages.push(entry))
                .map_err(writing)?;
        }
        same.push(entry);
    }
    settle(source, wanted.id_field, &mut same, &mut duplicates)?;
    same.drain(..)
        .try_for_each(|entry| pages.push(entry))
        .map_err(writing)?;
    duplicates.sort_unstable();
    let (documents, [fences_crc, duplicates_crc]) = pages.finish(&duplicates).map_err(writing)?;
    let head = Head {
        version: VERSION,
        source: wanted.source.clone(),
        id_field: wanted.id_field.to_owned(),
        max_line_bytes: wanted.max_line_bytes as u64,
        hash,
        documents,
        duplicates: duplicates.len() as u64,
        malformed,
        fences_crc,
        duplicates_crc,
    };
    header::write(file, MAGIC, &head).map_err(writing)?;
    report(source.path(), &head);
    Ok(())
}

fn report(path: &Path, head: &Head) {
    let path = path.display();
    if head.malformed > MALFORMED_REPORTED {
        tracing::warn!(
            "{path}: {} malformed lines were skipped in all",
            head.malformed
        );
    }
    if head.duplicates > 0 {
        tracing::warn!(
            "{path}: {} lines have an id that comes again further down; the last one counts",
            head.duplicates
        );
    }
    tracing::info!("{path}: {} documents indexed", head.documents);
}

/// Of entries with one hash, in the order of the corpus, keeps the last of each id.
fn settle(
    source: &Source,
    id_field: &str,
    same: &mut Vec<Entry>,
    duplicates: &mut Vec<u64>,
) -> Result<()> {
    if same.len() < 2 {
        return Ok(());
    }
    let mut last: HashMap<String, Entry> = HashMap::new();
    for &entry in same.iter() {
        let line = source.read(entry.span(), Reading::Patient)?;
        let id = id_of(&line, id_field).map_err(|why| changed(source.path(), &why))?;
        if let Some(earlier) = last.insert(id.into_owned(), entry) {
            duplicates.push(earlier.span().offset);
        }
    }
    same.clear();
    same.extend(last.into_values());
    same.sort_unstable();
    Ok(())
}

/// What one piece of the corpus holds.
struct Parsed {
    entries: Vec<Entry>,
    lines: u64,
    /// How many lines are not empty.
    filled: u64,
    malformed: Vec<Malformed>,
    bytes: u64,
}

struct Malformed {
    /// The line in the piece, from 0.
    line: u64,
    /// The same among those that are not empty.
    filled: u64,
    why: String,
}

fn parse(piece: &Piece, id_field: &str, hash: IdHash, max_line: usize) -> Parsed {
    let mut parsed = Parsed {
        entries: Vec::new(),
        lines: 0,
        filled: 0,
        malformed: Vec::new(),
        bytes: piece.length,
    };
    for line in piece.lines(max_line) {
        let number = parsed.lines;
        parsed.lines += 1;
        let id = match line.bytes {
            Some([]) => continue,
            Some(bytes) => id_of(bytes, id_field).map(|id| (id, bytes.len())),
            None => Err(format!("it is longer than {max_line} bytes")),
        };
        let length = |(id, length)| Some((id, u32::try_from(length).ok()?));
        let id = id.and_then(|found| length(found).ok_or("it is longer than 4 GiB".to_owned()));
        match id {
            Ok((id, length)) => {
                parsed
                    .entries
                    .push(Entry::new(hash.of(&id), line.offset, length));
            }
            Err(why) => {
                parsed.malformed.push(Malformed {
                    line: number,
                    filled: parsed.filled,
                    why,
                });
            }
        }
        parsed.filled += 1;
    }
    parsed
}

/// Reads the corpus on one thread, parses it on several, and hands the entries to `take` on this
/// one. Returns how many lines are malformed.
fn read(
    source: &Source,
    wanted: Wanted<'_>,
    hash: IdHash,
    options: &OpenOptions<'_>,
    take: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<u64> {
    let workers = options.workers.max(1);
    let max_line = wanted.max_line_bytes;
    thread::scope(|scope| {
        let (work, queue) = sync_channel::<(u64, Piece)>(workers);
        let (done, results) = sync_channel::<(u64, io::Result<Parsed>)>(workers);
        let queue = Arc::new(Mutex::new(queue));
        let failed = done.clone();
        // Every thread ends when the other end of its channel is gone.
        scope.spawn(move || {
            for (index, piece) in (0..).zip(Pieces::new(source.reader(), max_line)) {
                let sent = match piece {
                    Ok(piece) => work.send((index, piece)).is_ok(),
                    Err(error) => failed.send((index, Err(error))).is_ok(),
                };
                if !sent {
                    return;
                }
            }
        });
        for _ in 0..workers {
            let (queue, done) = (Arc::clone(&queue), done.clone());
            scope.spawn(move || {
                loop {
                    let next = queue.lock().recv();
                    let Ok((index, piece)) = next else { return };
                    let parsed = parse(&piece, wanted.id_field, hash, max_line);
                    if done.send((index, Ok(parsed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop((queue, done));
        collect(source, results, options, take)
    })
}

/// Puts the pieces back in order.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the threads end when the receiver is gone"
)]
fn collect(
    source: &Source,
    results: Receiver<(u64, io::Result<Parsed>)>,
    options: &OpenOptions<'_>,
    take: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<u64> {
    let mut early: BTreeMap<u64, Parsed> = BTreeMap::new();
    let mut next = 0;
    let mut tally = Tally {
        path: source.path(),
        lines: 0,
        filled: 0,
        malformed: 0,
        row: 0,
        last: None,
    };
    let mut progress = Progress {
        phase: Phase::Indexing,
        path: source.path(),
        bytes_done: 0,
        bytes_total: source.text_bytes(),
        documents: 0,
    };
    options.tell(progress.clone());
    for (index, parsed) in &results {
        early.insert(
            index,
            parsed.map_err(|error| io_error("reading", source.path(), &error))?,
        );
        while let Some(parsed) = early.remove(&next) {
            next += 1;
            tally.add(&parsed)?;
            progress.bytes_done += parsed.bytes;
            progress.documents += parsed.entries.len() as u64;
            if progress.bytes_done > MAX_OFFSET {
                return Err(Error::invalid(format!(
                    "{} holds more than 256 TiB of text, the most that can be indexed",
                    source.path().display()
                )));
            }
            parsed.entries.into_iter().try_for_each(&mut *take)?;
            options.tell(progress.clone());
        }
    }
    Ok(tally.malformed)
}

/// Counts lines, and gives up when too many in a row are malformed.
struct Tally<'a> {
    path: &'a Path,
    lines: u64,
    filled: u64,
    malformed: u64,
    row: u64,
    /// The last malformed line, counted among those that are not empty.
    last: Option<u64>,
}

impl Tally<'_> {
    fn add(&mut self, parsed: &Parsed) -> Result<()> {
        for bad in &parsed.malformed {
            let line = self.lines + bad.line + 1;
            let filled = self.filled + bad.filled;
            let follows = self.last.is_some_and(|last| last + 1 == filled);
            self.row = if follows { self.row + 1 } else { 1 };
            self.last = Some(filled);
            self.malformed += 1;
            let (path, why) = (self.path.display(), &bad.why);
            if self.row > MALFORMED_IN_A_ROW {
                return Err(Error::invalid(format!(
                    "{path}, line {line}: {why}; more than {MALFORMED_IN_A_ROW} lines in a row are \
                     malformed, so this is not a file of one JSON object with an id per line; \
                     check `doc_path` and `id_field`"
                )));
            }
            if self.malformed <= MALFORMED_REPORTED {
                tracing::warn!("{path}, line {line} is skipped: {why}");
            }
        }
        self.lines += parsed.lines;
        self.filled += parsed.filled;
        Ok(())
    }
}
