//! The head of a safetensors file: names, types, shapes and places of its tensors.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. Eight bytes with the header's
//! length, little-endian, then the header as JSON, then the tensors' bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::block::{Block, Bytes};
use crate::element::Element;

/// The tensor that is written, and looked for first.
pub(crate) const NAME: &str = "vectors";

/// The longest header, in bytes, as the format's own library has it.
const MAX_HEADER: u64 = 100_000_000;

/// How long the head is that is written: room for any number of rows, so that it can be written
/// again at the end.
pub(crate) const HEAD_BYTES: u64 = 256;

/// Finds the matrix `name` in `file`; without a name, the one called `vectors`, else the only one.
///
/// # Errors
/// Why there is none.
pub(crate) fn read_matrix(file: &File, size: u64, name: Option<&str>) -> Result<Block, String> {
    let cut = || "it is cut off in its header".to_owned();
    let mut length = [0; 8];
    file.read_exact_at(&mut length, 0).map_err(|_| cut())?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length > size {
        return Err(format!(
            "its header would have {length} bytes; it is no safetensors file, or cut off"
        ));
    }
    // At most `MAX_HEADER`.
    let mut header = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut header, 8).map_err(|_| cut())?;
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|error| format!("its header is not that of a safetensors file: {error}"))?;
    let data = 8 + length;
    if data.checked_add(metadata.data_len() as u64) != Some(size) {
        let wanted = metadata.data_len();
        return Err(format!(
            "its tensors take {wanted} bytes, but {} are there; it is cut off or was not written \
             to its end",
            size - data
        ));
    }
    let (name, info) = choose(&metadata, name)?;
    let element = match info.dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        other => {
            return Err(format!(
                "tensor `{name}` is of type {other:?}; F16, BF16, F32 and F64 can be read"
            ));
        }
    };
    let shape: Vec<u64> = info.shape.iter().map(|&it| it as u64).collect();
    let (start, end) = info.data_offsets;
    let bytes = Bytes::At(data + start as u64);
    let length = end.saturating_sub(start) as u64;
    Block::new(&shape, element, bytes, length).map_err(|why| format!("tensor `{name}`: {why}"))
}

fn choose<'m>(
    metadata: &'m Metadata,
    name: Option<&str>,
) -> Result<(String, &'m TensorInfo), String> {
    let tensors = metadata.tensors();
    let wanted = name.unwrap_or(NAME);
    if let Some(info) = tensors.get(wanted) {
        return Ok((wanted.to_owned(), info));
    }
    let mut names: Vec<_> = tensors.keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut matrices = tensors.iter().filter(|(_, info)| info.shape.len() == 2);
    match (name, matrices.next(), matrices.next()) {
        (None, Some((name, info)), None) => Ok((name.clone(), info)),
        _ => {
            names.truncate(20);
            let names = names.join(", ");
            Err(format!(
                "it has no tensor `{wanted}`; it has: {names}; name the one with the vectors"
            ))
        }
    }
}

/// The head of a file with one matrix; [`HEAD_BYTES`] long. `None` for a size that no file has.
pub(crate) fn head(element: Element, rows: u64, dim: usize) -> Option<Vec<u8>> {
    let dtype = match element {
        Element::F16 => "F16",
        Element::Bf16 => "BF16",
        Element::F32 => "F32",
        Element::F64 => "F64",
    };
    let bytes = rows.checked_mul(dim as u64)?;
    let bytes = bytes.checked_mul(element.size() as u64)?;
    let mut header = format!(
        "{{\"{NAME}\":{{\"dtype\":\"{dtype}\",\"shape\":[{rows},{dim}],\
         \"data_offsets\":[0,{bytes}]}}}}"
    );
    let length = HEAD_BYTES - 8;
    // The format allows spaces behind the object.
    header.extend(std::iter::repeat_n(
        ' ',
        usize::try_from(length).ok()?.saturating_sub(header.len()),
    ));
    let mut head = length.to_le_bytes().to_vec();
    head.extend(header.into_bytes());
    Some(head)
}
