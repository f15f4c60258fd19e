//! The numbers that files hold, and how they become `f32`.

use std::fmt;

use half::{bf16, f16};

/// The type of a file's numbers; all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// IEEE half precision.
    F16,
    /// bfloat16, in safetensors only.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision; a number that single precision cannot hold becomes infinite.
    F64,
}

impl Element {
    /// The size of one number, in bytes.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// What numpy calls it; `None` for a type that numpy has not.
    pub(crate) fn numpy(self) -> Option<&'static str> {
        match self {
            Self::F16 => Some("f2"),
            Self::Bf16 => None,
            Self::F32 => Some("f4"),
            Self::F64 => Some("f8"),
        }
    }

    /// The type that numpy calls `name`, such as `f4`.
    pub(crate) fn from_numpy(name: &str) -> Option<Self> {
        [Self::F16, Self::F32, Self::F64]
            .into_iter()
            .find(|it| it.numpy() == Some(name))
    }

    /// Fills `numbers` from as many numbers in `bytes`.
    pub(crate) fn decode(self, bytes: &[u8], numbers: &mut [f32]) {
        match self {
            Self::F16 => each(bytes, numbers, |it| f16::from_le_bytes(it).to_f32()),
            Self::Bf16 => each(bytes, numbers, |it| bf16::from_le_bytes(it).to_f32()),
            Self::F32 => each(bytes, numbers, f32::from_le_bytes),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounding to single precision is what is asked for"
            )]
            Self::F64 => each(bytes, numbers, |it| f64::from_le_bytes(it) as f32),
        }
    }

    /// Appends `numbers` to `bytes`.
    pub(crate) fn encode(self, numbers: &[f32], bytes: &mut Vec<u8>) {
        match self {
            Self::F16 => numbers
                .iter()
                .for_each(|&it| bytes.extend(f16::from_f32(it).to_le_bytes())),
            Self::Bf16 => numbers
                .iter()
                .for_each(|&it| bytes.extend(bf16::from_f32(it).to_le_bytes())),
            Self::F32 => numbers.iter().for_each(|it| bytes.extend(it.to_le_bytes())),
            Self::F64 => numbers
                .iter()
                .for_each(|&it| bytes.extend(f64::from(it).to_le_bytes())),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], numbers: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    let (words, _) = bytes.as_chunks::<N>();
    for (to, &from) in numbers.iter_mut().zip(words) {
        *to = number(from);
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_far_as_the_type_can_hold_it() {
        let numbers = [0.0, -1.5, 0.25, 65504.0, f32::INFINITY];
        for element in [Element::F16, Element::Bf16, Element::F32, Element::F64] {
            let mut bytes = Vec::new();
            element.encode(&numbers, &mut bytes);
            assert_eq!(bytes.len(), numbers.len() * element.size());
            let mut read = [0.0; 5];
            element.decode(&bytes, &mut read);
            for (read, written) in read.iter().zip(numbers) {
                // bfloat16 has eight bits: 65504 becomes 65536.
                assert!(*read == written || element == Element::Bf16 && *read == 65536.0);
            }
        }
        let mut read = [0.0];
        Element::F64.decode(&1e300_f64.to_le_bytes(), &mut read);
        assert_eq!(read, [f32::INFINITY]);
    }
}
