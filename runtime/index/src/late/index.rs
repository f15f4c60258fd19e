//! An index on disk, opened.

use std::path::{Path, PathBuf};

use routir_core::{Error, Result};

use super::manifest::{Manifest, damaged};
use super::residual::{LateBits, Residuals};
use crate::ids::Ids;
use crate::map::Mapped;

/// The token vectors of an index: number `d` of one is that of its centroid plus a level times the
/// dimension's spread; of 16 bits it is in half precision. Nothing of it has been checked but the
/// lengths.
#[derive(Clone, Copy, Debug)]
pub struct KeptTokens<'a> {
    /// Whether vectors of less than 16 bits are scaled to length 1.
    pub unit: bool,
    /// The centroids, one after another.
    pub centroids: &'a [f32],
    /// What a level is multiplied with, by dimension.
    pub spread: &'a [f32],
    /// The levels; none of 16 bits.
    pub levels: &'a [f32],
    /// Where each passage's vectors end.
    pub ends: &'a [u64],
    /// The centroid of each vector.
    pub codes: &'a [u32],
    /// The level of each number, packed into whole bytes per vector, lowest bits first.
    pub kept: &'a [u8],
}

/// A late-interaction index, mapped into memory: what a search does not touch is not read.
pub struct LateIndex {
    dir: PathBuf,
    manifest: Manifest,
    centroids: Mapped<f32>,
    residuals: Residuals,
    ends: Mapped<u64>,
    codes: Mapped<u32>,
    kept: Mapped<u8>,
    list_ends: Mapped<u64>,
    lists: Mapped<u32>,
    ids: Ids,
}

impl LateIndex {
    /// Opens the index in the folder `dir`. Every file's size is checked against the manifest before
    /// it is mapped.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Unavailable`] when there is none;
    /// [`routir_core::ErrorCode::Unsupported`] for a folder of ColBERT or PLAID-X and for another
    /// version of the format; [`routir_core::ErrorCode::EngineFailure`] when it is damaged.
    pub fn open(dir: &Path) -> Result<Self> {
        let manifest = Manifest::read(dir)?;
        let (dim, bits) = (manifest.dim, manifest.bits);
        let row_bytes = bits.row_bytes(dim) as u64;
        let kept = manifest.tokens.checked_mul(row_bytes);
        let kept = kept.ok_or_else(|| damaged(dir, "manifest.json", "too many tokens"))?;
        let numbers: Mapped<f32> = open(dir, "residuals.f32", (dim + bits.levels()) as u64)?;
        let (spread, levels) = numbers.all().split_at_checked(dim).unwrap_or_default();
        let index = Self {
            centroids: open(dir, "centroids.f32", manifest.centroids as u64 * dim as u64)?,
            residuals: Residuals::new(bits, spread.to_vec(), levels.to_vec()),
            ends: open(dir, "ends.u64", u64::from(manifest.passages))?,
            codes: open(dir, "codes.u32", manifest.tokens)?,
            kept: open(dir, "residuals.bin", kept)?,
            list_ends: open(dir, "lists.ends.u64", manifest.centroids as u64)?,
            lists: open(dir, "lists.u32", manifest.postings)?,
            ids: Ids::open(dir)?,
            dir: dir.to_owned(),
            manifest,
        };
        index.check(numbers.all())?;
        Ok(index)
    }

    /// Whether there is an index in the folder `dir` that this version reads, as far as its manifest
    /// says. Opens nothing else.
    ///
    /// # Errors
    /// As [`LateIndex::open`].
    pub fn present(dir: &Path) -> Result<()> {
        Manifest::read(dir).map(drop)
    }

    /// What can be checked without reading everything; the rest is checked where it is used.
    fn check(&self, numbers: &[f32]) -> Result<()> {
        let dir = &self.dir;
        if self.ids.len() as u64 != u64::from(self.manifest.passages) {
            return Err(damaged(dir, "ids.ends", "it has not one id per passage"));
        }
        if let Some(last) = self.manifest.passages.checked_sub(1) {
            self.id(last)
                .map_err(|why| damaged(dir, "ids.bytes", why))?;
        }
        if self.ends.all().last().copied().unwrap_or_default() != self.manifest.tokens {
            return Err(damaged(
                dir,
                "ends.u64",
                "it does not end with the last token vector",
            ));
        }
        let lists = self.list_ends.all();
        if !lists.is_sorted() || lists.last().copied().unwrap_or_default() != self.manifest.postings
        {
            return Err(damaged(
                dir,
                "lists.ends.u64",
                "its numbers are not in order",
            ));
        }
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if !finite(numbers) {
            return Err(damaged(dir, "residuals.f32", "it holds what is no number"));
        }
        if !finite(self.centroids.all()) {
            return Err(damaged(dir, "centroids.f32", "it holds what is no number"));
        }
        Ok(())
    }

    /// How many passages it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.manifest.passages as usize
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many token vectors all passages have.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.manifest.tokens
    }

    /// Values of a token vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.manifest.dim
    }

    /// What is kept of each value.
    #[must_use]
    pub fn bits(&self) -> LateBits {
        self.manifest.bits
    }

    /// How many centroids it has.
    #[must_use]
    pub fn centroids(&self) -> usize {
        self.manifest.centroids
    }

    /// What its builder was told that it is made of.
    #[must_use]
    pub fn stamp(&self) -> &str {
        &self.manifest.stamp
    }

    /// The document id of a passage. Passages are numbered as they were added, from 0.
    ///
    /// # Errors
    /// When there is no such passage, or its id cannot be read.
    pub fn id(&self, passage: u32) -> Result<&str> {
        self.ids.text(u64::from(passage))
    }

    /// A passage's token vectors, one after another, as precisely as the index keeps them.
    ///
    /// # Errors
    /// When there is no such passage, or its files are damaged.
    pub fn vectors(&self, passage: u32) -> Result<Vec<f32>> {
        let (start, end) = self.tokens_of(passage)?;
        let mut rows = vec![0.0; (end - start) as usize * self.dim()];
        self.decode(start, &mut rows)?;
        Ok(rows)
    }

    /// Whether a passage has no token vectors.
    ///
    /// # Errors
    /// As [`LateIndex::vectors`].
    pub fn is_bare(&self, passage: u32) -> Result<bool> {
        self.tokens_of(passage).map(|(start, end)| start == end)
    }

    /// All token vectors as they are kept, for who scores them elsewhere.
    #[must_use]
    pub fn kept(&self) -> KeptTokens<'_> {
        KeptTokens {
            unit: self.manifest.unit,
            centroids: self.centroids.all(),
            spread: self.residuals.spread(),
            levels: self.residuals.levels(),
            ends: self.ends.all(),
            codes: self.codes.all(),
            kept: self.kept.all(),
        }
    }

    pub(crate) fn centroid_rows(&self) -> &[f32] {
        self.centroids.all()
    }

    /// The passages that have token vectors at a centroid, ascending.
    pub(crate) fn list(&self, centroid: u32) -> Result<&[u32]> {
        let ends = self.list_ends.all();
        let end = ends.get(centroid as usize).copied();
        let start = (centroid as usize)
            .checked_sub(1)
            .map_or(Some(0), |at| ends.get(at).copied());
        let list = start
            .zip(end)
            .and_then(|(start, end)| self.lists.range(start, end));
        list.ok_or_else(|| self.broken("lists.u32", format_args!("it has no list {centroid}")))
    }

    /// Where a passage's token vectors start and end.
    pub(crate) fn tokens_of(&self, passage: u32) -> Result<(u64, u64)> {
        let ends = self.ends.all();
        let end = ends.get(passage as usize).copied();
        let start = (passage as usize)
            .checked_sub(1)
            .map_or(Some(0), |at| ends.get(at).copied());
        start
            .zip(end)
            .filter(|(start, end)| start <= end && *end <= self.manifest.tokens)
            .ok_or_else(|| self.broken("ends.u64", format_args!("it has no passage {passage}")))
    }

    /// The centroids of a passage's tokens.
    pub(crate) fn codes_of(&self, passage: u32) -> Result<&[u32]> {
        let (start, end) = self.tokens_of(passage)?;
        let codes = self.codes.range(start, end);
        codes.ok_or_else(|| self.broken("codes.u32", "it is too short"))
    }

    /// Token vectors from number `start` on, as many as `rows` has room for.
    pub(crate) fn decode(&self, start: u64, rows: &mut [f32]) -> Result<()> {
        let (dim, row_bytes) = (self.dim(), self.bits().row_bytes(self.dim()));
        let end = start + (rows.len() / dim) as u64;
        let codes = self.codes.range(start, end);
        let kept = self
            .kept
            .range(start * row_bytes as u64, end * row_bytes as u64);
        let (Some(codes), Some(kept)) = (codes, kept) else {
            return Err(self.broken("residuals.bin", "it is too short"));
        };
        let centroids = self.centroids.all();
        let rows = rows.chunks_exact_mut(dim).zip(kept.chunks_exact(row_bytes));
        for ((row, kept), code) in rows.zip(codes) {
            let at = *code as usize * dim;
            let Some(centroid) = centroids.get(at..at + dim) else {
                return Err(self.broken("codes.u32", format_args!("there is no centroid {code}")));
            };
            self.residuals
                .decode(kept, centroid, self.manifest.unit, row);
        }
        Ok(())
    }

    pub(crate) fn broken(&self, file: &str, why: impl std::fmt::Display) -> Error {
        damaged(&self.dir, file, why)
    }
}

fn open<T: bytemuck::AnyBitPattern>(dir: &Path, name: &str, count: u64) -> Result<Mapped<T>> {
    Mapped::open(&dir.join(name), count).map_err(|e| damaged(dir, name, e))
}
