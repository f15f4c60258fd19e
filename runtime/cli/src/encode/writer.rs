//! Puts vectors into the files that they belong into, one file after another.

use routir_vectors::{Element, Format, VectorWriter};

use super::parts::Parts;
use crate::failure::from_core;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Writes the files of a folder.
pub(crate) struct Writer<'a> {
    parts: &'a Parts,
    format: Format,
    element: Element,
    dim: usize,
    open: Option<(u64, VectorWriter)>,
    written: Files,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(parts: &'a Parts, format: Format, element: Element, dim: usize) -> Self {
        Self {
            parts,
            format,
            element,
            dim,
            open: None,
            written: Files::default(),
        }
    }

    /// Writes a document's vector; without one, makes sure that the document's file is there.
    /// Ordinals come in ascending order.
    ///
    /// # Errors
    /// When the disk takes no more, or an id does not fit on a line.
    pub(crate) fn push(
        &mut self,
        ordinal: u64,
        id: &str,
        vector: Option<&[f32]>,
    ) -> anyhow::Result<()> {
        let part = self.parts.part(ordinal);
        if self.open.as_ref().is_none_or(|(open, _)| *open != part) {
            self.close()?;
            let path = self.parts.path(part);
            let writer = VectorWriter::create(&path, self.format, self.element, self.dim);
            self.open = Some((part, writer.map_err(from_core)?));
        }
        match (&mut self.open, vector) {
            (Some((_, writer)), Some(vector)) => writer.push(id, vector).map_err(from_core),
            _ => Ok(()),
        }
    }

    fn close(&mut self) -> anyhow::Result<()> {
        if let Some((_, writer)) = self.open.take() {
            let written = writer.finish().map_err(from_core)?;
            self.written.files += 1;
            self.written.bytes += written.bytes;
        }
        Ok(())
    }

    /// Puts the last file in place.
    ///
    /// # Errors
    /// When the disk takes no more.
    pub(crate) fn finish(mut self) -> anyhow::Result<Files> {
        self.close()?;
        Ok(self.written)
    }
}
