//! A matrix within a file: read by rows, as many as fit into memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use routir_core::{Error, Result};

use crate::element::Element;
use crate::failure::{io_error, wrong};

/// How many bytes are converted at once.
const PIECE: usize = 64 << 10;

/// The most numbers of one row: more than any model has, and little enough to hold.
const MAX_DIM: u64 = 1 << 20;

/// Where a matrix's numbers are.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// In the file, from this offset on.
    At(u64),
    /// In memory: they stand in the file in another form.
    Held(Vec<u8>),
}

/// A matrix in C order.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) rows: u64,
    pub(crate) dim: usize,
    pub(crate) element: Element,
    bytes: Bytes,
}

impl Block {
    /// The matrix of this shape in `bytes`, of which there are `length`.
    ///
    /// # Errors
    /// Why it cannot be: no matrix, too wide, or not as many bytes as the shape says.
    pub(crate) fn new(
        shape: &[u64],
        element: Element,
        bytes: Bytes,
        length: u64,
    ) -> Result<Self, String> {
        let &[rows, dim] = shape else {
            let dims = shape.len();
            return Err(format!(
                "its array has {dims} dimensions, not two; save one row per document"
            ));
        };
        if dim == 0 || dim > MAX_DIM {
            return Err(format!(
                "its rows have {dim} numbers; 1 to {MAX_DIM} can be read"
            ));
        }
        let wanted = rows
            .checked_mul(dim)
            .and_then(|numbers| numbers.checked_mul(element.size() as u64));
        if wanted != Some(length) {
            return Err(format!(
                "{rows} rows of {dim} numbers ({element}) do not fit the {length} bytes that are \
                 there; it is cut off or was not written to its end"
            ));
        }
        Ok(Self {
            rows,
            // At most `MAX_DIM`.
            dim: usize::try_from(dim).unwrap_or_default(),
            element,
            bytes,
        })
    }

    /// Puts the rows from number `first` on into `into`, in place of what is there.
    ///
    /// # Errors
    /// When there are not so many rows, or the file cannot be read.
    pub(crate) fn read(
        &self,
        file: &File,
        path: &Path,
        first: u64,
        rows: usize,
        into: &mut Vec<f32>,
    ) -> Result<()> {
        let end = first.checked_add(rows as u64);
        let numbers = rows.checked_mul(self.dim);
        let (Some(_), Some(numbers)) = (end.filter(|end| *end <= self.rows), numbers) else {
            return Err(Error::internal(format!(
                "`{}` has no {rows} rows from row {first} on",
                path.display()
            )));
        };
        into.clear();
        into.resize(numbers, 0.0);
        let size = self.element.size();
        // Within the length that was checked against the shape.
        let skipped = first * self.dim as u64 * size as u64;
        match &self.bytes {
            Bytes::At(offset) => {
                let mut at = offset + skipped;
                let mut fill = |bytes: &mut [u8]| {
                    let read = file.read_exact_at(bytes, at);
                    at += bytes.len() as u64;
                    read.map_err(|error| match error.kind() {
                        std::io::ErrorKind::UnexpectedEof => {
                            wrong(path, "it became shorter while it was read")
                        }
                        _ => io_error("reading", path, &error),
                    })
                };
                self.fill(&mut fill, into)
            }
            Bytes::Held(bytes) => {
                let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
                self.element
                    .decode(bytes.get(skipped..).unwrap_or_default(), into);
                Ok(())
            }
        }
    }

    fn fill(
        &self,
        fill: &mut dyn FnMut(&mut [u8]) -> Result<()>,
        numbers: &mut [f32],
    ) -> Result<()> {
        // As the file has them, so memory has them: no copy between.
        if self.element == Element::F32 && cfg!(target_endian = "little") {
            return fill(bytemuck::cast_slice_mut(numbers));
        }
        let size = self.element.size();
        let mut piece = vec![0; PIECE.min(numbers.len() * size)];
        for numbers in numbers.chunks_mut(PIECE / size) {
            let (bytes, _) = piece.split_at_mut(numbers.len() * size);
            fill(bytes)?;
            self.element.decode(bytes, numbers);
        }
        Ok(())
    }
}
