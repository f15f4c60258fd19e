//! How a collection is opened, and what is told while that takes long.

use std::path::{Path, PathBuf};

/// The longest line of a corpus, in bytes, unless told otherwise: 64 MiB.
const MAX_LINE_BYTES: usize = 64 << 20;

/// The largest document of bytes unless told otherwise: 64 MiB, as much as a gRPC message holds.
const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

/// How a collection is opened.
#[derive(Clone, Copy)]
pub struct OpenOptions<'a> {
    /// Where indices go when a view names no directory of its own; `None` is beside the corpus
    /// and, where that cannot be written, the user's cache directory.
    pub cache_dir: Option<&'a Path>,
    /// The longest line that counts as a document, in bytes; a longer one is malformed. Bounds the
    /// memory that one document can take.
    pub max_line_bytes: usize,
    /// How many threads read a corpus that is being indexed.
    pub workers: usize,
    /// Told now and then, on the opening thread, how far the work has come.
    pub progress: Option<&'a dyn Fn(Progress<'_>)>,
    /// Forgets that indices exist and builds them anew.
    pub rebuild: bool,
    /// Opens all shards of a view over several files at once, building the indices that are
    /// missing, instead of each when it is first asked for.
    pub all_shards: bool,
    /// The most bytes that a document of a view of bytes may have.
    pub max_document_bytes: u64,
}

impl Default for OpenOptions<'_> {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cache_dir: None,
            max_line_bytes: MAX_LINE_BYTES,
            workers: cores.min(8),
            progress: None,
            rebuild: false,
            all_shards: false,
            max_document_bytes: MAX_DOCUMENT_BYTES,
        }
    }
}

impl OpenOptions<'_> {
    /// Tells the progress.
    pub(crate) fn tell(&self, progress: Progress<'_>) {
        if let Some(tell) = self.progress {
            tell(progress);
        }
    }
}

/// What is being done while a collection opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A compressed corpus is written anew in blocks that can be read at random.
    Unpacking,
    /// The place of every document is written down.
    Indexing,
    /// All documents are read into memory.
    Loading,
}

/// How far the opening of a collection has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub phase: Phase,
    /// The corpus.
    pub path: &'a Path,
    /// Bytes read so far: of the file itself while unpacking, of its text otherwise.
    pub bytes_done: u64,
    /// Bytes to read in all.
    pub bytes_total: u64,
    /// Documents met so far; 0 while unpacking.
    pub documents: u64,
}

/// What opening needs to know, owned: for the threads that work at it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Location {
    /// The corpus.
    pub(crate) doc_path: PathBuf,
    /// The field that holds the id.
    pub(crate) id_field: String,
    /// The directory for indices, when one is named.
    pub(crate) cache_dir: Option<PathBuf>,
    /// The path after which indices are named, when one is given.
    pub(crate) sidecar_path: Option<PathBuf>,
}
