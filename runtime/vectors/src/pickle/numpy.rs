//! The names that a pickle may ask for, and what happens when it calls or fills them. Nothing here
//! runs anything: every call is recognised and answered with a value.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::heap::{Array, Blob, Data, Dtype, Global, Heap, Value};

/// The longest string that stands for bytes, as protocol 2 writes them.
const MAX_ENCODED: u64 = 4 << 30;

/// What `module.name` stands for.
///
/// # Errors
/// That it is none of the names that arrays are made with.
pub(super) fn global(module: &str, name: &str) -> Result<Global, String> {
    match (module, name) {
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
            Ok(Global::Reconstruct)
        }
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Ok(Global::FromBuffer),
        ("numpy", "ndarray") => Ok(Global::NdArray),
        ("numpy", "dtype") => Ok(Global::Dtype),
        ("_codecs", "encode") => Ok(Global::Encode),
        ("builtins" | "__builtin__", "bytes") => Ok(Global::Bytes),
        _ => Err(format!(
            "it asks for `{}.{}`, which arrays, lists and plain strings do not need; save \
             `{{'features': array, 'ids': list}}` with numpy.save, the ids as Python's own strings",
            module.escape_debug(),
            name.escape_debug()
        )),
    }
}

/// What calling `function` with `args` makes.
///
/// # Errors
/// For a call that arrays are not made with.
pub(super) fn call(
    heap: &mut Heap,
    function: Value,
    args: Value,
    file: &File,
) -> Result<Value, String> {
    let Value::Global(function) = function else {
        return Err("it calls something that is no function".to_owned());
    };
    let args = heap.as_tuple(args).ok_or("it calls without arguments")?;
    match (function, args) {
        (Global::Reconstruct, [Value::Global(Global::NdArray), ..]) => {
            heap.arrays.add(Array::default()).map(Value::Array)
        }
        (Global::Dtype, [name, ..]) => {
            let code = heap.as_text(*name).ok_or("a type in it has no name")?;
            let dtype = Dtype {
                code: code.to_owned(),
                big_endian: false,
            };
            heap.dtypes.add(dtype).map(Value::Dtype)
        }
        (Global::FromBuffer, &[Value::Bytes(bytes), dtype, shape, order]) => {
            from_buffer(heap, bytes, dtype, shape, order)
        }
        (Global::FromBuffer, &[Value::Bytes(bytes), dtype, shape, order, Value::None]) => {
            from_buffer(heap, bytes, dtype, shape, order)
        }
        (Global::Encode, &[text, encoding]) if heap.as_text(encoding) == Some("latin1") => {
            let bytes = match text {
                Value::Text(_) => latin1(heap.as_text(text).unwrap_or_default())?,
                Value::LongText(number) => {
                    let blob = heap.blobs.get(number).ok_or("a string is missing")?;
                    latin1(&read_text(blob, file)?)?
                }
                _ => return Err("it encodes something that is no string".to_owned()),
            };
            heap.blobs.add(Blob::Held(bytes)).map(Value::Bytes)
        }
        (Global::Bytes, []) => heap.blobs.add(Blob::Held(Vec::new())).map(Value::Bytes),
        _ => Err(format!(
            "it calls {function:?} with arguments that numpy does not give"
        )),
    }
}

fn from_buffer(
    heap: &mut Heap,
    bytes: u32,
    dtype: Value,
    shape: Value,
    order: Value,
) -> Result<Value, String> {
    let array = Array {
        shape: heap.as_shape(shape).ok_or(NO_SHAPE)?,
        dtype: dtype_of(heap, dtype)?,
        fortran: match heap.as_text(order) {
            Some("C") => false,
            Some("F") => true,
            _ => return Err("an array in it is neither in C nor in Fortran order".to_owned()),
        },
        data: Some(Data::Bytes(bytes)),
    };
    heap.arrays.add(array).map(Value::Array)
}

const NO_SHAPE: &str = "the shape of an array in it is no tuple of sizes";

fn dtype_of(heap: &Heap, value: Value) -> Result<Dtype, String> {
    let dtype = match value {
        Value::Dtype(number) => heap.dtypes.get(number),
        _ => None,
    };
    dtype
        .cloned()
        .ok_or_else(|| "an array in it has no type".to_owned())
}

/// Gives `object` its content.
///
/// # Errors
/// For content that arrays and types do not have.
pub(super) fn build(heap: &mut Heap, object: Value, state: Value) -> Result<(), String> {
    let state = heap.as_tuple(state).unwrap_or_default().to_vec();
    match (object, state.as_slice()) {
        (Value::Array(number), &[Value::Int(_), shape, dtype, Value::Bool(fortran), data]) => {
            let array = Array {
                shape: heap.as_shape(shape).ok_or(NO_SHAPE)?,
                dtype: dtype_of(heap, dtype)?,
                fortran,
                data: Some(match data {
                    Value::Bytes(number) => Data::Bytes(number),
                    Value::List(number) => Data::List(number),
                    _ => return Err("an array in it has no content".to_owned()),
                }),
            };
            *heap.arrays.get_mut(number).ok_or("an array is missing")? = array;
            Ok(())
        }
        // Version, byte order, then what records are made of, which numbers are not.
        (
            Value::Dtype(number),
            &[
                Value::Int(_),
                order,
                Value::None,
                Value::None,
                Value::None,
                ..,
            ],
        ) => {
            let big_endian = heap.as_text(order) == Some(">");
            let dtype = heap.dtypes.get_mut(number).ok_or("a type is missing")?;
            dtype.big_endian = big_endian;
            Ok(())
        }
        (Value::Dtype(_), _) => Err("a type in it describes records, not numbers".to_owned()),
        _ => Err("it fills something that is no array".to_owned()),
    }
}

/// The bytes that `text` stands for: one per character.
fn latin1(text: &str) -> Result<Vec<u8>, String> {
    let bytes = text.chars().map(|it| u8::try_from(u32::from(it)));
    let bytes: Result<_, _> = bytes.collect();
    bytes.map_err(|_| "a string in it does not stand for bytes".to_owned())
}

fn read_text(blob: &Blob, file: &File) -> Result<String, String> {
    let &Blob::At { offset, length } = blob else {
        return Err("a string is missing".to_owned());
    };
    if length > MAX_ENCODED {
        return Err(format!(
            "it has an array of {length} bytes in pickle protocol 2; save it with a newer numpy, \
             or in smaller files"
        ));
    }
    // The length was checked against the file's when the string was met.
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "a string in it is not UTF-8".to_owned())
}
