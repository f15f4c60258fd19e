//! Builds an index: learns the centroids from the first token vectors, then encodes all as they come.
//!
//! Memory is bounded whatever the corpus: vectors that are waited for to learn from lie on disk in
//! half precision, at most [`LateOptions::learn_from`] of them, and the inverted lists are made in
//! as many passes as fit [`LateOptions::memory_bytes`].

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytemuck::cast_slice;
use half::f16;
use routir_core::{Error, Result};

use super::codebook::Codebook;
use super::encode::Encoder;
use super::lists;
use super::manifest::{MAX_CENTROIDS, MAX_DIM, MAX_STAMP, Manifest, is_index, unwritten};
use super::maxsim::check_rows;
use super::points::Points;
use super::residual::LateBits;
use crate::folder::Folder;
use crate::ids::IdsWriter;
use crate::map::Mapped;

/// Vectors that are encoded together.
const BATCH: usize = 1 << 15;
/// How far a squared length may be from 1.
const UNIT: f32 = 2e-3;

/// How an index is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateOptions {
    /// Values of a token vector.
    pub dim: usize,
    /// What is kept of each value.
    pub bits: LateBits,
    /// How many centroids; `None` is what PLAID takes, about 16 times the root of the number of
    /// token vectors, rounded down to a power of two, and at most 2^18.
    pub centroids: Option<usize>,
    /// How many passages there will be, if known: with what the first ones tell of their length it
    /// gives the number of centroids.
    pub expected_passages: Option<u64>,
    /// Most token vectors to learn from. As many are kept on disk, in half precision, before the
    /// first is encoded.
    pub learn_from: usize,
    /// Memory for the inverted lists, in bytes.
    pub memory_bytes: usize,
    /// What the index is made of, in the builder's own words; [`super::LateIndex::stamp`] answers it.
    pub stamp: String,
    /// Whether an index that is there may be replaced.
    pub replace: bool,
}

impl LateOptions {
    /// The defaults for vectors of `dim` values: 4 bits, 16 million vectors to learn from, 512 MB.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self {
            dim,
            bits: LateBits::default(),
            centroids: None,
            expected_passages: None,
            learn_from: 1 << 24,
            memory_bytes: 512 << 20,
            stamp: String::new(),
            replace: false,
        }
    }
}

/// What was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateSummary {
    /// Passages.
    pub passages: u32,
    /// Token vectors.
    pub tokens: u64,
    /// Centroids.
    pub centroids: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Writes an index aside and puts it in place when it is complete.
pub struct LateBuilder {
    folder: Folder,
    options: LateOptions,
    ids: Option<IdsWriter>,
    ends: Option<BufWriter<File>>,
    passages: u32,
    tokens: u64,
    unit: bool,
    /// Vectors that wait to be learned from, or to be encoded.
    waiting: Vec<f16>,
    state: State,
}

enum State {
    /// Vectors go to a file to learn from; whether they are passages' or a sample.
    Collecting {
        file: BufWriter<File>,
        kept: u64,
        sample: bool,
    },
    Encoding(Box<Encoder>),
}

/// The file of vectors to learn from.
const COLLECTED: &str = "collected.f16";

impl LateBuilder {
    /// Starts an index that is to lie in the folder `dir`. Waits while another process builds there.
    ///
    /// # Errors
    /// When the options make no sense, when there is something already at `dir` and it is not to be
    /// replaced or is no such index, or when files cannot be made beside it.
    pub fn create(dir: &Path, options: LateOptions) -> Result<Self> {
        if options.dim == 0 || options.dim > MAX_DIM {
            return Err(Error::invalid(format!(
                "token vectors have 1 to {MAX_DIM} values, not {}",
                options.dim
            )));
        }
        if options
            .centroids
            .is_some_and(|count| count == 0 || count > MAX_CENTROIDS)
        {
            return Err(Error::invalid(format!(
                "an index has 1 to {MAX_CENTROIDS} centroids"
            )));
        }
        if options.stamp.len() > MAX_STAMP {
            return Err(Error::invalid(format!(
                "the stamp of an index has at most {MAX_STAMP} bytes, not {}",
                options.stamp.len()
            )));
        }
        let folder = Folder::create(dir).map_err(|e| unwritten(dir, "starting it", e))?;
        if dir.exists() && !(options.replace && is_index(dir)) {
            let shown = dir.display();
            return Err(Error::invalid(if options.replace {
                format!("what is at `{shown}` is no late-interaction index; give another folder")
            } else {
                format!(
                    "there is something already at `{shown}`; delete it or allow its replacement"
                )
            }));
        }
        let start = || -> io::Result<_> {
            let path = folder.path();
            Ok((
                IdsWriter::create(path)?,
                BufWriter::new(File::create_new(path.join("ends.u64"))?),
                BufWriter::new(File::create_new(path.join(COLLECTED))?),
            ))
        };
        let (ids, ends, file) = start().map_err(|e| unwritten(dir, "creating its files", e))?;
        Ok(Self {
            folder,
            options,
            ids: Some(ids),
            ends: Some(ends),
            passages: 0,
            tokens: 0,
            unit: true,
            waiting: Vec::new(),
            state: State::Collecting {
                file,
                kept: 0,
                sample: false,
            },
        })
    }

    /// Gives token vectors to learn from that are not a passage's yet: for a corpus of more than
    /// [`LateOptions::learn_from`] vectors whose first passages do not stand for all. Once there is
    /// a passage it is too late and they are left out, as what is over the bound is.
    ///
    /// # Errors
    /// When `rows` are no finite rows of the right dimension, or cannot be written.
    pub fn learn_from(&mut self, rows: &[f32]) -> Result<()> {
        self.check(rows)?;
        if self.passages == 0
            && let State::Collecting { file, kept, sample } = &mut self.state
            && *kept < self.options.learn_from as u64
        {
            *sample = true;
            *kept += (rows.len() / self.options.dim) as u64;
            let halves: Vec<f16> = rows.iter().map(|value| f16::from_f32(*value)).collect();
            file.write_all(cast_slice(&halves))
                .map_err(|e| unwritten(self.folder.target(), "writing token vectors", e))?;
        }
        Ok(())
    }

    /// Adds a passage of the document `id`: its token vectors, one after another. A document may
    /// have several passages; a search answers it with the best one's score. A passage without
    /// vectors is never found.
    ///
    /// # Errors
    /// When the id is empty, when `rows` are no finite rows of the right dimension, when there are
    /// 2^32 - 1 passages already, or when something cannot be written.
    pub fn add(&mut self, id: &str, rows: &[f32]) -> Result<()> {
        let place = |e: Error| e.at(format!("document `{id}`"));
        if id.is_empty() {
            return Err(Error::invalid("a document has an empty id"));
        }
        self.check(rows).map_err(place)?;
        if self.passages == u32::MAX {
            return Err(Error::invalid(format!(
                "an index has at most {} passages",
                u32::MAX
            )));
        }
        if matches!(self.state, State::Collecting { sample: true, .. }) {
            self.learn()?;
        }
        self.unit &= rows
            .chunks_exact(self.options.dim)
            .all(|row| (row.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < UNIT);
        self.waiting
            .extend(rows.iter().map(|value| f16::from_f32(*value)));
        self.tokens += (rows.len() / self.options.dim) as u64;
        self.passages += 1;
        let (ids, ends) = (self.ids.as_mut(), self.ends.as_mut());
        ids.map_or(Ok(()), |ids| ids.push(id))
            .and_then(|()| ends.map_or(Ok(()), |ends| ends.write_all(&self.tokens.to_le_bytes())))
            .map_err(|e| unwritten(self.folder.target(), "writing a passage", e))?;
        if self.waiting.len() >= BATCH * self.options.dim {
            self.flush()?;
        }
        Ok(())
    }

    /// Completes the index and puts it in place.
    ///
    /// # Errors
    /// When something cannot be written. Nothing is left behind then, and an index that was to be
    /// replaced is still there.
    pub fn finish(mut self) -> Result<LateSummary> {
        self.flush()?;
        if matches!(self.state, State::Collecting { .. }) {
            self.learn()?;
        }
        self.flush()?;
        let (Some(ids), Some(ends), State::Encoding(encoder)) =
            (self.ids.take(), self.ends.take(), &mut self.state)
        else {
            return Err(Error::internal("the builder was used after its end"));
        };
        ids.finish(self.folder.path())?;
        let centroids = encoder.centroids();
        let at = |name: &str| self.folder.path().join(name);
        let close = || -> io::Result<u64> {
            lists::close(ends)?;
            encoder.finish(self.folder.path())?;
            let ends = Mapped::<u64>::open(&at("ends.u64"), u64::from(self.passages))?;
            let codes = Mapped::<u32>::open(&at("codes.u32"), self.tokens)?;
            let (list_ends, entries) = (at("lists.ends.u64"), at("lists.u32"));
            let memory = self.options.memory_bytes;
            lists::write(
                &list_ends,
                &entries,
                ends.all(),
                codes.all(),
                centroids,
                memory,
            )
        };
        let postings =
            close().map_err(|e| unwritten(self.folder.target(), "writing its files", e))?;
        let manifest = Manifest {
            dim: self.options.dim,
            bits: self.options.bits,
            centroids,
            passages: self.passages,
            tokens: self.tokens,
            postings,
            unit: self.unit,
            stamp: self.options.stamp.clone(),
        };
        let bytes = manifest
            .write(self.folder.path())
            .and_then(|()| self.folder.publish())
            .map_err(|e| unwritten(self.folder.target(), "putting it in place", e))?;
        Ok(LateSummary {
            passages: self.passages,
            tokens: self.tokens,
            centroids,
            bytes,
        })
    }

    fn check(&self, rows: &[f32]) -> Result<()> {
        check_rows(rows, self.options.dim)?;
        if rows.iter().any(|value| value.abs() > f16::MAX.to_f32()) {
            let why = "a token vector has a value that half precision cannot hold";
            return Err(Error::invalid(why));
        }
        Ok(())
    }

    /// Writes the waiting vectors to the file to learn from, or encodes them.
    fn flush(&mut self) -> Result<()> {
        match &mut self.state {
            State::Collecting { file, kept, .. } => {
                file.write_all(cast_slice(&self.waiting))
                    .map_err(|e| unwritten(self.folder.target(), "writing token vectors", e))?;
                *kept += (self.waiting.len() / self.options.dim) as u64;
                self.waiting.clear();
                if *kept >= self.options.learn_from as u64 {
                    self.learn()?;
                }
            }
            State::Encoding(encoder) => {
                encoder
                    .take(Points {
                        dim: self.options.dim,
                        values: &self.waiting,
                    })
                    .map_err(|e| unwritten(self.folder.target(), "writing token vectors", e))?;
                self.waiting.clear();
            }
        }
        Ok(())
    }

    /// Learns from what was collected, encodes it if it is passages', and goes on encoding.
    fn learn(&mut self) -> Result<()> {
        let State::Collecting { file, kept, sample } = &mut self.state else {
            return Ok(());
        };
        let (kept, sample) = (*kept, *sample);
        let path = self.folder.path().join(COLLECTED);
        let failed = |e| unwritten(self.folder.target(), "learning the centroids", e);
        file.flush().map_err(failed)?;
        let dim = self.options.dim;
        let collected = Mapped::<f16>::open(&path, kept * dim as u64).map_err(failed)?;
        let points = Points {
            dim,
            values: collected.all(),
        };
        let count = self.centroids(kept, sample);
        tracing::info!(
            vectors = kept,
            centroids = count,
            "learning the centroids of a late-interaction index"
        );
        let book = Codebook::of_sample(points, count);
        let mut encoder =
            Encoder::create(self.folder.path(), book, points, self.options.bits).map_err(failed)?;
        if !sample {
            for values in collected.all().chunks(BATCH * dim) {
                encoder.take(Points { dim, values }).map_err(failed)?;
            }
        }
        drop(collected);
        fs::remove_file(&path).map_err(failed)?;
        self.state = State::Encoding(Box::new(encoder));
        Ok(())
    }

    /// How many centroids the corpus gets, of which `kept` vectors are known.
    fn centroids(&self, kept: u64, sample: bool) -> usize {
        let expected = self.options.expected_passages.unwrap_or_default();
        let tokens = match u64::from(self.passages) {
            passages if sample || passages == 0 => kept.max(expected.saturating_mul(64)),
            passages => kept.max((kept as f64 / passages as f64 * expected as f64) as u64),
        };
        let root = 16 * tokens.isqrt().max(1) as usize;
        let power = 1 << root.ilog2().min(18);
        // Centroids with a handful of vectors to learn from say little.
        let most = (kept / 8).clamp(1, MAX_CENTROIDS as u64) as usize;
        self.options.centroids.unwrap_or(power.min(most))
    }
}
