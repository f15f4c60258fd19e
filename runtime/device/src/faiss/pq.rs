//! Codes and codebooks: `PQ…`, `PQ…x4fs`, `IVF…,PQ…`, `IVF…,PQ…x4fs`, with a flat quantizer before the
//! inverted ones.

use std::path::Path;

use routir_core::Result;

use super::{Header, Reader, Told, other_kind, refused};
use crate::{Coarse, PqList, PqParts, PqVectors};

/// The most lists of an inverted file.
const MAX_LISTS: usize = 1 << 24;

/// Reads the bytes of an index file with codes.
///
/// # Errors
/// [`routir_core::ErrorCode::InvalidArgument`] when it is of another kind, or damaged.
pub fn faiss_pq(file: &Path, bytes: &[u8]) -> Result<PqVectors> {
    let mut reader = Reader { left: bytes };
    read(&mut reader).map_err(|why| refused(file, &why))
}

impl Reader<'_> {
    /// The quantizer, and the bits that a code has in the file. Codebooks are filled up to the 4 or 8
    /// bits of a code that is searched; what fills them is never asked for.
    fn parts(&mut self, dim: usize) -> Told<(PqParts, usize)> {
        let (of, parts, coded) = (self.size()?, self.size()?, self.size()?);
        let read = self.floats()?;
        let sound = of == dim
            && (1..=dim).contains(&parts)
            && (1..=8).contains(&coded)
            && read.len() == dim << coded;
        if !sound {
            return Err(format!(
                "{parts} parts of {coded} bits and {} numbers for vectors of {of} are not what is \
                 searched: codes of at most 8 bits",
                read.len()
            ));
        }
        let bits = if coded <= 4 { 4 } else { 8 };
        let mut codebooks = Vec::with_capacity(dim << bits);
        for (number, codebook) in read.chunks_exact(read.len() / parts).enumerate() {
            codebooks.extend_from_slice(codebook);
            codebooks.resize((number + 1) * ((dim / parts) << bits), 0.0);
        }
        let parts = PqParts {
            dim,
            parts,
            bits,
            codebooks,
        };
        Ok((parts, coded))
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Told<PqVectors> {
    let kind = reader.array::<4>()?;
    let vectors = match &kind {
        b"IxPq" => flat(reader)?,
        b"IPfs" => flat_fast(reader)?,
        b"IwPQ" | b"IwPf" => inverted(reader, &kind == b"IwPf")?,
        _ => return Err(other_kind(&kind)),
    };
    if reader.left.is_empty() {
        Ok(vectors)
    } else {
        Err(format!("{} bytes follow the index", reader.left.len()))
    }
}

fn made(
    parts: PqParts,
    header: &Header,
    coarse: Option<Coarse>,
    lists: Vec<PqList>,
) -> Told<PqVectors> {
    let vectors = PqVectors::new(parts, header.metric, coarse, lists);
    let vectors = vectors.map_err(|error| error.message().to_owned())?;
    if vectors.len() == header.len {
        Ok(vectors)
    } else {
        Err(format!(
            "it has {} vectors and says {}",
            vectors.len(),
            header.len
        ))
    }
}

fn flat(reader: &mut Reader<'_>) -> Told<PqVectors> {
    let header = reader.header()?;
    let (parts, coded) = reader.parts(header.dim)?;
    let codes = unpacked(reader.items(1)?, parts.parts, coded, header.len)?;
    reader.bytes(4 + 1 + 4)?;
    let list = PqList {
        ids: positions(header.len)?,
        codes,
    };
    made(parts, &header, None, vec![list])
}

fn flat_fast(reader: &mut Reader<'_>) -> Told<PqVectors> {
    let header = reader.header()?;
    let (parts, _) = reader.parts(header.dim)?;
    reader.i32()?;
    let block = usize::try_from(reader.i32()?).unwrap_or_default();
    reader.i32()?;
    reader.size()?;
    let columns = reader.size()?;
    let codes = unpacked_fast(reader.items(1)?, &parts, columns, block, header.len)?;
    let list = PqList {
        ids: positions(header.len)?,
        codes,
    };
    made(parts, &header, None, vec![list])
}

fn inverted(reader: &mut Reader<'_>, fast: bool) -> Told<PqVectors> {
    let header = reader.header()?;
    let (count, nprobe) = (reader.size()?, reader.size()?);
    if count == 0 || count > MAX_LISTS {
        return Err(format!("{count} lists make no sense"));
    }
    if !matches!(&reader.array::<4>()?, b"IxF2" | b"IxFI" | b"IxFl") {
        return Err("its lists are found by something else than a flat quantizer".to_owned());
    }
    let quantizer = reader.header()?;
    let centroids = reader.floats()?;
    if quantizer.dim != header.dim || quantizer.metric != header.metric || quantizer.len != count {
        return Err("its quantizer belongs to another index".to_owned());
    }
    // Where a vector is: none, an array, or pairs.
    let map = reader.byte()?;
    reader.items(8)?;
    if map == 2 {
        reader.items(16)?;
    }
    let by_residual = reader.byte()? != 0;
    reader.size()?;
    let mut shape = (0, 0);
    if fast {
        let block = usize::try_from(reader.i32()?).unwrap_or_default();
        shape = (reader.size()?, block);
        reader.bytes(4 + 8)?;
    }
    let (parts, coded) = reader.parts(header.dim)?;
    let lists = match &reader.array::<4>()? {
        b"ilar" if !fast => array_lists(reader, parts.parts, coded, count)?,
        b"ilbl" if fast => block_lists(reader, &parts, count, shape)?,
        other => {
            let other = other.escape_ascii();
            return Err(format!("its lists are of the kind `{other}`"));
        }
    };
    let coarse = Coarse {
        centroids,
        by_residual,
    };
    let mut vectors = made(parts, &header, Some(coarse), lists)?;
    vectors.nprobe = nprobe.clamp(1, count);
    Ok(vectors)
}

fn array_lists(
    reader: &mut Reader<'_>,
    parts: usize,
    coded: usize,
    count: usize,
) -> Told<Vec<PqList>> {
    if reader.size()? != count {
        return Err("the number of lists is not that of the quantizer".to_owned());
    }
    let code_size = reader.size()?;
    if code_size != (parts * coded).div_ceil(8) {
        return Err(format!(
            "codes of {code_size} bytes are not the quantizer's"
        ));
    }
    let kind = reader.array::<4>()?;
    let (numbers, _) = reader.items(8)?.as_chunks();
    let number = |it: &[u8; 8]| usize::try_from(u64::from_le_bytes(*it)).unwrap_or(usize::MAX);
    let mut sizes = vec![0; count];
    match &kind {
        b"full" if numbers.len() == count => sizes = numbers.iter().map(number).collect(),
        b"sprs" => {
            for pair in numbers.as_chunks::<2>().0 {
                let [list, size] = pair.map(|it| number(&it));
                *sizes.get_mut(list).ok_or("a list is not there")? = size;
            }
        }
        _ => return Err("the sizes of its lists make no sense".to_owned()),
    }
    let mut lists = Vec::with_capacity(count);
    for size in sizes {
        let bytes = size.checked_mul(code_size).ok_or("a list is too long")?;
        let codes = unpacked(reader.bytes(bytes)?, parts, coded, size)?;
        let ids = ids(reader.bytes(size.checked_mul(8).ok_or("a list is too long")?)?)?;
        lists.push(PqList { ids, codes });
    }
    Ok(lists)
}

fn block_lists(
    reader: &mut Reader<'_>,
    parts: &PqParts,
    count: usize,
    (columns, block): (usize, usize),
) -> Told<Vec<PqList>> {
    if reader.size()? != count {
        return Err("the number of lists is not that of the quantizer".to_owned());
    }
    reader.size()?;
    let per_block = reader.size()?;
    reader.size()?;
    if per_block != block {
        return Err("its blocks are of two sizes".to_owned());
    }
    let mut lists = Vec::with_capacity(count);
    for _ in 0..count {
        let ids = ids(reader.items(8)?)?;
        let codes = unpacked_fast(reader.items(1)?, parts, columns, block, ids.len())?;
        lists.push(PqList { ids, codes });
    }
    Ok(lists)
}

fn positions(len: usize) -> Told<Vec<u32>> {
    let len = u32::try_from(len).map_err(|_| format!("{len} vectors are too many"))?;
    Ok((0..len).collect())
}

fn ids(bytes: &[u8]) -> Told<Vec<u32>> {
    let (words, _) = bytes.as_chunks();
    let id = |it: &[u8; 8]| {
        let id = i64::from_le_bytes(*it);
        u32::try_from(id).map_err(|_| format!("the id {id} is no position"))
    };
    words.iter().map(id).collect()
}

/// Codes of `len` vectors of `coded` bits each, every vector from a whole byte on, lowest bits first.
fn unpacked(bytes: &[u8], parts: usize, coded: usize, len: usize) -> Told<Vec<u8>> {
    let size = (parts * coded).div_ceil(8).max(1);
    if Some(bytes.len()) != len.checked_mul(size) {
        return Err(format!(
            "{} bytes are no codes of {len} vectors",
            bytes.len()
        ));
    }
    let mut codes = Vec::with_capacity(len * parts);
    for vector in bytes.chunks_exact(size) {
        let (mut bits, mut there) = (0_u32, 0);
        let mut bytes = vector.iter();
        for _ in 0..parts {
            while there < coded {
                bits |= u32::from(bytes.next().copied().unwrap_or_default()) << there;
                there += 8;
            }
            codes.push((bits & ((1 << coded) - 1)) as u8);
            bits >>= coded;
            there -= coded;
        }
    }
    Ok(codes)
}

/// Codes as the fast scan has them: blocks of vectors; of a block, for every two parts (of `columns`,
/// which are even), for every 32 vectors, 16 bytes of each part. A byte holds vector v in its lower
/// half and v + 16 in its upper one, in the order 0, 8, 1, 9, ….
fn unpacked_fast(
    bytes: &[u8],
    parts: &PqParts,
    columns: usize,
    block: usize,
    len: usize,
) -> Told<Vec<u8>> {
    let sound = parts.bits == 4
        && columns == parts.parts.next_multiple_of(2)
        && block > 0
        && block <= 1 << 20
        && block.is_multiple_of(32);
    if !sound {
        return Err(format!(
            "blocks of {block} vectors with {columns} parts make no sense"
        ));
    }
    let needed = len.div_ceil(block).checked_mul(block * columns / 2);
    if needed.is_none_or(|needed| bytes.len() < needed) {
        return Err(format!(
            "{} bytes are no codes of {len} vectors",
            bytes.len()
        ));
    }
    let mut codes = Vec::with_capacity(len * parts.parts);
    for at in 0..len {
        let (within, group) = (at % 32, at % block / 32);
        let place = within % 8 * 2 + within % 16 / 8;
        for part in 0..parts.parts {
            let column =
                at / block * (block * columns / 2) + part / 2 * block + group * 32 + part % 2 * 16;
            let byte = bytes.get(column + place).copied().unwrap_or_default();
            codes.push(if within < 16 { byte & 15 } else { byte >> 4 });
        }
    }
    Ok(codes)
}
