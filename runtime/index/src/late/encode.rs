//! Token vectors to codes, as they come.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rayon::prelude::*;

use super::codebook::Codebook;
use super::lists::close;
use super::points::{Points, sample};
use super::residual::{LateBits, Residuals};

/// Vectors whose differences from their centroids are learned from.
const LEARN: usize = 1 << 16;
/// Vectors that one thread encodes at a time.
const CHUNK: usize = 1024;

/// Writes each vector's centroid and what is kept of its difference.
pub(crate) struct Encoder {
    book: Codebook,
    /// The book's centroids, one after another.
    centroids: Vec<f32>,
    residuals: Residuals,
    codes: Option<BufWriter<File>>,
    kept: Option<BufWriter<File>>,
    row_bytes: usize,
}

impl Encoder {
    /// Learns how the vectors differ from the centroids of `book`, from some of `points`.
    pub(crate) fn create(
        dir: &Path,
        book: Codebook,
        points: Points<'_>,
        bits: LateBits,
    ) -> io::Result<Self> {
        let centroids: Vec<f32> = book.rows().flatten().copied().collect();
        let some = sample(&points.all(), LEARN, 1);
        let codes = book.assign(points, &some);
        let dim = points.dim;
        let mut differences = Vec::with_capacity(some.len() * dim);
        for (point, code) in some.iter().zip(codes) {
            let centroid = centroids.iter().skip(code as usize * dim);
            let row = points.row(*point).iter().zip(centroid);
            differences.extend(row.map(|(value, center)| value.to_f32() - center));
        }
        let file = |name: &str| File::create_new(dir.join(name)).map(BufWriter::new);
        Ok(Self {
            residuals: Residuals::learn(bits, &differences, dim),
            codes: Some(file("codes.u32")?),
            kept: Some(file("residuals.bin")?),
            row_bytes: bits.row_bytes(dim),
            centroids,
            book,
        })
    }

    /// How many centroids there are.
    pub(crate) fn centroids(&self) -> usize {
        self.book.len()
    }

    /// Encodes vectors and writes them.
    pub(crate) fn take(&mut self, points: Points<'_>) -> io::Result<()> {
        let dim = points.dim;
        let codes = self.book.assign(points, &points.all());
        let kept: Vec<Vec<u8>> = codes
            .par_chunks(CHUNK)
            .zip(points.values.par_chunks(CHUNK * dim))
            .map(|(codes, values)| {
                let mut kept = Vec::with_capacity(codes.len() * self.row_bytes);
                for (code, row) in codes.iter().zip(values.chunks_exact(dim)) {
                    let start = *code as usize * dim;
                    let centroid = self.centroids.get(start..start + dim).unwrap_or_default();
                    self.residuals.encode(row, centroid, &mut kept);
                }
                kept
            })
            .collect();
        if let (Some(file), Some(bytes)) = (&mut self.codes, &mut self.kept) {
            file.write_all(bytemuck::cast_slice(&codes))?;
            for kept in kept {
                bytes.write_all(&kept)?;
            }
        }
        Ok(())
    }

    /// Writes what is left, and the centroids and levels beside it.
    pub(crate) fn finish(&mut self, dir: &Path) -> io::Result<()> {
        for file in [self.codes.take(), self.kept.take()].into_iter().flatten() {
            close(file)?;
        }
        let numbers = |name: &str, parts: &[&[f32]]| -> io::Result<()> {
            let mut file = BufWriter::new(File::create_new(dir.join(name))?);
            for part in parts {
                file.write_all(bytemuck::cast_slice(part))?;
            }
            close(file)
        };
        numbers("centroids.f32", &[&self.centroids])?;
        numbers(
            "residuals.f32",
            &[self.residuals.spread(), self.residuals.levels()],
        )
    }
}
