//! Texts as rows of numbers in half precision, each with as many as it has tokens.

use routir_core::{Error, Result};

use crate::{Element, Rows};

/// Rows of several texts, one text after another.
#[derive(Clone, Debug)]
pub struct TokenRows {
    rows: Rows,
    /// Where each text begins; at last, where all end.
    starts: Vec<u64>,
}

impl TokenRows {
    /// Takes the rows of each text, of `dim` numbers, one after another.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when a text has no whole rows, or a number is not
    /// finite or too large for half precision.
    pub fn new<'a>(dim: usize, texts: impl IntoIterator<Item = &'a [f32]>) -> Result<Self> {
        let mut starts = vec![0];
        let mut all = Vec::new();
        for (number, text) in texts.into_iter().enumerate() {
            if dim == 0 || !text.len().is_multiple_of(dim) {
                return Err(Error::invalid(format!(
                    "text {number} has {} numbers, no whole number of rows of {dim}",
                    text.len()
                )));
            }
            all.extend_from_slice(text);
            starts.push((all.len() / dim) as u64);
        }
        let rows = Rows::new(Element::F16, dim, &all)?;
        let tokens = Self { rows, starts };
        tokens.few()?;
        Ok(tokens)
    }

    /// Takes the texts of `others` behind its own.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when their rows are of another length, or too many.
    pub fn append(&mut self, others: &Self) -> Result<()> {
        if others.dim() != self.dim() {
            return Err(Error::invalid(format!(
                "rows of {} numbers do not go with rows of {}",
                others.dim(),
                self.dim()
            )));
        }
        let first = self.rows.len() as u64;
        self.rows.append(&others.rows);
        let starts = others.starts.iter().skip(1);
        self.starts.extend(starts.map(|start| first + start));
        self.few()
    }

    /// Refuses more than numbers of 32 bits count.
    fn few(&self) -> Result<()> {
        let (rows, texts) = (self.rows.len(), self.starts.len());
        match u32::try_from(rows.max(texts)) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::invalid(format!("{rows} rows are too many"))),
        }
    }

    /// Numbers of a row.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.rows.dim()
    }

    /// How many texts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows a text has.
    #[must_use]
    pub fn rows_of(&self, text: usize) -> usize {
        self.range(text).len()
    }

    pub(super) fn range(&self, text: usize) -> std::ops::Range<usize> {
        let at = |text: usize| self.starts.get(text).copied().unwrap_or_default() as usize;
        at(text)..at(text + 1)
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(super) fn starts(&self) -> &[u64] {
        &self.starts
    }

    /// The rows of a text, as they are scored.
    pub(super) fn read(&self, text: usize) -> Vec<f32> {
        let (mut all, mut row) = (Vec::new(), Vec::new());
        for at in self.range(text) {
            self.rows.read(at, &mut row);
            all.extend_from_slice(&row);
        }
        all
    }
}
