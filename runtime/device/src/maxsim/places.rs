//! Documents' token vectors in one piece of a device's memory, so that a refusal shows all of it.

use half::f16;
use routir_core::Result;

use super::CodedTokens;
use crate::{Arg, DeviceMemory, Session};

/// Vectors that are copied at once.
const AT_ONCE: usize = 1 << 16;
/// Where parts begin is a multiple of this.
const ALIGNED: usize = 256;

/// Where coded vectors lie in their memory.
pub(super) struct Places {
    starts: usize,
    kept: usize,
    codes: usize,
    /// `None` where nothing is scaled.
    scales: Option<usize>,
    centroids: usize,
    numbers: usize,
    bytes: usize,
}

impl Places {
    pub(super) fn new(of: &CodedTokens<'_>) -> Self {
        let mut bytes = 0_usize;
        let mut next = |size: usize| {
            let at = bytes;
            bytes = bytes.saturating_add(size).next_multiple_of(ALIGNED);
            at
        };
        let tokens = of.tokens();
        let coded = |size: usize| if of.is_whole() { 0 } else { size };
        let centroids = of.centroids.len() / of.dim.max(1) * of.padded() * 2;
        Self {
            starts: next((of.ends.len() + 1) * 8),
            kept: next(tokens.saturating_mul(of.padded_bytes())),
            codes: next(coded(tokens.saturating_mul(4))),
            scales: of.is_scaled().then(|| next(tokens.saturating_mul(4))),
            centroids: next(coded(centroids)),
            numbers: next(coded(of.numbers().len() * 4)),
            bytes,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where documents begin.
    pub(super) fn starts(&self, memory: &DeviceMemory) -> Arg {
        memory.arg_at(self.starts)
    }

    /// Rows in half precision.
    pub(super) fn whole(&self, memory: &DeviceMemory) -> Arg {
        memory.arg_at(self.kept)
    }

    /// What kernels are told of coded rows.
    pub(super) fn coded(&self, memory: &DeviceMemory) -> [Arg; 5] {
        [
            memory.arg_at(self.kept),
            memory.arg_at(self.codes),
            self.scales.map_or(Arg::U64(0), |at| memory.arg_at(at)),
            memory.arg_at(self.centroids),
            memory.arg_at(self.numbers),
        ]
    }

    /// Copies `of`, which was checked, to where it belongs, piece by piece.
    ///
    /// # Errors
    /// When the device fails, or half precision does not hold a vector.
    pub(super) fn fill(
        &self,
        session: &mut Session,
        memory: &DeviceMemory,
        of: &CodedTokens<'_>,
        what: &str,
    ) -> Result<()> {
        session.upload(memory, self.starts, &[0; 8])?;
        session.upload(memory, self.starts + 8, bytemuck::cast_slice(of.ends))?;
        let (size, padded) = (of.row_bytes(), of.padded_bytes());
        let mut at = 0;
        for kept in of.kept.chunks(AT_ONCE * size) {
            let count = kept.len() / size;
            if size == padded {
                session.upload(memory, self.kept + at * padded, kept)?;
            } else {
                let mut rows = Vec::with_capacity(count * padded);
                for (number, row) in kept.chunks_exact(size).enumerate() {
                    rows.extend_from_slice(row);
                    rows.resize((number + 1) * padded, 0);
                }
                session.upload(memory, self.kept + at * padded, &rows)?;
            }
            // Of all vectors, since what half precision does not hold is found so.
            let scales = of.scales(at..at + count, what)?;
            if let Some(place) = self.scales {
                session.upload(memory, place + at * 4, bytemuck::cast_slice(&scales))?;
            }
            at += count;
        }
        if of.is_whole() {
            return session.wait();
        }
        session.upload(memory, self.codes, bytemuck::cast_slice(of.codes))?;
        let size = of.padded() * 2;
        let mut place = self.centroids;
        for centroids in of.centroids.chunks(AT_ONCE.div_ceil(64) * of.dim) {
            let mut bytes = Vec::with_capacity(centroids.len() / of.dim * size);
            for (number, centroid) in centroids.chunks_exact(of.dim).enumerate() {
                let halves = centroid.iter().map(|it| f16::from_f32(*it));
                bytes.extend(halves.flat_map(f16::to_le_bytes));
                bytes.resize((number + 1) * size, 0);
            }
            session.upload(memory, place, &bytes)?;
            place += bytes.len();
        }
        let numbers = of.numbers();
        session.upload(memory, self.numbers, bytemuck::cast_slice(&numbers))?;
        session.wait()
    }
}
