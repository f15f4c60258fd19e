//! Vectors as they lie on a device, and on the processor too: rows of whole units, padded with zeros.

use half::f16;
use routir_core::{Error, Result};
use serde::Serialize;

/// The most numbers of a vector.
pub const MAX_DIM: usize = 8192;

/// The most results of one query.
pub const MAX_K: usize = 1024;

/// How a number of a vector is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// Single precision: as it came.
    F32,
    /// Half precision, of queries too.
    F16,
    /// Eight bits, times a number per vector; queries stay as they came.
    I8,
}

impl Element {
    /// As it is called in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
        }
    }

    /// Bytes of a number.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I8 => 1,
        }
    }

    /// Numbers that a row is filled up to a multiple of: 16 bytes, or what the tensor cores take.
    fn multiple(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 32,
            Self::I8 => 16,
        }
    }

    /// Numbers of a row of `dim`, with those that fill it up.
    pub(crate) fn padded(self, dim: usize) -> usize {
        dim.next_multiple_of(self.multiple())
    }

    /// Bytes of a vector of `dim` numbers, with what belongs to it.
    #[must_use]
    pub fn row_bytes(self, dim: usize) -> usize {
        let more = match self {
            Self::F32 => 0,
            // Its squared length, or its factor.
            Self::F16 | Self::I8 => 4,
        };
        self.padded(dim) * self.bytes() + more
    }
}

/// How vectors are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The inner product.
    InnerProduct,
    /// Minus the squared Euclidean distance.
    L2,
}

/// Vectors of one length and element.
#[derive(Clone, Debug)]
pub struct Rows {
    element: Element,
    dim: usize,
    len: usize,
    data: Vec<u8>,
    factors: Vec<f32>,
    norms: Vec<f32>,
}

impl Rows {
    /// Takes vectors of `dim` numbers, one after another.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] when `dim` is 0 or more than [`MAX_DIM`], when
    /// there are no whole vectors, or when a number is not finite or too large for the element.
    pub fn new(element: Element, dim: usize, values: &[f32]) -> Result<Self> {
        if dim == 0 || dim > MAX_DIM {
            return Err(Error::invalid(format!(
                "vectors of {dim} numbers cannot be searched; from 1 to {MAX_DIM} they can"
            )));
        }
        if !values.len().is_multiple_of(dim) {
            return Err(Error::invalid(format!(
                "{} numbers are no whole number of vectors of {dim}",
                values.len()
            )));
        }
        let mut rows = Self {
            element,
            dim,
            len: 0,
            data: Vec::with_capacity(values.len() / dim * element.padded(dim) * element.bytes()),
            factors: Vec::new(),
            norms: Vec::new(),
        };
        for row in values.chunks_exact(dim) {
            rows.push(row)?;
        }
        Ok(rows)
    }

    fn push(&mut self, row: &[f32]) -> Result<()> {
        if let Some(at) = row.iter().position(|it| !it.is_finite()) {
            return Err(Error::invalid(format!(
                "number {at} of vector {} is not finite",
                self.len
            )));
        }
        match self.element {
            Element::F32 => self.data.extend(row.iter().flat_map(|it| it.to_le_bytes())),
            Element::F16 => {
                let mut norm = 0.0_f64;
                for (at, value) in row.iter().enumerate() {
                    let half = f16::from_f32(*value);
                    if !half.is_finite() {
                        return Err(Error::invalid(format!(
                            "number {at} of vector {} is {value:e}, too large for f16, which ends \
                             at 65504; use f32",
                            self.len
                        )));
                    }
                    norm += half.to_f64() * half.to_f64();
                    self.data.extend(half.to_le_bytes());
                }
                self.norms.push(norm as f32);
            }
            Element::I8 => {
                let most = row.iter().fold(0.0_f32, |most, it| most.max(it.abs()));
                // Zero and what divides to nothing have no direction to keep.
                let factor = if most / 127.0 > f32::MIN_POSITIVE {
                    most / 127.0
                } else {
                    0.0
                };
                let code = |it: &f32| match factor {
                    0.0 => 0_i8,
                    _ => (it / factor).round().clamp(-127.0, 127.0) as i8,
                };
                self.data
                    .extend(row.iter().map(|it| code(it).cast_unsigned()));
                self.factors.push(factor);
            }
        }
        self.len += 1;
        self.data.resize(self.len * self.stride(), 0);
        Ok(())
    }

    /// Takes the vectors of `others` behind its own; they are of the same length and element.
    pub(crate) fn append(&mut self, others: &Self) {
        self.len += others.len;
        self.data.extend_from_slice(&others.data);
        self.factors.extend_from_slice(&others.factors);
        self.norms.extend_from_slice(&others.norms);
    }

    /// How numbers are kept.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// Numbers of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many vectors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes from one vector to the next.
    pub(crate) fn stride(&self) -> usize {
        self.element.padded(self.dim) * self.element.bytes()
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// Of f16: squared lengths.
    pub(crate) fn norms(&self) -> &[f32] {
        &self.norms
    }

    /// Of i8: what a vector's numbers are multiplied with.
    pub(crate) fn factors(&self) -> &[f32] {
        &self.factors
    }

    /// Writes vector `at` as it is searched; the zeros that fill it up are left out.
    pub(crate) fn read(&self, at: usize, into: &mut Vec<f32>) {
        into.clear();
        let stride = self.stride();
        let bytes = self.data.get(at * stride..).unwrap_or_default();
        let bytes = bytes
            .get(..self.dim * self.element.bytes())
            .unwrap_or_default();
        match self.element {
            Element::F32 => {
                let (words, _) = bytes.as_chunks();
                into.extend(words.iter().map(|it| f32::from_le_bytes(*it)));
            }
            Element::F16 => {
                let (halves, _) = bytes.as_chunks();
                into.extend(halves.iter().map(|it| f16::from_le_bytes(*it).to_f32()));
            }
            Element::I8 => {
                let factor = self.factors.get(at).copied().unwrap_or_default();
                let value = |it: &u8| f32::from(it.cast_signed()) * factor;
                into.extend(bytes.iter().map(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_as_exactly_as_their_element_can() {
        let values = [
            1.0, -0.5, 0.25, 3.0, 0.0, 0.0, 0.0, 0.0, -127.0, 64.0, 1.0, 0.0,
        ];
        for element in [Element::F32, Element::F16, Element::I8] {
            let rows = Rows::new(element, 4, &values).unwrap();
            assert_eq!((rows.len(), rows.data().len()), (3, 3 * rows.stride()));
            assert_eq!(rows.stride() % 16, 0);
            let mut row = Vec::new();
            for (at, wanted) in values.chunks(4).enumerate() {
                rows.read(at, &mut row);
                for (got, wanted) in row.iter().zip(wanted) {
                    let most = if element == Element::I8 {
                        3.0 / 254.0
                    } else {
                        0.0
                    };
                    assert!((got - wanted).abs() <= most, "{element:?} {row:?}");
                }
            }
        }
        assert_eq!(
            Rows::new(Element::F16, 4, &values).unwrap().norms()[0],
            10.3125
        );
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_place() {
        for (element, values, part) in [
            (
                Element::F32,
                [0.0, f32::NAN],
                "number 1 of vector 0 is not finite",
            ),
            (Element::I8, [f32::INFINITY, 0.0], "number 0 of vector 0"),
            (Element::F16, [0.0, 70_000.0], "too large for f16"),
        ] {
            let error = Rows::new(element, 2, &values).unwrap_err();
            assert!(error.message().contains(part), "{error}");
        }
        assert!(Rows::new(Element::F32, 0, &[]).is_err());
        assert!(Rows::new(Element::F32, MAX_DIM + 1, &[]).is_err());
        assert!(Rows::new(Element::F32, 3, &[1.0]).is_err());
        assert!(Rows::new(Element::F32, 3, &[]).unwrap().is_empty());
    }
}
