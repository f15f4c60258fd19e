//! Numbers on their way into a graph and out of it.

use std::borrow::Cow;

use half::{bf16, f16};
use routir_core::{Error, Result};

use super::Element;
use super::raw::Value;

/// The numbers of an input; whole numbers and floats fit inputs of any width.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// Whole numbers.
    Ints(&'a [i64]),
    /// Floats.
    Floats(&'a [f32]),
    /// Truth values.
    Bools(&'a [bool]),
}

impl Data<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ints(data) => data.len(),
            Self::Floats(data) => data.len(),
            Self::Bools(data) => data.len(),
        }
    }
}

/// What goes into one input for one run.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// The input's name.
    pub name: &'a str,
    /// The shape, slowest dimension first.
    pub shape: &'a [usize],
    /// As many numbers as the shape says, row by row.
    pub data: Data<'a>,
}

/// What came out of a run, in the order that was asked for.
#[derive(Debug)]
pub struct Outputs<'g>(Vec<Value<'g>>);

impl<'g> Outputs<'g> {
    pub(super) fn new(values: Vec<Value<'g>>) -> Self {
        Self(values)
    }

    /// The output number `index` of those that were asked for, as floats: those of 32 bits are read in
    /// place, others are converted.
    ///
    /// # Errors
    /// When there is none, or it carries no floats.
    pub fn floats(&self, index: usize) -> Result<TensorView<'_>> {
        let value = self.0.get(index);
        let value =
            value.ok_or_else(|| Error::internal(format!("no output {index} was asked for")))?;
        let data = match value.element() {
            Element::F32 => value.data::<f32>().map(Cow::Borrowed),
            Element::F64 => converted(value.data::<f64>(), |it| it as f32),
            Element::F16 => converted(value.data::<f16>(), f16::to_f32),
            Element::Bf16 => converted(value.data::<bf16>(), bf16::to_f32),
            _ => None,
        };
        let data = data.ok_or_else(|| {
            let element = value.element();
            Error::engine(format!(
                "a model's output carries {element:?} where floats are wanted"
            ))
        })?;
        Ok(TensorView {
            shape: value.shape(),
            data,
        })
    }
}

fn converted<T: Copy>(data: Option<&[T]>, convert: impl Fn(T) -> f32) -> Option<Cow<'_, [f32]>> {
    data.map(|data| data.iter().map(|&it| convert(it)).collect())
}

/// An output as floats, row by row.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    shape: &'a [usize],
    data: Cow<'a, [f32]>,
}

impl TensorView<'_> {
    /// The shape, slowest dimension first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        self.shape
    }

    /// All numbers: the product of the shape.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The numbers of each entry of the first dimension, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        let rows = self.shape.first().copied().unwrap_or(1);
        let width = self.data.len().checked_div(rows).unwrap_or_default();
        (0..rows).map(move |row| {
            let start = row * width;
            self.data.get(start..start + width).unwrap_or_default()
        })
    }
}
