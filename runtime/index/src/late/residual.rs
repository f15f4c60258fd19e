//! What a token vector keeps beside the number of its centroid: the difference, in 2 or 4 bits per
//! dimension, or the whole vector in half precision.
//!
//! PLAID cuts the differences of all dimensions at common quantiles. Here each dimension is first
//! divided by its own spread, and the levels are those of least squared error (Lloyd, "Least squares
//! quantization in PCM", 1982), learned from the vectors themselves.

use bytemuck::cast_slice;
use half::f16;
use routir_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// How many bits an index keeps per dimension of a token vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum LateBits {
    /// 2 bits: 36 bytes for a vector of 128 dimensions.
    Two,
    /// 4 bits: 68 bytes for a vector of 128 dimensions.
    #[default]
    Four,
    /// 16 bits: the vector itself in half precision, without loss beyond that.
    Half,
}

impl LateBits {
    /// The number.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
            Self::Half => 16,
        }
    }

    /// How many levels a difference can have.
    pub(crate) const fn levels(self) -> usize {
        match self {
            Self::Half => 0,
            bits => 1 << bits.count(),
        }
    }

    /// Bytes of one vector of `dim` values.
    pub(crate) const fn row_bytes(self, dim: usize) -> usize {
        (dim * self.count()).div_ceil(8)
    }
}

impl TryFrom<u8> for LateBits {
    type Error = Error;

    fn try_from(bits: u8) -> Result<Self> {
        match bits {
            2 => Ok(Self::Two),
            4 => Ok(Self::Four),
            16 => Ok(Self::Half),
            _ => Err(Error::invalid(format!(
                "{bits} bits per dimension are not possible; choose 2, 4 or 16"
            ))),
        }
    }
}

impl From<LateBits> for u8 {
    fn from(bits: LateBits) -> Self {
        bits.count() as Self
    }
}

/// Most differences that the levels are learned from.
const LEARN: usize = 1 << 20;
/// Rounds of learning the levels.
const ROUNDS: usize = 30;
/// Dimensions whose spread is under this have no difference worth keeping.
const LEAST: f32 = 1e-12;

/// The levels of differences.
#[derive(Clone, Debug)]
pub(crate) struct Residuals {
    bits: LateBits,
    /// Each dimension's spread (root mean square).
    spread: Vec<f32>,
    /// The levels, ascending, in units of the spread.
    levels: Vec<f32>,
    /// For each byte the levels that it holds, lowest bits first.
    table: Vec<[f32; 4]>,
}

impl Residuals {
    /// Learns from differences: rows of `dim` values, one after another.
    pub(crate) fn learn(bits: LateBits, differences: &[f32], dim: usize) -> Self {
        let rows = differences.chunks_exact(dim.max(1));
        let count = rows.len().max(1) as f64;
        let mut squares = vec![0.0_f64; dim];
        for row in rows {
            for (square, value) in squares.iter_mut().zip(row) {
                *square += f64::from(value * value);
            }
        }
        let spread: Vec<f32> = squares
            .iter()
            .map(|sum| (sum / count).sqrt() as f32)
            .collect();
        let levels = match bits.levels() {
            0 => Vec::new(),
            count => {
                let step = differences.len().div_ceil(LEARN).max(1);
                // A step that shares a factor with the dimension would skip dimensions.
                let step = (step..)
                    .find(|step| gcd(*step, dim.max(1)) == 1)
                    .unwrap_or(1);
                let scaled = differences.iter().enumerate().step_by(step);
                let scaled = scaled.filter_map(|(at, value)| {
                    let spread = *spread.get(at % dim.max(1))?;
                    (spread > LEAST).then(|| value / spread)
                });
                least_squares(scaled.collect(), count)
            }
        };
        Self::new(bits, spread, levels)
    }

    /// As written in a file.
    pub(crate) fn new(bits: LateBits, spread: Vec<f32>, levels: Vec<f32>) -> Self {
        let level = |number: usize| levels.get(number).copied().unwrap_or_default();
        let entry = |byte: usize| match bits {
            LateBits::Two => [0, 2, 4, 6].map(|shift| level(byte >> shift & 3)),
            _ => [level(byte & 15), level(byte >> 4), 0.0, 0.0],
        };
        let table = (0..256).map(entry).collect();
        Self {
            bits,
            spread,
            levels,
            table,
        }
    }

    pub(crate) fn spread(&self) -> &[f32] {
        &self.spread
    }

    pub(crate) fn levels(&self) -> &[f32] {
        &self.levels
    }

    /// Writes what is kept of `row`, whose centroid is `centroid`.
    pub(crate) fn encode(&self, row: &[f16], centroid: &[f32], out: &mut Vec<u8>) {
        if self.bits == LateBits::Half {
            out.extend_from_slice(cast_slice(row));
            return;
        }
        let bits = self.bits.count();
        let (mut byte, mut filled) = (0_u8, 0);
        for ((value, center), spread) in row.iter().zip(centroid).zip(&self.spread) {
            let difference = value.to_f32() - center;
            let scaled = if *spread > LEAST {
                difference / spread
            } else {
                0.0
            };
            // Between neighbouring levels the middle decides.
            let middles = self
                .levels
                .array_windows()
                .map(|[low, high]| f32::midpoint(*low, *high));
            let level = middles.filter(|middle| scaled > *middle).count() as u8;
            byte |= level << filled;
            filled += bits;
            if filled == 8 {
                out.push(byte);
                (byte, filled) = (0, 0);
            }
        }
        if filled > 0 {
            out.push(byte);
        }
    }

    /// The vector that `kept` and `centroid` stand for. With `unit`, scaled to length 1, as the
    /// vectors that were encoded are.
    pub(crate) fn decode(&self, kept: &[u8], centroid: &[f32], unit: bool, out: &mut [f32]) {
        match self.bits {
            LateBits::Half => {
                for (out, bytes) in out.iter_mut().zip(kept.as_chunks::<2>().0) {
                    *out = f16::from_le_bytes(*bytes).to_f32();
                }
                return;
            }
            LateBits::Two => self.decode_levels::<4>(kept, centroid, out),
            LateBits::Four => self.decode_levels::<2>(kept, centroid, out),
        }
        if unit {
            scale_to_unit(out);
        }
    }

    /// `P` dimensions per byte.
    fn decode_levels<const P: usize>(&self, kept: &[u8], centroid: &[f32], out: &mut [f32]) {
        let (outs, last_out) = out.as_chunks_mut::<P>();
        let (centers, last_centers) = centroid.as_chunks::<P>();
        let (spreads, last_spreads) = self.spread.as_chunks::<P>();
        let levels = |byte: u8| {
            self.table
                .get(usize::from(byte))
                .copied()
                .unwrap_or_default()
        };
        let whole = outs.iter_mut().zip(centers).zip(spreads);
        for (((out, center), spread), byte) in whole.zip(kept) {
            let levels = levels(*byte);
            for at in 0..P {
                if let (Some(out), Some(center), Some(spread), Some(level)) = (
                    out.get_mut(at),
                    center.get(at),
                    spread.get(at),
                    levels.get(at),
                ) {
                    *out = center + level * spread;
                }
            }
        }
        let levels = levels(kept.last().copied().unwrap_or_default());
        let rest = last_out.iter_mut().zip(last_centers).zip(last_spreads);
        for (((out, center), spread), level) in rest.zip(levels) {
            *out = center + level * spread;
        }
    }
}

fn scale_to_unit(row: &mut [f32]) {
    // Eight sums, so that they add up side by side.
    let mut sums = [0.0_f32; 8];
    let (chunks, rest) = row.as_chunks::<8>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value * value;
        }
    }
    let square = sums.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>();
    if square > 0.0 {
        let scale = square.sqrt().recip();
        for value in row {
            *value *= scale;
        }
    }
}

/// `count` levels of least squared error for `values`, ascending.
fn least_squares(mut values: Vec<f32>, count: usize) -> Vec<f32> {
    values.retain(|value| value.is_finite());
    values.sort_unstable_by(f32::total_cmp);
    let mut sums = Vec::with_capacity(values.len() + 1);
    let mut sum = 0.0;
    sums.push(sum);
    for value in &values {
        sum += f64::from(*value);
        sums.push(sum);
    }
    let quantile = |level: usize| {
        let at = (2 * level + 1) * values.len() / (2 * count);
        values.get(at).copied().unwrap_or_default()
    };
    let mut levels: Vec<f32> = (0..count).map(quantile).collect();
    for _ in 0..ROUNDS {
        let middles = levels
            .array_windows()
            .map(|[low, high]| f32::midpoint(*low, *high));
        let mut ends: Vec<usize> = middles
            .map(|middle| values.partition_point(|value| *value <= middle))
            .collect();
        ends.push(values.len());
        let mut start = 0;
        for (level, end) in levels.iter_mut().zip(ends) {
            if let (Some(from), Some(to)) = (sums.get(start), sums.get(end))
                && end > start
            {
                *level = ((to - from) / (end - start) as f64) as f32;
            }
            start = end;
        }
    }
    levels
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::super::points::mix;
    use super::*;

    fn differences(rows: usize, dim: usize) -> Vec<f32> {
        // Sums of uniform numbers are nearly normal; every dimension with its own spread.
        let uniform = |i: u64| (mix(i) % 10_000) as f32 / 10_000.0 - 0.5;
        (0..rows * dim)
            .map(|i| (0..6).map(|j| uniform(i as u64 * 6 + j)).sum::<f32>() * (1 + i % dim) as f32)
            .collect()
    }

    #[test]
    fn more_bits_lose_less_and_any_dimension_packs() {
        for dim in [1, 2, 3, 7, 16, 30] {
            let differences = differences(4000 / dim, dim);
            let centroid: Vec<f32> = (0..dim).map(|d| d as f32).collect();
            let mut losses = Vec::new();
            for bits in [LateBits::Two, LateBits::Four, LateBits::Half] {
                let residuals = Residuals::learn(bits, &differences, dim);
                let (mut lost, mut all) = (0.0, 0.0);
                for row in differences.chunks(dim) {
                    let row: Vec<f16> = row
                        .iter()
                        .zip(&centroid)
                        .map(|(d, c)| f16::from_f32(d + c))
                        .collect();
                    let mut kept = Vec::new();
                    residuals.encode(&row, &centroid, &mut kept);
                    assert_eq!(kept.len(), bits.row_bytes(dim));
                    let mut out = vec![0.0; dim];
                    residuals.decode(&kept, &centroid, false, &mut out);
                    for (((a, b), c), s) in
                        row.iter().zip(&out).zip(&centroid).zip(residuals.spread())
                    {
                        lost += ((a.to_f32() - b) / s).powi(2);
                        all += ((a.to_f32() - c) / s).powi(2);
                    }
                }
                losses.push(lost / all);
            }
            // The least possible for a normal distribution is 0.118 and 0.0095.
            assert!(
                losses[0] < 0.13 && losses[1] < 0.013 && losses[2] < 1e-6,
                "{dim} {losses:?}"
            );
        }
    }

    #[test]
    fn a_unit_vector_stays_one() {
        let residuals = Residuals::learn(LateBits::Two, &differences(100, 9), 9);
        let mut out = vec![0.0; 9];
        residuals.decode(&[7, 99, 3], &[0.5; 9], true, &mut out);
        assert!((out.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn constant_and_absent_differences_do_no_harm() {
        for differences in [vec![], vec![0.0; 40]] {
            let residuals = Residuals::learn(LateBits::Four, &differences, 4);
            let mut kept = Vec::new();
            residuals.encode(&[f16::ONE; 4], &[1.0; 4], &mut kept);
            let mut out = vec![9.0; 4];
            residuals.decode(&kept, &[1.0; 4], false, &mut out);
            assert_eq!(out, [1.0; 4]);
        }
    }
}
