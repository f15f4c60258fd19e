//! Token vectors as a late-interaction index keeps them: a centroid each, and the difference from it
//! in a few bits per number.

use half::f16;
use rayon::prelude::*;
use routir_core::{Error, Result};

use super::TokenRows;
use crate::Element;

/// Levels that a kernel is given, however many there are.
pub(super) const LEVELS: usize = 16;

/// Token vectors of documents, borrowed from an index. Number `d` of a vector is that of its centroid
/// plus a level times the dimension's spread; of 16 bits it is the number itself in half precision.
#[derive(Clone, Copy, Debug)]
pub struct CodedTokens<'a> {
    /// Numbers of a vector.
    pub dim: usize,
    /// Bits that are kept of each: 2, 4 or 16.
    pub bits: usize,
    /// Whether vectors of less than 16 bits are scaled to length 1.
    pub unit: bool,
    /// The centroids, one after another.
    pub centroids: &'a [f32],
    /// What a level is multiplied with, by dimension.
    pub spread: &'a [f32],
    /// The levels; 2 to the power of `bits`, none of 16 bits.
    pub levels: &'a [f32],
    /// Where each document's vectors end.
    pub ends: &'a [u64],
    /// The centroid of each vector.
    pub codes: &'a [u32],
    /// What is kept of each vector, in whole bytes, lowest bits first.
    pub kept: &'a [u8],
}

impl CodedTokens<'_> {
    /// How many vectors there are.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.codes.len()
    }

    /// Bytes that are kept of a vector.
    pub(super) fn row_bytes(&self) -> usize {
        (self.dim * self.bits).div_ceil(8)
    }

    /// The same on a device, where rows are filled up as those in half precision are.
    pub(super) fn padded_bytes(&self) -> usize {
        self.padded() * self.bits / 8
    }

    /// Numbers of a row on a device.
    pub(super) fn padded(&self) -> usize {
        Element::F16.padded(self.dim)
    }

    /// Whether rows are whole, and nothing is added to a centroid.
    pub(super) fn is_whole(&self) -> bool {
        self.bits == 16
    }

    /// Whether products of a row have to be multiplied with something.
    pub(super) fn is_scaled(&self) -> bool {
        self.unit && !self.is_whole()
    }

    /// That the parts belong together and lead nowhere else.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::EngineFailure`] when they do not.
    pub(super) fn check(&self, what: &str) -> Result<()> {
        let damaged = |why: &str| Err(Error::engine(format!("{what} is damaged: {why}")));
        if !matches!(self.bits, 2 | 4 | 16) || self.dim == 0 || self.dim > crate::MAX_DIM {
            return Err(Error::invalid(format!(
                "{what}: vectors of {} numbers of {} bits cannot be scored on a device",
                self.dim, self.bits
            )));
        }
        let tokens = self.tokens();
        if self.kept.len() != tokens.saturating_mul(self.row_bytes()) {
            return damaged("not every token vector has its bytes");
        }
        let last = self.ends.last().copied().unwrap_or_default();
        if !self.ends.is_sorted() || usize::try_from(last).ok() != Some(tokens) {
            return damaged("its passages do not end where its token vectors do");
        }
        if u32::try_from(self.ends.len()).is_err() || self.longest() > u64::from(u32::MAX) {
            return damaged("it has too many passages, or too long ones");
        }
        if self.is_whole() {
            return Ok(());
        }
        let centroids = self.centroids.len() / self.dim;
        if self.codes.par_iter().any(|it| *it as usize >= centroids) {
            return damaged("it names centroids that are not there");
        }
        if self.spread.len() != self.dim || self.levels.len() != 1 << self.bits {
            return damaged("it has another number of levels than its bits say");
        }
        Ok(())
    }

    fn longest(&self) -> u64 {
        let starts = std::iter::once(&0).chain(self.ends);
        let lengths = self.ends.iter().zip(starts).map(|(end, start)| end - start);
        lengths.max().unwrap_or_default()
    }

    /// What levels are multiplied with, filled up, and the levels.
    pub(super) fn numbers(&self) -> Vec<f32> {
        let mut numbers = self.spread.to_vec();
        numbers.resize(self.padded(), 0.0);
        numbers.extend(self.levels);
        numbers.resize(self.padded() + LEVELS, 0.0);
        numbers
    }

    /// Vector `at` as kernels make it, but for its scale.
    fn row(&self, at: usize, row: &mut Vec<f32>) {
        row.clear();
        let size = self.row_bytes();
        let kept = self.kept.get(at * size..(at + 1) * size);
        let kept = kept.unwrap_or_default();
        if self.is_whole() {
            let (halves, _) = kept.as_chunks();
            row.extend(halves.iter().map(|it| f16::from_le_bytes(*it).to_f32()));
            return;
        }
        let first = self.codes.get(at).map_or(0, |it| *it as usize) * self.dim;
        let centroid = self.centroids.get(first..first + self.dim);
        let numbers = centroid.unwrap_or_default().iter().zip(self.spread);
        let (mask, per_byte) = ((1 << self.bits) - 1, 8 / self.bits);
        row.extend(numbers.enumerate().map(|(d, (centre, spread))| {
            let byte = kept.get(d / per_byte).copied().unwrap_or_default();
            let level = usize::from(byte) >> (d % per_byte * self.bits) & mask;
            let level = self.levels.get(level).copied().unwrap_or_default();
            let centre = f16::from_f32(*centre).to_f32();
            f16::from_f32(level.mul_add(*spread, centre)).to_f32()
        }));
    }

    /// What the products of each of `range`'s vectors are multiplied with.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::EngineFailure`] when a vector has a number that half precision does
    /// not hold.
    pub(super) fn scales(&self, range: std::ops::Range<usize>, what: &str) -> Result<Vec<f32>> {
        let scale = |row: &mut Vec<f32>, at: usize| {
            self.row(at, row);
            let square: f64 = row.iter().map(|it| f64::from(*it) * f64::from(*it)).sum();
            if !square.is_finite() {
                return Err(Error::engine(format!(
                    "{what}: token vector {at} has a number that half precision does not hold, \
                     which ends at 65504; leave it on the processor"
                )));
            }
            let scaled = self.is_scaled() && square > 0.0;
            Ok(if scaled {
                square.sqrt().recip() as f32
            } else {
                1.0
            })
        };
        range.into_par_iter().map_init(Vec::new, scale).collect()
    }

    /// The vectors themselves: what a device's answers must equal.
    ///
    /// # Errors
    /// When they are damaged or half precision does not hold them.
    pub fn rows(&self) -> Result<TokenRows> {
        let what = "the index";
        self.check(what)?;
        let scales = self.scales(0..self.tokens(), what)?;
        let (mut texts, mut row) = (Vec::with_capacity(self.ends.len()), Vec::new());
        let mut start = 0;
        for end in self.ends {
            let end = *end as usize;
            let mut text = Vec::with_capacity((end - start) * self.dim);
            for (at, scale) in (start..end).zip(scales.get(start..end).unwrap_or_default()) {
                self.row(at, &mut row);
                text.extend(row.iter().map(|it| it * scale));
            }
            texts.push(text);
            start = end;
        }
        TokenRows::new(self.dim, texts.iter().map(Vec::as_slice))
    }
}
