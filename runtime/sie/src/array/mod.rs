//! Arrays of numpy.

mod wire;

use half::f16;

use crate::WireError;

/// The most dimensions that an array may have.
const MAX_DIMENSIONS: usize = 4;

/// What an array is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Whole numbers of 32 bits.
    I32,
    /// Whole numbers of 8 bits.
    I8,
    /// Bytes.
    U8,
}

impl Element {
    const ALL: [Self; 5] = [Self::F32, Self::F16, Self::I32, Self::I8, Self::U8];

    /// Its name in numpy's array protocol.
    #[must_use]
    pub fn numpy(self) -> &'static str {
        match self {
            Self::F32 => "<f4",
            Self::F16 => "<f2",
            Self::I32 => "<i4",
            Self::I8 => "|i1",
            Self::U8 => "|u1",
        }
    }

    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::I32 => "int32",
            Self::I8 => "int8",
            Self::U8 => "uint8",
        }
    }

    /// How many bytes one takes.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::F16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }
}

/// Numbers in one or more dimensions, row after row, as their bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    element: Element,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Array {
    /// An array of `data`, the little-endian bytes of its elements.
    ///
    /// # Errors
    /// When there are more or fewer than `shape` says, or too many dimensions.
    pub fn new(element: Element, shape: Vec<usize>, data: Vec<u8>) -> Result<Self, WireError> {
        let bytes = shape
            .iter()
            .try_fold(element.size(), |bytes, side| bytes.checked_mul(*side));
        if !(1..=MAX_DIMENSIONS).contains(&shape.len()) {
            return Err(WireError::new(format!(
                "an array has {} dimensions; 1 to {MAX_DIMENSIONS} are allowed",
                shape.len()
            )));
        }
        if bytes != Some(data.len()) {
            return Err(WireError::new(format!(
                "an array of {} bytes does not have the shape {shape:?} of {}",
                data.len(),
                element.numpy()
            )));
        }
        Ok(Self {
            element,
            shape,
            data,
        })
    }

    /// A list of numbers in single precision.
    #[must_use]
    pub fn floats(values: &[f32]) -> Self {
        Self {
            element: Element::F32,
            shape: vec![values.len()],
            data: values.iter().flat_map(|it| it.to_le_bytes()).collect(),
        }
    }

    /// A list of whole numbers.
    #[must_use]
    pub fn integers(values: &[i32]) -> Self {
        Self {
            element: Element::I32,
            shape: vec![values.len()],
            data: values.iter().flat_map(|it| it.to_le_bytes()).collect(),
        }
    }

    /// What it is made of.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// Its sides, the slowest first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The bytes of its elements.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Its elements as numbers. Whole numbers above 2²⁴ are rounded.
    pub fn numbers(&self) -> impl Iterator<Item = f32> + '_ {
        let element = self.element;
        let pieces = self.data.chunks_exact(element.size());
        pieces.map(move |bytes| match (element, bytes) {
            (Element::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Element::F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f32(),
            (Element::I32, &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]) as f32,
            (Element::I8, &[a]) => f32::from(a.cast_signed()),
            (Element::U8, &[a]) => f32::from(a),
            // Pieces are as long as an element.
            _ => f32::NAN,
        })
    }
}
