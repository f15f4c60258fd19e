//! The values that a pickle makes. Whatever can be referred to twice lies in the heap, so that a
//! value itself is small and a list that holds itself is no danger.

use crate::ids::IdList;

/// The most tuples, lists, dictionaries, arrays, types and byte strings, of each.
const MAX_OBJECTS: usize = 1 << 16;

/// A value, by its number in the heap where it lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Where the items of something begin.
    Mark,
    None,
    Bool(bool),
    Int(i64),
    /// Not a whole number: nothing that is looked for, so its value is left out.
    Float,
    Text(u32),
    /// A string too long for an id, left in the file as the bytes with this number.
    LongText(u32),
    Bytes(u32),
    Tuple(u32),
    List(u32),
    Dict(u32),
    Global(Global),
    Dtype(u32),
    Array(u32),
}

/// The names that a pickle may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// `numpy.core.multiarray._reconstruct`: an array that gets its content later.
    Reconstruct,
    /// `numpy.core.numeric._frombuffer`: an array of these bytes.
    FromBuffer,
    /// `numpy.ndarray`.
    NdArray,
    /// `numpy.dtype`.
    Dtype,
    /// `_codecs.encode`: how protocol 2 writes bytes.
    Encode,
    /// `bytes`: how protocol 2 writes none.
    Bytes,
}

/// Bytes of the pickle.
#[derive(Debug)]
pub(super) enum Blob {
    /// In the file.
    At { offset: u64, length: u64 },
    /// Written in another form there.
    Held(Vec<u8>),
}

/// A type of numbers, strings or objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Dtype {
    /// As numpy writes it, such as `f4`, `O8` or `U12`.
    pub(super) code: String,
    /// Whether the bytes of a number stand in the other order.
    pub(super) big_endian: bool,
}

/// An array; without content until it is built.
#[derive(Debug, Default)]
pub(super) struct Array {
    pub(super) shape: Vec<u64>,
    pub(super) dtype: Dtype,
    pub(super) fortran: bool,
    pub(super) data: Option<Data>,
}

/// The content of an array.
#[derive(Clone, Copy, Debug)]
pub(super) enum Data {
    /// The bytes with this number.
    Bytes(u32),
    /// The list with this number.
    List(u32),
}

/// Everything that a pickle has made.
#[derive(Debug, Default)]
pub(super) struct Heap {
    pub(super) texts: IdList,
    pub(super) blobs: Objects<Blob>,
    pub(super) tuples: Objects<Vec<Value>>,
    pub(super) lists: Objects<Vec<Value>>,
    pub(super) dicts: Objects<Vec<(Value, Value)>>,
    pub(super) dtypes: Objects<Dtype>,
    pub(super) arrays: Objects<Array>,
}

impl Heap {
    pub(super) fn text(&mut self, text: &str) -> Result<Value, String> {
        let number = u32::try_from(self.texts.len()).map_err(|_| "it has too many strings")?;
        self.texts.push(text);
        Ok(Value::Text(number))
    }

    /// What `value` says, if it is a short string.
    pub(super) fn as_text(&self, value: Value) -> Option<&str> {
        match value {
            Value::Text(number) => self.texts.get(number as usize),
            _ => None,
        }
    }

    /// The items of `value`, if it is a tuple.
    pub(super) fn as_tuple(&self, value: Value) -> Option<&[Value]> {
        match value {
            Value::Tuple(number) => self.tuples.get(number).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The numbers of a tuple of sizes.
    pub(super) fn as_shape(&self, value: Value) -> Option<Vec<u64>> {
        let size = |item: &Value| match item {
            Value::Int(size) => u64::try_from(*size).ok(),
            _ => None,
        };
        self.as_tuple(value)?.iter().map(size).collect()
    }
}

/// Objects of one kind by number.
#[derive(Debug)]
pub(super) struct Objects<T>(Vec<T>);

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Objects<T> {
    pub(super) fn add(&mut self, object: T) -> Result<u32, String> {
        let number = self.0.len();
        if number >= MAX_OBJECTS {
            return Err(format!(
                "it is made of more than {MAX_OBJECTS} objects; `features` must be one array and \
                 `ids` a list of strings or whole numbers"
            ));
        }
        self.0.push(object);
        u32::try_from(number).map_err(|error| error.to_string())
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.0.get(number as usize)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.0.get_mut(number as usize)
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, number: u32) -> Option<T>
    where
        T: Default,
    {
        self.get_mut(number).map(std::mem::take)
    }
}
