//! How arrays are written: in msgpack as `msgpack-numpy` writes them, a map whose keys are bytes; in
//! JSON as nested lists.

use std::borrow::Cow;
use std::fmt;

use half::f16;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

use super::{Array, Element, MAX_DIMENSIONS};
use crate::options::Key;

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            return Nested {
                element: self.element,
                shape: &self.shape,
                data: &self.data,
            }
            .serialize(to);
        }
        let mut map = to.serialize_map(Some(5))?;
        map.serialize_entry(Bytes::new(b"nd"), &true)?;
        map.serialize_entry(Bytes::new(b"type"), self.element.numpy())?;
        map.serialize_entry(Bytes::new(b"kind"), Bytes::new(b""))?;
        map.serialize_entry(Bytes::new(b"shape"), &self.shape)?;
        map.serialize_entry(Bytes::new(b"data"), Bytes::new(&self.data))?;
        map.end()
    }
}

/// A part of an array as nested lists.
struct Nested<'a> {
    element: Element,
    shape: &'a [usize],
    data: &'a [u8],
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let element = self.element;
        let Some((side, inner)) = self.shape.split_first() else {
            return to.serialize_unit();
        };
        let mut list = to.serialize_seq(Some(*side))?;
        if inner.is_empty() {
            for bytes in self.data.chunks_exact(element.size()) {
                match (element, bytes) {
                    (Element::F32, &[a, b, c, d]) => {
                        list.serialize_element(&f32::from_le_bytes([a, b, c, d]))
                    }
                    (Element::F16, &[a, b]) => {
                        list.serialize_element(&f16::from_le_bytes([a, b]).to_f32())
                    }
                    (Element::I32, &[a, b, c, d]) => {
                        list.serialize_element(&i32::from_le_bytes([a, b, c, d]))
                    }
                    (Element::I8, &[a]) => list.serialize_element(&a.cast_signed()),
                    (_, bytes) => list.serialize_element(&bytes.first()),
                }?;
            }
            return list.end();
        }
        let row = element.size() * inner.iter().product::<usize>();
        for at in 0..*side {
            list.serialize_element(&Nested {
                element,
                shape: inner,
                data: self.data.get(at * row..(at + 1) * row).unwrap_or_default(),
            })?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ArrayVisitor)
    }
}

struct ArrayVisitor;

impl<'de> Visitor<'de> for ArrayVisitor {
    type Value = Array;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numpy, or lists of numbers")
    }

    /// Of msgpack. Older writers left `kind` out and wrote `type` as bytes.
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Array, A::Error> {
        let (mut nd, mut kind, mut shape, mut data) = (false, Text::default(), None, None);
        let mut element = None;
        while let Some(key) = fields.next_key::<Key<'de>>()? {
            match key.name() {
                "nd" => nd = fields.next_value()?,
                "type" => element = Some(fields.next_value::<Text<'de>>()?),
                "kind" => kind = fields.next_value()?,
                "shape" => shape = Some(fields.next_value::<Shape>()?.0),
                "data" => data = Some(fields.next_value::<serde_bytes::ByteBuf>()?.into_vec()),
                other => {
                    let message = format_args!("an array of numpy has no field `{other:.32}`");
                    return Err(A::Error::custom(message));
                }
            }
        }
        // An array of objects is a pickle, and a pickle is a program.
        if !nd || !kind.0.is_empty() {
            return Err(A::Error::custom("only arrays of plain numbers are read"));
        }
        let missing = |name| move || A::Error::missing_field(name);
        let named = element.ok_or_else(missing("type"))?;
        let element = Element::ALL
            .into_iter()
            .find(|element| *named.0 == *element.numpy().as_bytes());
        let element = element.ok_or_else(|| {
            let named = String::from_utf8_lossy(&named.0);
            A::Error::custom(format_args!("arrays of `{named:.32}` are not read"))
        })?;
        let shape = shape.ok_or_else(missing("shape"))?;
        let data = data.ok_or_else(missing("data"))?;
        Array::new(element, shape, data).map_err(A::Error::custom)
    }

    /// Of JSON, which does not say what the elements are.
    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Array, A::Error> {
        let (mut values, mut count, mut width) = (Vec::new(), 0, None);
        while let Some(row) = rows.next_element::<Row>()? {
            let own = match row {
                Row::Number(value) => {
                    values.push(value);
                    None
                }
                Row::List(row) => {
                    values.extend_from_slice(&row);
                    Some(row.len())
                }
            };
            if count > 0 && own != width {
                return Err(A::Error::custom(
                    "the rows of an array are not equally long",
                ));
            }
            (width, count) = (own, count + 1);
        }
        let array = Array::floats(&values);
        let shape = std::iter::once(count).chain(width).collect();
        Array::new(Element::F32, shape, array.data).map_err(A::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Number(f32),
    List(Vec<f32>),
}

/// A text, or its bytes.
#[derive(Default)]
struct Text<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text.as_bytes())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.as_bytes().to_vec())))
    }

    fn visit_borrowed_bytes<E>(self, text: &'de [u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_bytes<E>(self, text: &[u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_vec())))
    }
}

/// So many sides and no more.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(crate::list::List::new("shape", MAX_DIMENSIONS))
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::Form;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn the_bytes_are_those_of_msgpack_numpy() {
        let expected = hex(
            "81 a6 76616c756573 85 c402 6e64 c3 c404 74797065 a3 3c6634 c404 6b696e64 c400 \
             c405 7368617065 91 02 c404 64617461 c408 00000000 0000803f",
        );
        let values = BTreeMap::from([("values", Array::floats(&[0.0, 1.0]))]);
        assert_eq!(Form::Msgpack.write(&values).unwrap(), expected);
        let read: BTreeMap<&str, Array> = Form::Msgpack.read(&expected).unwrap();
        assert_eq!(read, values);
        assert_eq!(
            Form::Json.write(&values).unwrap(),
            br#"{"values":[0.0,1.0]}"#
        );
    }

    #[test]
    fn old_writers_are_read_and_pickles_are_not() {
        // `type` as bytes, no `kind`.
        let old = hex(
            "84 c402 6e64 c3 c404 74797065 c403 3c6634 c405 7368617065 91 01 c404 64617461 c404 0000803f",
        );
        assert_eq!(Form::Msgpack.read(&old), Ok(Array::floats(&[1.0])));
        let pickle = hex(
            "85 c402 6e64 c3 c404 74797065 a2 7c4f c404 6b696e64 c401 4f c405 7368617065 91 01 c404 64617461 c400",
        );
        let lies = hex(
            "84 c402 6e64 c3 c404 74797065 a3 3c6634 c405 7368617065 92 cf ffffffffffffffff 04 c404 64617461 c404 0000803f",
        );
        let scalar = hex("83 c402 6e64 c2 c404 74797065 a3 3c6634 c404 64617461 c404 0000803f");
        let five = hex(
            "84 c402 6e64 c3 c404 74797065 a3 7c7531 c405 7368617065 95 0101010101 c404 64617461 c401 00",
        );
        for bad in [pickle, lies, scalar, five] {
            assert!(Form::Msgpack.read::<Array>(&bad).is_err(), "{bad:x?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            element in prop::sample::select(&Element::ALL[..]),
            shape in prop::collection::vec(0..5_usize, 1..=MAX_DIMENSIONS),
            seed in any::<u8>(),
        ) {
            let bytes = element.size() * shape.iter().product::<usize>();
            let data = (0..bytes).map(|at| (at as u8).wrapping_mul(seed) & 0x3f).collect();
            let array = Array::new(element, shape, data).unwrap();
            let written = Form::Msgpack.write(&array).unwrap();
            let read = Form::Msgpack.read::<Array>(&written).unwrap();
            prop_assert_eq!(&read, &array);
            let written = Form::Json.write(&array).unwrap();
            if array.shape().len() <= 2 && !array.data().is_empty() {
                let read = Form::Json.read::<Array>(&written).unwrap();
                prop_assert_eq!(read.shape(), array.shape());
                prop_assert!(read.numbers().eq(array.numbers()));
            }
        }

        #[test]
        fn any_bytes_are_an_array_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::Msgpack.read::<Array>(&bytes);
            let _ = Form::Json.read::<Array>(&bytes);
        }
    }
}
