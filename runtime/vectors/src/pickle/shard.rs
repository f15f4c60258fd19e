//! From the values of a pickle to the vectors and ids that the dictionary holds.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::heap::{Array, Blob, Data, Heap, Value};
use crate::block::{Block, Bytes};
use crate::element::Element;
use crate::ids::{self, IdList, MAX_ID_BYTES};

/// How many bytes of an array of ids are read at once.
const PIECE: usize = 1 << 20;

/// The matrix `features` and the list `ids` of the dictionary that `root`, an array of one object,
/// holds.
///
/// # Errors
/// Why there are none.
pub(super) fn take(mut heap: Heap, root: Value, file: &File) -> Result<(Block, IdList), String> {
    let dict = dictionary(&heap, root).ok_or(
        "it holds no dictionary; write it with numpy.save(file, {'features': array, 'ids': list})",
    )?;
    let value = |wanted: &str| {
        let entry = dict.iter().rev();
        let mut found = entry.filter(|(key, _)| heap.as_text(*key) == Some(wanted));
        found.next().map(|(_, value)| *value).ok_or_else(|| {
            let keys = dict.iter().filter_map(|(key, _)| heap.as_text(*key));
            let keys: Vec<_> = keys.take(10).collect();
            format!(
                "its dictionary has no `{wanted}`; it has: {}",
                keys.join(", ")
            )
        })
    };
    let (features, ids) = (value("features")?, value("ids")?);
    let ids = match ids {
        Value::List(list) => from_list(&heap, list),
        Value::Array(array) => from_array(&heap, array, file),
        _ => Err("is neither a list nor an array".to_owned()),
    };
    let ids = ids.map_err(|why| format!("`ids` {why}"))?;
    let features = matrix(&mut heap, features).map_err(|why| format!("`features`: {why}"))?;
    Ok((features, ids))
}

fn dictionary(heap: &Heap, root: Value) -> Option<&[(Value, Value)]> {
    let Value::Array(number) = root else {
        return None;
    };
    let array = heap.arrays.get(number)?;
    let Some(Data::List(list)) = array.data else {
        return None;
    };
    match heap.lists.get(list)?.as_slice() {
        [Value::Dict(dict)] if array.shape.is_empty() => heap.dicts.get(*dict).map(Vec::as_slice),
        _ => None,
    }
}

fn matrix(heap: &mut Heap, value: Value) -> Result<Block, String> {
    let array = match value {
        Value::Array(number) => heap.arrays.remove(number),
        _ => None,
    };
    let array = array.ok_or("it is no array; convert it with np.asarray(features, 'f4')")?;
    let code = &array.dtype.code;
    let element = Element::from_numpy(code).ok_or_else(|| {
        format!("its numbers are of type `{code}`; f2, f4 and f8 can be read; use .astype('<f4')")
    })?;
    if array.dtype.big_endian {
        return Err("its numbers are big-endian; use .astype('<f4')".to_owned());
    }
    if array.fortran {
        return Err("it is in Fortran order; use np.ascontiguousarray".to_owned());
    }
    let blob = match array.data {
        Some(Data::Bytes(number)) => heap.blobs.get_mut(number),
        _ => None,
    };
    let blob = blob.ok_or("it is an array without bytes")?;
    match std::mem::replace(blob, Blob::Held(Vec::new())) {
        Blob::At { offset, length } => Block::new(&array.shape, element, Bytes::At(offset), length),
        Blob::Held(bytes) => {
            let length = bytes.len() as u64;
            Block::new(&array.shape, element, Bytes::Held(bytes), length)
        }
    }
}

fn from_list(heap: &Heap, list: u32) -> Result<IdList, String> {
    let mut found = IdList::default();
    for item in heap.lists.get(list).ok_or("is missing")? {
        let number;
        let id = match item {
            Value::Int(int) => {
                number = int.to_string();
                Some(number.as_str())
            }
            Value::LongText(_) => {
                let at = found.len();
                return Err(format!(
                    "has an id of more than {MAX_ID_BYTES} bytes, number {at}"
                ));
            }
            other => heap.as_text(*other),
        };
        let at = found.len();
        let id = id.ok_or_else(|| {
            format!("has, as number {at}, something that is neither a string nor a whole number")
        })?;
        push(&mut found, id)?;
    }
    Ok(found)
}

fn push(found: &mut IdList, id: &str) -> Result<(), String> {
    match ids::problem(id) {
        Some(why) => Err(format!("has an id that {why}, number {}", found.len())),
        None => {
            found.push(id);
            Ok(())
        }
    }
}

fn from_array(heap: &Heap, array: u32, file: &File) -> Result<IdList, String> {
    let array = heap.arrays.get(array).ok_or("is missing")?;
    let &[count] = array.shape.as_slice() else {
        return Err("is an array that has not one dimension".to_owned());
    };
    let found = match array.data {
        Some(Data::List(list)) if array.dtype.code.starts_with('O') => from_list(heap, list)?,
        Some(Data::Bytes(bytes)) => {
            let blob = heap.blobs.get(bytes).ok_or("is missing")?;
            from_bytes(array, count, blob, file)?
        }
        _ => return Err("is an array without content".to_owned()),
    };
    if found.len() as u64 == count {
        Ok(found)
    } else {
        Err(format!("is an array of {count} with {}", found.len()))
    }
}

/// How an array of fixed width writes one id.
#[derive(Clone, Copy)]
enum Text {
    /// In UTF-32, filled up with zeros.
    Unicode,
    /// In bytes, filled up with zeros.
    Bytes,
    Signed,
    Unsigned,
}

fn from_bytes(array: &Array, count: u64, blob: &Blob, file: &File) -> Result<IdList, String> {
    let code = &array.dtype.code;
    let mut chars = code.chars();
    let kind = chars.next();
    let units = chars.as_str().parse::<usize>().unwrap_or(usize::MAX);
    let (text, width) = match (kind, units) {
        (Some('U'), 1..=MAX_ID_BYTES) => (Text::Unicode, units * 4),
        (Some('S'), 1..=MAX_ID_BYTES) => (Text::Bytes, units),
        (Some('i'), 1..=8) => (Text::Signed, units),
        (Some('u'), 1..=8) => (Text::Unsigned, units),
        _ => {
            return Err(format!(
                "is an array of type `{code}`; make it a list of strings"
            ));
        }
    };
    if array.dtype.big_endian {
        return Err("is a big-endian array; make it a list of strings".to_owned());
    }
    let length = match blob {
        Blob::At { length, .. } => *length,
        Blob::Held(bytes) => bytes.len() as u64,
    };
    if count.checked_mul(width as u64) != Some(length) {
        return Err(format!(
            "is an array of {count} of type `{code}` with {length} bytes"
        ));
    }
    let mut found = IdList::default();
    let mut each = |bytes: &[u8]| -> Result<(), String> {
        for item in bytes.chunks_exact(width) {
            push(&mut found, &decode(text, item)?)?;
        }
        Ok(())
    };
    match blob {
        Blob::Held(bytes) => each(bytes)?,
        Blob::At { offset, length } => {
            let mut piece = vec![0; (PIECE / width).max(1) * width];
            let (mut at, end) = (*offset, offset + length);
            while at < end {
                let now = usize::try_from(end - at).unwrap_or(usize::MAX);
                let now = now.min(piece.len());
                let (bytes, _) = piece.split_at_mut(now);
                file.read_exact_at(bytes, at)
                    .map_err(|error| format!("cannot be read: {error}"))?;
                at += bytes.len() as u64;
                each(bytes)?;
            }
        }
    }
    Ok(found)
}

fn decode(text: Text, bytes: &[u8]) -> Result<String, String> {
    let number = |fill: u8| {
        let mut wide = [fill; 8];
        for (to, from) in wide.iter_mut().zip(bytes) {
            *to = *from;
        }
        wide
    };
    Ok(match text {
        Text::Unicode => {
            let (chars, _) = bytes.as_chunks::<4>();
            let chars = chars
                .iter()
                .map(|it| char::from_u32(u32::from_le_bytes(*it)));
            let text: Option<String> = chars.collect();
            let text = text.ok_or("has an id that is no text")?;
            text.trim_end_matches('\0').to_owned()
        }
        Text::Bytes => {
            let text = std::str::from_utf8(bytes).map_err(|_| "has an id that is not UTF-8")?;
            text.trim_end_matches('\0').to_owned()
        }
        Text::Signed => {
            let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
            let fill = if negative { 0xff } else { 0 };
            i64::from_le_bytes(number(fill)).to_string()
        }
        Text::Unsigned => u64::from_le_bytes(number(0)).to_string(),
    })
}
