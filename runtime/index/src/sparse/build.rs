//! Builds an index: documents go to disk as they come; then they are ordered and written term by term.
//!
//! Memory is bounded by about 20 bytes per document and 100 MB; the disk holds about 12 bytes per
//! weight until the end.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytemuck::cast_slice;
use rayon::prelude::*;
use routir_core::{Error, ErrorCode, Result};

use super::manifest::{Manifest, unwritten};
use super::order::order;
use super::quantize::{impact, scale, tidy};
use super::spill::{Spill, SpillWriter};
use super::turn::{Chunk, Turn};
use super::{BLOCK, MAX_DOCUMENT_TERMS, MAX_VOCABULARY};
use crate::folder::Folder;
use crate::ids::IdsWriter;
use crate::manifest;

/// The longest document id, in bytes.
const MAX_ID_BYTES: usize = 1 << 16;

/// How an index is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseOptions {
    /// Ids of terms are below: the size of the model's vocabulary.
    pub vocabulary: usize,
    /// The model that makes the weights; [`super::SparseIndex::model`] answers it.
    pub model: String,
    /// What the index is made of, in the builder's own words; [`super::SparseIndex::stamp`] answers
    /// it.
    pub stamp: String,
    /// Whether documents stay in the order in which they come, as when that puts like ones together
    /// already: building is faster then. Otherwise they are ordered by likeness.
    pub keep_order: bool,
    /// Whether an index that is there may be replaced.
    pub replace: bool,
}

/// What a build is doing after all documents came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SparsePhase {
    /// Puts like documents together.
    Ordering,
    /// Writes documents in their order; the terms' rows are made of them at the end.
    Writing,
}

/// What was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SparseSummary {
    /// Documents.
    pub documents: u32,
    /// Weights of all documents.
    pub postings: u64,
    /// Terms that documents have.
    pub terms: u32,
    /// Bytes of all files.
    pub bytes: u64,
}

/// What is known of a term's weights.
#[derive(Clone, Copy)]
struct Weights {
    max: f32,
    whole: bool,
}

/// Writes an index aside and puts it in place when it is complete.
pub struct SparseBuilder {
    folder: Folder,
    options: SparseOptions,
    spill: SpillWriter,
    /// By term.
    weights: Vec<Weights>,
    /// Of the documents' ids.
    hashes: Vec<u64>,
}

impl SparseBuilder {
    /// Starts an index that is to lie in the folder `dir`. Waits while another process builds there.
    ///
    /// # Errors
    /// When the vocabulary is empty or larger than [`MAX_VOCABULARY`], when there is something
    /// already at `dir` and it is not to be replaced or is no such index, or when files cannot be
    /// made beside it.
    pub fn create(dir: &Path, options: SparseOptions) -> Result<Self> {
        if options.vocabulary == 0 || options.vocabulary > MAX_VOCABULARY {
            return Err(Error::invalid(format!(
                "a vocabulary has 1 to {MAX_VOCABULARY} terms, not {}",
                options.vocabulary
            )));
        }
        check_target(dir, options.replace)?;
        let folder = Folder::create(dir).map_err(|error| unwritten(dir, "starting it", error))?;
        // Another process may have made one while this waited for it.
        check_target(dir, options.replace)?;
        let spill = SpillWriter::create(folder.path());
        let nothing = Weights {
            max: 0.0,
            whole: true,
        };
        Ok(Self {
            spill: spill.map_err(|error| unwritten(dir, "starting it", error))?,
            weights: vec![nothing; options.vocabulary],
            hashes: Vec::new(),
            folder,
            options,
        })
    }

    /// How many documents it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spill.len() as usize
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a document: its id and its terms with their weights, in any order; weights of a term
    /// given twice are added, those of 0 are left out. One without terms is never found.
    ///
    /// # Errors
    /// For an empty or overlong id, a weight that is negative or no number, a term beyond the
    /// vocabulary, too many terms or documents: that document is not added, and others can be. When
    /// the disk is full.
    pub fn add(&mut self, id: &str, terms: &[(u32, f32)]) -> Result<()> {
        let wrong = |why: String| Error::invalid(format!("document `{}`: {why}", shown(id)));
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return Err(wrong(format!(
                "its id has {} bytes, not 1 to {MAX_ID_BYTES}",
                id.len()
            )));
        }
        if let Some((term, _)) = terms
            .iter()
            .find(|it| it.0 as usize >= self.options.vocabulary)
        {
            let vocabulary = self.options.vocabulary;
            return Err(wrong(format!(
                "it has term {term}, but the vocabulary has {vocabulary} terms"
            )));
        }
        if terms.len() > MAX_DOCUMENT_TERMS {
            return Err(wrong(format!(
                "it has {} terms, more than {MAX_DOCUMENT_TERMS}",
                terms.len()
            )));
        }
        if self.spill.len() == u32::MAX {
            return Err(wrong(format!(
                "an index has at most {} documents",
                u32::MAX
            )));
        }
        let weights = tidy(terms).map_err(|error| wrong(error.message().to_owned()))?;
        for (term, weight) in &weights {
            if let Some(known) = self.weights.get_mut(*term as usize) {
                known.max = known.max.max(*weight);
                known.whole &= weight.fract() == 0.0;
            }
        }
        self.hashes.push(hash(id));
        let pushed = self.spill.push(id, &weights);
        pushed.map_err(|error| unwritten(self.folder.target(), "writing documents", error))
    }

    /// Completes the index and puts it in its place. Computes on the current rayon pool; the index
    /// is the same on any number of threads. `progress` is told what is done, and for how many
    /// documents of how many.
    ///
    /// # Errors
    /// When two documents have the same id, or files cannot be written.
    pub fn finish(self, progress: &mut dyn FnMut(SparsePhase, u64, u64)) -> Result<SparseSummary> {
        let Self {
            folder,
            options,
            spill,
            weights,
            hashes,
        } = self;
        let failed = |step| {
            let target = folder.target().to_owned();
            move |error: io::Error| unwritten(&target, step, error)
        };
        let spill = spill.finish()?;
        no_twins(&spill, hashes)?;
        let documents = spill.len() as u64;
        progress(SparsePhase::Ordering, 0, documents);
        let order = if options.keep_order {
            (0..spill.len() as u32).collect()
        } else {
            order(&spill, &mut |done| {
                progress(SparsePhase::Ordering, done, documents)
            })
        };
        progress(SparsePhase::Writing, 0, documents);
        let terms = Terms::new(&weights);
        terms
            .write(folder.path())
            .map_err(failed("writing the terms"))?;
        let blocks = Turn::create(folder.path(), terms.terms.len());
        let mut blocks = blocks.map_err(failed("starting its files"))?;
        let mut done = 0;
        for wave in order.chunks(BLOCK * 4 * rayon::current_num_threads()) {
            let chunks = wave.par_chunks(BLOCK).map(|it| terms.chunk(&spill, it));
            for chunk in chunks.collect::<Vec<_>>() {
                blocks
                    .push(&chunk)
                    .map_err(failed("writing documents in their order"))?;
            }
            done += wave.len() as u64;
            progress(SparsePhase::Writing, done, documents);
        }
        let mut ids = IdsWriter::create(folder.path()).map_err(failed("starting its files"))?;
        for document in &order {
            ids.push(spill.id(*document)?)
                .map_err(failed("writing the document ids"))?;
        }
        ids.finish(folder.path())?;
        let postings = blocks.postings();
        let bytes = write_rows(folder.path(), blocks).map_err(failed("writing the rows"))?;
        let manifest = Manifest {
            block: BLOCK,
            vocabulary: options.vocabulary as u32,
            terms: terms.terms.len() as u32,
            documents: spill.len() as u32,
            postings,
            bytes,
            model: options.model,
            stamp: options.stamp,
        };
        spill
            .remove()
            .map_err(failed("removing what was needed to build it"))?;
        let summary = SparseSummary {
            documents: manifest.documents,
            postings: manifest.postings,
            terms: manifest.terms,
            bytes: 0,
        };
        manifest
            .write(folder.path())
            .map_err(failed("writing the manifest"))?;
        let bytes = folder.publish().map_err(failed("putting it in place"))?;
        Ok(SparseSummary { bytes, ..summary })
    }
}

/// Whether an index may be put at `dir`.
fn check_target(dir: &Path, replace: bool) -> Result<()> {
    let empty = || fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
    if !dir.exists() || empty() {
        return Ok(());
    }
    let shown = dir.display();
    if !replace {
        return Err(Error::invalid(format!(
            "there is something in `{shown}` already; give another folder, or say that it is to be \
             replaced"
        )));
    }
    match Manifest::read(dir) {
        Ok(_) => Ok(()),
        Err(_) if dir.join(manifest::NAME).is_file() && dir.join("rows.bin").is_file() => Ok(()),
        Err(_) => Err(Error::invalid(format!(
            "`{shown}` is there already and is no sparse index; give another folder"
        ))),
    }
}

fn shown(id: &str) -> String {
    id.chars().take(80).collect()
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// Refuses documents with the same id.
fn no_twins(spill: &Spill, hashes: Vec<u64>) -> Result<()> {
    let mut sorted = hashes;
    sorted.par_sort_unstable();
    let twins: Vec<u64> = sorted
        .windows(2)
        .filter_map(|it| match it {
            [a, b] if a == b => Some(*a),
            _ => None,
        })
        .collect();
    if twins.is_empty() {
        return Ok(());
    }
    let mut seen: Vec<&str> = Vec::new();
    for document in 0..spill.len() as u32 {
        let id = spill.id(document)?;
        if twins.binary_search(&hash(id)).is_ok() {
            seen.push(id);
        }
    }
    seen.sort_unstable();
    match seen
        .windows(2)
        .find(|it| it.first() == it.last())
        .and_then(|it| it.first())
    {
        None => Ok(()),
        Some(id) => Err(Error::new(
            ErrorCode::InvalidArgument,
            format!(
                "there is more than one document `{}`; ids must differ",
                shown(id)
            ),
        )),
    }
}

/// The terms that documents have.
struct Terms {
    terms: Vec<u32>,
    scales: Vec<f32>,
    /// By term of the vocabulary: its place and scale, for those that documents have.
    places: Vec<(u32, f32)>,
}

impl Terms {
    fn new(weights: &[Weights]) -> Self {
        let (mut terms, mut scales, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (term, known) in (0_u32..).zip(weights) {
            let scale = scale(known.max, known.whole);
            places.push((terms.len() as u32, scale));
            if known.max > 0.0 {
                terms.push(term);
                scales.push(scale);
            }
        }
        Self {
            terms,
            scales,
            places,
        }
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        write(&dir.join("terms.u32"), cast_slice(&self.terms))?;
        write(&dir.join("scales.f32"), cast_slice(&self.scales))
    }

    fn chunk(&self, spill: &Spill, documents: &[u32]) -> Chunk {
        let quantised = |(term, weight): (u32, f32)| {
            let (place, scale) = self.places.get(term as usize).copied()?;
            Some((place, impact(weight, scale)))
        };
        let weights = |document: &u32| spill.weights(*document).filter_map(quantised).collect();
        Chunk::new(&documents.iter().map(weights).collect::<Vec<_>>())
    }
}

/// Writes the rows of all terms; answers their bytes.
fn write_rows(dir: &Path, blocks: Turn) -> io::Result<u64> {
    let mut file = BufWriter::new(File::create_new(dir.join("rows.bin"))?);
    let (mut ends, mut end) = (Vec::new(), 0_u64);
    blocks.finish(|row| {
        end += row.len() as u64;
        ends.push(end);
        file.write_all(row)
    })?;
    file.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()?;
    write(&dir.join("rows.ends.u64"), cast_slice(&ends))?;
    Ok(end)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
