//! Lists that may be so long and no longer: a byte of msgpack can stand for an entry of a hundred.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// Reads a list of at most `most` entries.
pub(crate) struct List<T> {
    /// What it is called in messages.
    pub(crate) name: &'static str,
    pub(crate) most: usize,
    entry: PhantomData<T>,
}

impl<T> List<T> {
    pub(crate) fn new(name: &'static str, most: usize) -> Self {
        Self {
            name,
            most,
            entry: PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for List<T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Vec<T>, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be a list", self.name)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if list.len() == self.most {
                return Err(A::Error::custom(format_args!(
                    "`{}` has more entries than the {} that are allowed",
                    self.name, self.most
                )));
            }
            list.push(entry);
        }
        Ok(list)
    }
}
