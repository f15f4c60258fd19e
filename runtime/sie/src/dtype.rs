//! In which numbers vectors are answered, by the rules of SIE's worker: every row alone, halves
//! rounded to even.

use half::f16;

use crate::{Array, Element};

/// The numbers of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputDtype {
    /// As they are.
    #[default]
    Float32,
    /// Half precision.
    Float16,
    /// The largest of a row, whatever its sign, becomes 127.
    Int8,
    /// The smallest of a row becomes 0, the largest 255.
    Uint8,
    /// A bit for each: whether it is above 0. Eight in a byte, the first in the highest bit.
    Binary,
}

impl OutputDtype {
    /// The names under which requests ask for them.
    pub const NAMES: [&str; 6] = ["float32", "float16", "int8", "uint8", "binary", "ubinary"];

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "float32" => Self::Float32,
            "float16" => Self::Float16,
            "int8" => Self::Int8,
            "uint8" => Self::Uint8,
            "binary" | "ubinary" => Self::Binary,
            _ => return None,
        })
    }

    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Binary => "binary",
        }
    }

    /// The one in which weights of terms are answered: fewer bits are for vectors alone.
    #[must_use]
    pub fn of_weights(self) -> Self {
        match self {
            Self::Float16 => self,
            _ => Self::Float32,
        }
    }

    /// One vector.
    #[must_use]
    pub fn vector(self, values: &[f32]) -> Array {
        let data = self.data(values, values.len());
        self.array(vec![self.side(values.len())], data)
    }

    /// Vectors of `width` numbers each, one after another.
    #[must_use]
    pub fn rows(self, values: &[f32], width: usize) -> Array {
        let width = width.max(1);
        let data = self.data(values, width);
        self.array(vec![values.len() / width, self.side(width)], data)
    }

    fn array(self, shape: Vec<usize>, data: Vec<u8>) -> Array {
        let element = match self {
            Self::Float32 => Element::F32,
            Self::Float16 => Element::F16,
            Self::Int8 => Element::I8,
            Self::Uint8 | Self::Binary => Element::U8,
        };
        // The data was made by the shape.
        Array::new(element, shape, data).unwrap_or_else(|_| Array::floats(&[]))
    }

    /// How many elements a row of `width` numbers has.
    fn side(self, width: usize) -> usize {
        match self {
            Self::Binary => width.div_ceil(8),
            _ => width,
        }
    }

    fn data(self, values: &[f32], width: usize) -> Vec<u8> {
        let rows = values.chunks_exact(width.max(1));
        match self {
            Self::Float32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::Float16 => {
                let halves = values.iter().map(|x| f16::from_f32(*x));
                halves.flat_map(f16::to_le_bytes).collect()
            }
            Self::Int8 => rows.flat_map(int8).collect(),
            Self::Uint8 => rows.flat_map(uint8).collect(),
            Self::Binary => rows.flat_map(bits).collect(),
        }
    }
}

fn int8(row: &[f32]) -> impl Iterator<Item = u8> + '_ {
    let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let scale = if largest == 0.0 { 1.0 } else { largest };
    row.iter()
        .map(move |x| ((x / scale * 127.0).round_ties_even() as i8).cast_unsigned())
}

fn uint8(row: &[f32]) -> impl Iterator<Item = u8> + '_ {
    let (least, most) = row
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), x| {
            (least.min(*x), most.max(*x))
        });
    let range = if most > least { most - least } else { 1.0 };
    row.iter()
        .map(move |x| ((x - least) / range * 255.0).round_ties_even() as u8)
}

fn bits(row: &[f32]) -> impl Iterator<Item = u8> + '_ {
    row.chunks(8).map(|eight| {
        let bits = eight.iter().zip((0..8).rev());
        bits.fold(0, |byte, (x, bit)| byte | (u8::from(*x > 0.0) << bit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(array: &Array) -> Vec<f32> {
        array.numbers().collect()
    }

    #[test]
    fn numbers_are_cut_as_the_worker_cuts_them() {
        // Checked with numpy 2: x / max(abs(x)) * 127, (x - min) / (max - min) * 255, packbits(x > 0).
        let row = [0.5, -1.0, 0.25, 0.0, 0.75, -0.125, 1.0, 0.1, -0.3];
        let int8 = OutputDtype::Int8.vector(&row);
        assert_eq!(
            numbers(&int8),
            [64.0, -127.0, 32.0, 0.0, 95.0, -16.0, 127.0, 13.0, -38.0]
        );
        let uint8 = OutputDtype::Uint8.vector(&row);
        assert_eq!(
            numbers(&uint8),
            [191.0, 0.0, 159.0, 128.0, 223.0, 112.0, 255.0, 140.0, 89.0]
        );
        let bits = OutputDtype::Binary.vector(&row);
        assert_eq!(bits.data(), [0b1010_1011, 0]);
        assert_eq!((bits.shape(), bits.element()), (&[2][..], Element::U8));
        let half = OutputDtype::Float16.vector(&row);
        assert_eq!(numbers(&half)[7], 0.099_975_586);
    }

    #[test]
    fn every_row_is_cut_alone() {
        let rows = OutputDtype::Int8.rows(&[1.0, 0.5, 4.0, -2.0, 0.0, 0.0], 2);
        assert_eq!(rows.shape(), [3, 2]);
        assert_eq!(numbers(&rows), [127.0, 64.0, 127.0, -64.0, 0.0, 0.0]);
        let rows = OutputDtype::Uint8.rows(&[1.0, 2.0, 7.0, 7.0], 2);
        assert_eq!(numbers(&rows), [0.0, 255.0, 0.0, 0.0]);
        let none = OutputDtype::Binary.rows(&[], 9);
        assert_eq!(none.shape(), [0, 2]);
    }

    #[test]
    fn every_name_is_known_and_no_other() {
        let parsed: Vec<_> = OutputDtype::NAMES.map(OutputDtype::parse).into();
        assert!(parsed.iter().all(Option::is_some));
        assert_eq!(OutputDtype::parse("float64"), None);
    }
}
