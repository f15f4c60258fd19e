//! An index on disk, opened.

use std::path::{Path, PathBuf};

use routir_core::{Error, Result};

use super::BLOCK;
use super::manifest::{Manifest, damaged};
use super::row::Row;
use crate::ids::Ids;
use crate::map::Mapped;

/// A learned sparse index, mapped into memory: what searches do not touch is not read.
pub struct SparseIndex {
    dir: PathBuf,
    manifest: Manifest,
    terms: Mapped<u32>,
    scales: Mapped<f32>,
    ends: Mapped<u64>,
    rows: Mapped<u8>,
    ids: Ids,
    disk_bytes: u64,
}

impl std::fmt::Debug for SparseIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SparseIndex")
            .field("dir", &self.dir)
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

impl SparseIndex {
    /// Opens the index in the folder `dir`. Every file's size is checked against the manifest before
    /// it is mapped.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Unavailable`] when there is none;
    /// [`routir_core::ErrorCode::Unsupported`] for an index of Lucene and for another version of the
    /// format; [`routir_core::ErrorCode::EngineFailure`] when it is damaged.
    pub fn open(dir: &Path) -> Result<Self> {
        let manifest = Manifest::read(dir)?;
        let terms = u64::from(manifest.terms);
        let mut index = Self {
            terms: open(dir, "terms.u32", terms)?,
            scales: open(dir, "scales.f32", terms)?,
            ends: open(dir, "rows.ends.u64", terms)?,
            rows: open(dir, "rows.bin", manifest.bytes)?,
            ids: Ids::open(dir)?,
            disk_bytes: manifest.bytes.saturating_add(terms * 16),
            dir: dir.to_owned(),
            manifest,
        };
        index.disk_bytes += index.ids.disk_bytes();
        index.check()?;
        Ok(index)
    }

    /// Whether there is an index in `dir` that says the right things of itself: for checks that open
    /// nothing.
    ///
    /// # Errors
    /// As [`SparseIndex::open`].
    pub fn present(dir: &Path) -> Result<()> {
        Manifest::read(dir).map(drop)
    }

    /// What can be checked without reading everything; the rest is checked where it is used.
    fn check(&self) -> Result<()> {
        let dir = &self.dir;
        if self.ids.len() != self.len() {
            return Err(damaged(dir, "ids.ends", "it has not one id per document"));
        }
        if let Some(last) = self.manifest.documents.checked_sub(1) {
            self.id(last)
                .map_err(|why| damaged(dir, "ids.bytes", why))?;
        }
        let terms = self.terms.all();
        let known = |last: &u32| *last < self.manifest.vocabulary;
        if !terms.is_sorted_by(|a, b| a < b) || !terms.last().is_none_or(known) {
            return Err(damaged(dir, "terms.u32", "its terms are not in order"));
        }
        if !self
            .scales
            .all()
            .iter()
            .all(|scale| scale.is_finite() && *scale > 0.0)
        {
            return Err(damaged(dir, "scales.f32", "it holds what is no scale"));
        }
        let ends = self.ends.all();
        if !ends.is_sorted() || ends.last().copied().unwrap_or_default() != self.manifest.bytes {
            return Err(damaged(
                dir,
                "rows.ends.u64",
                "its numbers are not in order",
            ));
        }
        Ok(())
    }

    /// How many documents it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.manifest.documents as usize
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many weights all documents have.
    #[must_use]
    pub fn postings(&self) -> u64 {
        self.manifest.postings
    }

    /// Ids of terms are below.
    #[must_use]
    pub fn vocabulary(&self) -> u32 {
        self.manifest.vocabulary
    }

    /// The model that made the weights, as the builder was told; may be empty.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.manifest.model
    }

    /// What the builder was told that it is made of.
    #[must_use]
    pub fn stamp(&self) -> &str {
        &self.manifest.stamp
    }

    /// Bytes of its files: what it takes on disk, and in memory when all of it is in use.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// The id of a document. Documents are numbered from 0, like ones near each other, in no order
    /// that the builder knew.
    ///
    /// # Errors
    /// When there is no such document, or its id cannot be read.
    pub fn id(&self, document: u32) -> Result<&str> {
        self.ids.text(u64::from(document))
    }

    pub(crate) fn id_bytes(&self, document: u32) -> &[u8] {
        self.ids.bytes(u64::from(document))
    }

    /// A document's weights as precisely as the index keeps them, by term: what scores are made of.
    /// For looking into single documents; a search does not go this way.
    ///
    /// # Errors
    /// When there is no such document, or a row is damaged.
    pub fn weights(&self, document: u32) -> Result<Vec<(u32, f32)>> {
        if document >= self.manifest.documents {
            return Err(Error::invalid(format!(
                "the index has no document {document}"
            )));
        }
        let (block, within) = (document as usize / BLOCK, (document as usize % BLOCK) as u8);
        let mut weights = Vec::new();
        for (place, (term, scale)) in self.terms.all().iter().zip(self.scales.all()).enumerate() {
            let impact = self.row(place)?.impact(block, within);
            let impact = impact.ok_or_else(|| self.broken(place))?;
            if impact > 0 {
                weights.push((*term, f32::from(impact) * scale));
            }
        }
        Ok(weights)
    }

    /// Where a term is among the terms, and its scale.
    pub(crate) fn term(&self, term: u32) -> Option<(usize, f32)> {
        let place = self.terms.all().binary_search(&term).ok()?;
        Some((place, *self.scales.all().get(place)?))
    }

    pub(crate) fn blocks(&self) -> usize {
        self.len().div_ceil(BLOCK)
    }

    /// What documents have of a term, given by its place.
    pub(crate) fn row(&self, place: usize) -> Result<Row<'_>> {
        let ends = self.ends.all();
        let start = place
            .checked_sub(1)
            .map_or(Some(0), |at| ends.get(at).copied());
        let row = start
            .zip(ends.get(place).copied())
            .and_then(|(start, end)| self.rows.range(start, end))
            .and_then(|bytes| Row::read(bytes, self.blocks()));
        row.ok_or_else(|| self.broken(place))
    }

    /// What a row that makes no sense is answered with.
    pub(crate) fn broken(&self, place: usize) -> Error {
        damaged(
            &self.dir,
            "rows.bin",
            format_args!("row {place} makes no sense"),
        )
    }
}

fn open<T: bytemuck::AnyBitPattern>(dir: &Path, name: &str, count: u64) -> Result<Mapped<T>> {
    Mapped::open(&dir.join(name), count).map_err(|error| damaged(dir, name, error))
}
