//! The segmented MS MARCO v2.1 collection: sixty files of JSON lines, compressed with gzip, in which
//! an id says itself where its document lies.
//!
//! `msmarco_v2.1_doc_<shard>_<document>#<segment>_<offset>`: split at `_`, the fourth field is the
//! shard, the sixth the offset in the text of `msmarco_v2.1_doc_segmented_<shard>.json.gz`. Whoever
//! asks makes up the offset, so it must be the start of a line, and the line must have that very id.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use routir_core::{Error, Result};

use crate::bytes_view::MAX_ID;
use crate::failure::{changed, io_error};
use crate::gzip::{Gzip, Indexer, Spans, spans};
use crate::opening::{Opened, State};
use crate::options::OpenOptions;
use crate::place::sidecars;
use crate::record::{Projection, Record};
use crate::sidecar::Unusable;
use crate::source::Compression;
use crate::stamp::SourceStamp;
use crate::store::{reuse_or_make, unknown};

/// The name of a shard's file is its number between these.
const BEFORE: &str = "msmarco_v2.1_doc_segmented_";
const AFTER: &str = ".json.gz";

/// The longest shard number.
const MAX_SHARD: usize = 6;

/// How many shards are held open.
const OPEN: u64 = 128;

/// How much of a line is read at once.
const PIECE: usize = 16 << 10;

/// What such a view is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SegmentsParts {
    /// The directory with the shards.
    pub(crate) directory: PathBuf,
    /// The directory for their indices; `None` is beside them, or else the user's.
    pub(crate) cache_dir: Option<PathBuf>,
}

/// The shards of the collection.
pub(crate) struct Segments {
    parts: SegmentsParts,
    projection: Projection,
    max_line: usize,
    open: Opened<Gzip>,
    spans: Spans,
}

impl Segments {
    /// Opens the collection: each shard when it is first asked for, or, with `options.all_shards`,
    /// all at once.
    ///
    /// # Errors
    /// When the directory cannot be read or has no shard.
    pub(crate) fn open(
        mut parts: SegmentsParts,
        projection: Projection,
        options: &OpenOptions<'_>,
    ) -> Result<Self> {
        parts.cache_dir = parts.cache_dir.or(options.cache_dir.map(Into::into));
        let shards = shards(&parts.directory)?;
        if shards.is_empty() {
            return Err(Error::invalid(format!(
                "there is no `{BEFORE}<shard>{AFTER}` in {}; name the directory with the shards in \
                 `doc_path`",
                parts.directory.display()
            )));
        }
        let segments = Self {
            parts,
            projection,
            max_line: options.max_line_bytes,
            open: Opened::new(OPEN),
            spans: spans(),
        };
        if options.all_shards {
            for shard in shards {
                let opened = segments.shard_with(&shard, options)?;
                segments.open.insert(shard, opened);
            }
        }
        Ok(segments)
    }

    /// The document `id`. Blocking.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::UnknownDocument`]; a shard that cannot be read, or changed.
    pub(crate) fn read(&self, id: &str) -> Result<Record> {
        let (shard, offset) = parse(id).ok_or_else(|| unknown(id))?;
        let opened = match self.open.get(shard) {
            Some(opened) => opened,
            None => {
                let now = fs::metadata(self.path(shard));
                if matches!(&now, Err(error) if error.kind() == io::ErrorKind::NotFound) {
                    return Err(unknown(id));
                }
                let state = now.ok().map(|now| State::of(&now));
                let open = || self.shard_with(shard, &OpenOptions::default());
                self.open.get_or(shard, state, open)?
            }
        };
        let line = self.line(&opened, offset)?.ok_or_else(|| unknown(id))?;
        match self.projection.read(&line) {
            Ok(record) if record.id == id => Ok(record),
            _ => Err(unknown(id)),
        }
    }

    fn path(&self, shard: &str) -> PathBuf {
        self.parts.directory.join(format!("{BEFORE}{shard}{AFTER}"))
    }

    /// The line that starts at `offset`; `None` when no line does.
    fn line(&self, shard: &Gzip, offset: u64) -> Result<Option<Vec<u8>>> {
        let start = offset.saturating_sub(1);
        let mut line = Vec::new();
        let mut at = start;
        let skip = usize::from(offset > 0);
        while at < shard.text_bytes() && line.len() <= self.max_line + skip {
            let left = usize::try_from(shard.text_bytes() - at).unwrap_or(usize::MAX);
            let filled = line.len();
            line.resize(filled + left.min(PIECE), 0);
            shard.read(at, line.get_mut(filled..).unwrap_or_default())?;
            at = start + line.len() as u64;
            if filled == 0 && skip == 1 && line.first() != Some(&b'\n') {
                return Ok(None);
            }
            let fresh = line.get(filled.max(skip)..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                line.truncate(filled.max(skip) + end);
                break;
            }
        }
        let line = line.split_off(skip.min(line.len()));
        Ok((!line.is_empty() && line.len() <= self.max_line).then_some(line))
    }

    fn shard_with(&self, shard: &str, options: &OpenOptions<'_>) -> Result<Gzip> {
        let path = &self.path(shard);
        let file = File::open(path).map_err(|error| io_error("opening", path, &error))?;
        let reading = |error: io::Error| io_error("reading", path, &error);
        let stamp = SourceStamp::of(&file).map_err(reading)?;
        if Compression::of(&file, path)? != Some(Compression::Gzip) {
            return Err(Error::invalid(format!("{} is not gzip", path.display())));
        }
        let targets = sidecars(path, self.parts.cache_dir.as_deref(), ".routir-gzip");
        let open = &mut |index_path: &Path, index: File| {
            let file = file.try_clone();
            let file = file.map_err(|error| Unusable::Corrupt(error.to_string()))?;
            Gzip::open((path, file, &stamp), (index_path, index), &self.spans)
        };
        let make = &mut |out: &File, _: &Path| {
            let whole = Indexer::new(&file, out).finish(&stamp);
            whole.map_err(|error| {
                Error::invalid(format!(
                    "decompressing {} failed: {error}; fetch it again",
                    path.display()
                ))
            })
        };
        let opened = reuse_or_make(&targets, options, open, make)?;
        if SourceStamp::of(&file).map_err(reading)? == stamp {
            Ok(opened)
        } else {
            Err(changed(path, "while it was indexed"))
        }
    }
}

/// The shard and the offset that an id names.
fn parse(id: &str) -> Option<(&str, u64)> {
    if id.len() > MAX_ID {
        return None;
    }
    let fields: Vec<&str> = id.split('_').collect();
    let [_, _, _, shard, _, offset] = fields.as_slice() else {
        return None;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let sound = digits(shard) && shard.len() <= MAX_SHARD && digits(offset);
    sound.then_some((*shard, offset.parse().ok()?))
}

/// The shards in a directory.
fn shards(directory: &Path) -> Result<Vec<String>> {
    let reading = |error: io::Error| io_error("reading the directory", directory, &error);
    let mut shards = Vec::new();
    for entry in fs::read_dir(directory).map_err(reading)? {
        let name = entry.map_err(reading)?.file_name();
        let shard = name
            .to_str()
            .and_then(|name| name.strip_prefix(BEFORE)?.strip_suffix(AFTER));
        shards.extend(shard.map(str::to_owned));
    }
    shards.sort();
    Ok(shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_where_their_documents_lie() {
        assert_eq!(parse("msmarco_v2.1_doc_07_123#4_5678"), Some(("07", 5678)));
        for wrong in [
            "",
            "d1",
            "msmarco_v2.1_doc_07_123",
            "msmarco_v2.1_doc_../x_1#2_3",
            "msmarco_v2.1_doc__1#2_3",
            "msmarco_v2.1_doc_07_1#2_-3",
            "msmarco_v2.1_doc_07_1#2_99999999999999999999",
            "msmarco_v2.1_doc_07_1#2_3_4",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
