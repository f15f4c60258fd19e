//! Vectors that FAISS keeps whole, in single precision or a number at a time: `Flat`, `SQ8`,
//! `SQfp16`, `SQbf16`.

use half::{bf16, f16};
use routir_core::Result;

use super::{Header, Reader, Told};
use crate::{Element, Metric, Rows};

/// Numbers that are unpacked at once.
const BLOCK: usize = 1 << 21;

/// How a number is written down.
enum Number {
    F32,
    F16,
    Bf16,
    /// A byte, between bounds of each dimension: the least and how far it goes.
    Byte(Vec<(f32, f32)>),
}

impl Number {
    fn bytes(&self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Byte(_) => 1,
        }
    }
}

/// Vectors in a file's bytes.
pub struct FaissRows<'a> {
    dim: usize,
    len: usize,
    metric: Metric,
    number: Number,
    bytes: &'a [u8],
}

impl FaissRows<'_> {
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

    /// How they are compared.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// What FAISS calls an index of them.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.number {
            Number::F32 => "Flat",
            Number::F16 => "SQfp16",
            Number::Bf16 => "SQbf16",
            Number::Byte(_) => "SQ8",
        }
    }

    /// The smallest element that keeps what the file has: of `SQ8` too that is half precision, since
    /// its bounds are of each dimension and those of bytes here of each vector.
    #[must_use]
    pub fn element(&self) -> Element {
        match self.number {
            Number::F32 | Number::Bf16 => Element::F32,
            Number::F16 | Number::Byte(_) => Element::F16,
        }
    }

    /// The vectors, a block at a time.
    pub fn blocks(&self, element: Element) -> impl Iterator<Item = Result<Rows>> {
        self.some(0..self.len, element)
    }

    /// The vectors of these positions, a block at a time; none behind the last.
    pub fn some(
        &self,
        range: std::ops::Range<usize>,
        element: Element,
    ) -> impl Iterator<Item = Result<Rows>> {
        let size = self.dim * self.number.bytes();
        let at_once = (BLOCK / self.dim).max(1);
        let end = range.end.min(self.len);
        let bytes = self.bytes.get(range.start.min(end) * size..end * size);
        bytes
            .unwrap_or_default()
            .chunks(at_once * size)
            .map(move |bytes| Rows::new(element, self.dim, &self.unpacked(bytes)))
    }

    fn unpacked(&self, bytes: &[u8]) -> Vec<f32> {
        let pairs = || bytes.as_chunks::<2>().0.iter();
        match &self.number {
            Number::F32 => {
                let (words, _) = bytes.as_chunks();
                words.iter().map(|it| f32::from_le_bytes(*it)).collect()
            }
            Number::F16 => pairs().map(|it| f16::from_le_bytes(*it).to_f32()).collect(),
            Number::Bf16 => pairs()
                .map(|it| bf16::from_le_bytes(*it).to_f32())
                .collect(),
            Number::Byte(bounds) => {
                let numbers = bytes.iter().zip(bounds.iter().cycle());
                let number = |(byte, (least, span)): (&u8, &(f32, f32))| {
                    least + (f32::from(*byte) + 0.5) / 255.0 * span
                };
                numbers.map(number).collect()
            }
        }
    }
}

pub(super) fn read<'a>(reader: &mut Reader<'a>) -> Told<FaissRows<'a>> {
    let quantised = reader.array()? == *b"IxSQ";
    let header = reader.header()?;
    let (number, bytes) = if quantised {
        let number = quantiser(reader, &header)?;
        (number, reader.items(1)?)
    } else {
        (Number::F32, reader.items(4)?)
    };
    let wanted = header.len.checked_mul(header.dim * number.bytes());
    if wanted != Some(bytes.len()) {
        return Err(format!(
            "{} bytes are no {} vectors of {} numbers",
            bytes.len(),
            header.len,
            header.dim
        ));
    }
    if !reader.left.is_empty() {
        return Err(format!("{} bytes follow the index", reader.left.len()));
    }
    Ok(FaissRows {
        dim: header.dim,
        len: header.len,
        metric: header.metric,
        number,
        bytes,
    })
}

/// How numbers are written down in an index of the kind `SQ…`.
fn quantiser(reader: &mut Reader<'_>, header: &Header) -> Told<Number> {
    let kind = reader.i32()?;
    reader.bytes(4 + 4)?;
    let (dim, code) = (reader.size()?, reader.size()?);
    let trained = reader.floats()?;
    let number = match (kind, trained.split_at_checked(header.dim)) {
        (0, Some((least, spans))) if spans.len() == header.dim => {
            Number::Byte(least.iter().copied().zip(spans.iter().copied()).collect())
        }
        (2, _) if trained.len() == 2 => {
            let bound = trained.first().copied().zip(trained.last().copied());
            Number::Byte(vec![bound.unwrap_or_default()])
        }
        (4, _) => Number::F16,
        (7, _) => Number::Bf16,
        (0 | 2, _) => return Err(format!("{} bounds make no sense", trained.len())),
        _ => {
            return Err(format!(
                "its numbers are of FAISS's kind {kind}; those of `SQ8`, `SQfp16` and `SQbf16` are \
                 searched there"
            ));
        }
    };
    if dim != header.dim || code != header.dim * number.bytes() {
        return Err("its quantizer belongs to another index".to_owned());
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{FaissVectors, faiss_vectors};
    use super::*;

    /// What FAISS writes of two vectors of two numbers.
    fn file(kind: &[u8; 4], quantiser: Option<(i32, u64, &[f32])>, codes: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_vec();
        bytes.extend(2_i32.to_le_bytes());
        bytes.extend(2_u64.to_le_bytes());
        bytes.extend([0; 16]);
        bytes.push(1);
        bytes.extend(1_i32.to_le_bytes());
        let mut unit = 4;
        if let Some((number, code, trained)) = quantiser {
            unit = 1;
            bytes.extend(number.to_le_bytes());
            bytes.extend([0; 8]);
            bytes.extend(2_u64.to_le_bytes());
            bytes.extend(code.to_le_bytes());
            bytes.extend((trained.len() as u64).to_le_bytes());
            bytes.extend(trained.iter().flat_map(|it| it.to_le_bytes()));
        }
        bytes.extend((codes.len() as u64 / unit).to_le_bytes());
        bytes.extend(codes);
        bytes
    }

    fn values(bytes: &[u8]) -> Result<Vec<f32>> {
        let FaissVectors::Rows(rows) = faiss_vectors(Path::new("index.faiss"), bytes)? else {
            unreachable!("codes");
        };
        assert_eq!((rows.dim(), rows.len(), rows.metric()), (2, 2, Metric::L2));
        let (mut all, mut row) = (Vec::new(), Vec::new());
        for block in rows.blocks(Element::F32) {
            let block = block?;
            for at in 0..block.len() {
                block.read(at, &mut row);
                all.extend_from_slice(&row);
            }
        }
        Ok(all)
    }

    fn floats() -> Vec<u8> {
        [1.0_f32, 2.0, -3.0, 4.0]
            .iter()
            .flat_map(|it| it.to_le_bytes())
            .collect()
    }

    #[test]
    fn numbers_are_unpacked_as_faiss_does() {
        assert_eq!(
            values(&file(b"IxF2", None, &floats())).unwrap(),
            [1.0, 2.0, -3.0, 4.0]
        );
        let halves: Vec<u8> = [1.0, 2.0, -3.0, 4.0]
            .iter()
            .flat_map(|it| f16::from_f32(*it).to_le_bytes())
            .collect();
        let read = values(&file(b"IxSQ", Some((4, 4, &[])), &halves)).unwrap();
        assert_eq!(read, [1.0, 2.0, -3.0, 4.0]);
        // From 0 over 255, and from 10 over 510.
        let bounds = [0.0, 10.0, 255.0, 510.0];
        let read = values(&file(b"IxSQ", Some((0, 2, &bounds)), &[0, 0, 255, 1])).unwrap();
        for (got, wanted) in read.iter().zip([0.5, 11.0, 255.5, 13.0]) {
            assert!((got - wanted).abs() < 1e-4, "{read:?}");
        }
        let read = values(&file(b"IxSQ", Some((2, 2, &[0.0, 255.0])), &[0, 1, 2, 3])).unwrap();
        for (got, wanted) in read.iter().zip([0.5, 1.5, 2.5, 3.5]) {
            assert!((got - wanted).abs() < 1e-4, "{read:?}");
        }
    }

    #[test]
    fn what_is_cut_changed_or_of_another_kind_is_refused() {
        let bounds = [0.0, 10.0, 255.0, 510.0];
        let good = [
            file(b"IxF2", None, &floats()),
            file(b"IxSQ", Some((0, 2, &bounds)), &[0, 0, 255, 1]),
        ];
        for good in &good {
            for cut in 0..good.len() {
                assert!(values(&good[..cut]).is_err(), "cut at {cut}");
            }
            assert!(values(&[good, &[0][..]].concat()).is_err());
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 0xff;
                let _ = faiss_vectors(Path::new("index.faiss"), &bad);
            }
        }
        for (bytes, part) in [
            (
                file(b"IxSQ", Some((1, 1, &bounds)), &[0, 0]),
                "FAISS's kind 1",
            ),
            (
                file(b"IxSQ", Some((0, 2, &[1.0])), &[0; 4]),
                "1 bounds make no sense",
            ),
            (file(b"IHNf", None, &floats()), "of the kind `IHNf`; `Flat`"),
            (Vec::new(), "of the kind ``"),
        ] {
            let error = faiss_vectors(Path::new("index.faiss"), &bytes)
                .err()
                .unwrap();
            assert!(error.message().contains(part), "{error}");
        }
    }
}
