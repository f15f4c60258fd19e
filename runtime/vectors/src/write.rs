//! Writes vectors row by row: the number of rows need not be known before.

use std::path::Path;

use routir_core::{Error, Result};

use crate::element::Element;
use crate::format::{Format, ids_beside};
use crate::ids::{self, IdList, IdWriter};
use crate::new_file::NewFile;
use crate::{npy, pickle, tensors};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many vectors.
    pub rows: u64,
    /// How many bytes on disk, ids among them.
    pub bytes: u64,
}

/// A file of vectors in the making. It is in place, with its ids, when [`VectorWriter::finish`]
/// returns, and not before; the file of vectors comes last, so where it is, everything is.
#[derive(Debug)]
pub struct VectorWriter {
    file: NewFile,
    format: Format,
    element: Element,
    dim: usize,
    rows: u64,
    ids: Ids,
    /// The bytes of one row.
    row: Vec<u8>,
}

#[derive(Debug)]
enum Ids {
    Beside(IdWriter),
    /// They stand behind the vectors.
    Held(IdList),
}

impl VectorWriter {
    /// Starts the file that will be `path`, with rows of `dim` numbers of type `element`.
    ///
    /// # Errors
    /// When it cannot be written, or another process is writing it; for a type that the format has
    /// not.
    pub fn create(path: &Path, format: Format, element: Element, dim: usize) -> Result<Self> {
        if format != Format::Safetensors && element.numpy().is_none() {
            return Err(Error::invalid(format!(
                "numbers of type {element} cannot be written as {format}; use safetensors"
            )));
        }
        if dim == 0 {
            return Err(Error::invalid("vectors of no numbers cannot be written"));
        }
        let mut file = NewFile::create(path)?;
        let ids = if format.has_ids_beside() {
            Ids::Beside(IdWriter::create(&ids_beside(path))?)
        } else {
            Ids::Held(IdList::default())
        };
        file.write(&head(format, element, 0, dim)?)?;
        if format == Format::Routir {
            file.write(&pickle::layout(element, dim).prologue)?;
        }
        Ok(Self {
            file,
            format,
            element,
            dim,
            rows: 0,
            ids,
            row: Vec::with_capacity(dim * element.size()),
        })
    }

    /// Appends a document's vector.
    ///
    /// # Errors
    /// For a vector of another size, an id that does not fit on a line; when the disk takes no
    /// more.
    pub fn push(&mut self, id: &str, vector: &[f32]) -> Result<()> {
        if vector.len() != self.dim {
            return Err(Error::internal(format!(
                "the vector of document {id} has {} numbers, not {}",
                vector.len(),
                self.dim
            )));
        }
        match &mut self.ids {
            Ids::Beside(ids) => ids.push(id)?,
            Ids::Held(ids) => {
                if let Some(why) = ids::problem(id) {
                    return Err(Error::invalid(format!("a document's id {why}")));
                }
                ids.push(id);
            }
        }
        self.row.clear();
        self.element.encode(vector, &mut self.row);
        self.file.write(&self.row)?;
        self.rows += 1;
        Ok(())
    }

    /// How many have been written.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Puts the file in place.
    ///
    /// # Errors
    /// When the disk takes no more.
    pub fn finish(mut self) -> Result<Written> {
        let rows = self.rows;
        let mut bytes = 0;
        match self.ids {
            Ids::Beside(ids) => {
                bytes += ids.commit()?;
                let head = head(self.format, self.element, rows, self.dim)?;
                self.file.overwrite(0, &head)?;
            }
            Ids::Held(ids) => {
                let layout = pickle::layout(self.element, self.dim);
                let place = |at: usize| npy::HEAD_BYTES + at as u64;
                let length = rows * (self.dim * self.element.size()) as u64;
                self.file
                    .overwrite(place(layout.rows_at), &rows.to_le_bytes())?;
                self.file
                    .overwrite(place(layout.length_at), &length.to_le_bytes())?;
                self.file.write(&pickle::epilogue(&ids))?;
            }
        }
        bytes += self.file.commit()?;
        Ok(Written { rows, bytes })
    }
}

fn head(format: Format, element: Element, rows: u64, dim: usize) -> Result<Vec<u8>> {
    match format {
        Format::Npy => {
            let name = format!("<{}", element.numpy().unwrap_or("f4"));
            Ok(npy::head(&name, Some((rows, dim))))
        }
        Format::Routir => Ok(npy::head("|O", None)),
        Format::Safetensors => tensors::head(element, rows, dim)
            .ok_or_else(|| Error::invalid("there are more vectors than a file can hold")),
    }
}
