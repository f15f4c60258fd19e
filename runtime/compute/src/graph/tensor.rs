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

/// Numbers of the width that an input wants.
pub(super) enum Numbers<'a> {
    I64(&'a [i64]),
    I32(Vec<i32>),
    Bools(&'a [bool]),
    F32(&'a [f32]),
    F64(Vec<f64>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl<'a> Numbers<'a> {
    /// The numbers of a feed as `element`.
    pub(super) fn new(feed: &Feed<'a>, element: Element) -> Result<Self, String> {
        let product = |all: usize, &dim: &usize| all.checked_mul(dim);
        if feed.shape.iter().try_fold(1, product) != Some(feed.data.len()) {
            return Err(format!(
                "{} numbers do not fill the shape {:?}",
                feed.data.len(),
                feed.shape
            ));
        }
        Ok(match (feed.data, element) {
            (Data::Ints(data), Element::I64) => Self::I64(data),
            (Data::Floats(data), Element::F32) => Self::F32(data),
            (Data::Bools(data), Element::Bool) => Self::Bools(data),
            (Data::Ints(data), Element::I32) => {
                let narrow =
                    |&it: &i64| i32::try_from(it).map_err(|_| format!("{it} is too large"));
                Self::I32(data.iter().map(narrow).collect::<Result<_, _>>()?)
            }
            (Data::Floats(data), Element::F64) => {
                Self::F64(data.iter().map(|&it| f64::from(it)).collect())
            }
            (Data::Floats(data), Element::F16) => {
                Self::F16(data.iter().map(|&it| f16::from_f32(it)).collect())
            }
            (Data::Floats(data), Element::Bf16) => {
                Self::Bf16(data.iter().map(|&it| bf16::from_f32(it)).collect())
            }
            _ => return Err(format!("the graph wants {element:?} there")),
        })
    }

    /// Their bytes, as they lie in memory.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(match self {
            Self::I64(data) => bytemuck::cast_slice(data),
            Self::I32(data) => bytemuck::cast_slice(data),
            Self::F32(data) => bytemuck::cast_slice(data),
            Self::F64(data) => bytemuck::cast_slice(data),
            Self::F16(data) => bytemuck::cast_slice(data),
            Self::Bf16(data) => bytemuck::cast_slice(data),
            Self::Bools(data) => return data.iter().map(|&it| u8::from(it)).collect(),
        })
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
pub struct Outputs<'g>(Vec<Output<'g>>);

/// An output of a run.
#[derive(Debug)]
pub(super) enum Output<'g> {
    /// Where the run left it.
    Value(Value<'g>),
    /// Copied from a GPU.
    Floats(Vec<usize>, Vec<f32>),
}

impl<'g> Outputs<'g> {
    pub(super) fn new(outputs: Vec<Output<'g>>) -> Self {
        Self(outputs)
    }

    /// The output number `index` of those that were asked for, as floats: those of 32 bits are read in
    /// place, others are converted.
    ///
    /// # Errors
    /// When there is none, or it carries no floats.
    pub fn floats(&self, index: usize) -> Result<TensorView<'_>> {
        let value = self.0.get(index);
        let value = match value {
            Some(Output::Value(value)) => value,
            Some(Output::Floats(shape, data)) => {
                return Ok(TensorView {
                    shape,
                    data: Cow::Borrowed(data),
                });
            }
            None => return Err(Error::internal(format!("no output {index} was asked for"))),
        };
        let data = match value.element() {
            Element::F32 => value.data::<f32>().map(Cow::Borrowed),
            Element::F64 => converted(value.data::<f64>(), |it| it as f32),
            Element::F16 => converted(value.data::<f16>(), f16::to_f32),
            Element::Bf16 => converted(value.data::<bf16>(), bf16::to_f32),
            _ => None,
        };
        let data = data.ok_or_else(|| no_floats(value.element()))?;
        Ok(TensorView {
            shape: value.shape(),
            data,
        })
    }
}

/// The floats of an output's bytes.
///
/// # Errors
/// When it carries no floats.
pub(super) fn floats_of(bytes: &[u8], element: Element) -> Result<Vec<f32>> {
    fn each<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (numbers, _) = bytes.as_chunks();
        numbers.iter().map(|it| read(*it)).collect()
    }
    Ok(match element {
        Element::F32 => each(bytes, f32::from_ne_bytes),
        Element::F64 => each(bytes, |it| f64::from_ne_bytes(it) as f32),
        Element::F16 => each(bytes, |it| f16::from_ne_bytes(it).to_f32()),
        Element::Bf16 => each(bytes, |it| bf16::from_ne_bytes(it).to_f32()),
        _ => return Err(no_floats(element)),
    })
}

fn no_floats(element: Element) -> Error {
    Error::engine(format!(
        "a model's output carries {element:?} where floats are wanted"
    ))
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
