//! Makes an index of vectors.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use routir_core::{Error, Result};

use super::raw::RawIndex;
use super::{Faiss, Metric};

/// An index in the making: trained, if its kind wants that, then filled, then written.
pub struct DenseIndexBuilder {
    raw: RawIndex,
    dim: usize,
    threads: usize,
    added: usize,
}

impl DenseIndexBuilder {
    /// An empty index for vectors of `dim` dimensions, of the kind that FAISS's `index_factory` makes
    /// of `factory`: `Flat`, `HNSW32`, `IVF4096,PQ96x4fs`. Computes on `threads` threads.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when FAISS knows no such kind.
    pub fn new(
        faiss: &Arc<Faiss>,
        dim: usize,
        factory: &str,
        metric: Metric,
        threads: usize,
    ) -> Result<Self> {
        Ok(Self {
            raw: RawIndex::make(faiss, dim, factory, metric)?,
            dim,
            threads: threads.max(1),
            added: 0,
        })
    }

    /// An index that [`DenseIndexBuilder::write`] has written, to go on with: one that is trained
    /// but empty, as a rule. Computes on `threads` threads.
    ///
    /// # Errors
    /// When the file cannot be read or holds no index.
    pub fn open(faiss: &Arc<Faiss>, path: &Path, threads: usize) -> Result<Self> {
        let raw = RawIndex::read(faiss, path, false)?;
        let facts = raw.facts()?;
        Ok(Self {
            dim: usize::try_from(facts.dimensions).unwrap_or_default(),
            threads: threads.max(1),
            added: usize::try_from(facts.vectors).unwrap_or_default(),
            raw,
        })
    }

    /// Whether it must be trained before vectors can be added.
    ///
    /// # Errors
    /// When FAISS fails.
    pub fn wants_training(&self) -> Result<bool> {
        Ok(self.raw.facts()?.trained == 0)
    }

    /// Learns from a sample: `rows` holds one vector after another.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when there are too few vectors for what is to be
    /// learnt, or one has numbers that are not finite.
    pub fn train(&mut self, rows: &[f32]) -> Result<()> {
        self.check(rows)?;
        self.raw.train(rows, self.dim, self.threads)
    }

    /// Adds vectors, one after another in `rows`. Each gets the next position.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when a vector has numbers that are not finite, and
    /// before training; then none of `rows` is added.
    pub fn add(&mut self, rows: &[f32]) -> Result<()> {
        self.check(rows)?;
        if self.wants_training()? {
            return Err(Error::invalid(
                "the index must be trained before vectors are added",
            ));
        }
        self.raw.add(rows, self.dim, self.threads)?;
        self.added += rows.len() / self.dim.max(1);
        Ok(())
    }

    /// How many vectors were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.added
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added == 0
    }

    /// Writes it to a file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = Path::new(&name);
        self.raw.write(new)?;
        let placed = File::open(new)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(new, path));
        placed.map_err(|e| Error::engine(format!("`{}` cannot be written: {e}", path.display())))
    }

    /// FAISS believes in numbers: one NaN in a sample makes centroids of NaN.
    fn check(&self, rows: &[f32]) -> Result<()> {
        match rows.iter().position(|number| !number.is_finite()) {
            None => Ok(()),
            Some(at) => Err(Error::invalid(format!(
                "vector {} of those given holds a number that is not finite; leave it out",
                at / self.dim.max(1)
            ))),
        }
    }
}
