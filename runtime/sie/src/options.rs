//! How items are to be encoded or scored.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::list::List;

/// The most kinds of output that a request may name.
const MAX_OUTPUTS: usize = 16;

/// What a request says beside its items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// Which outputs are wanted; `None` is dense vectors.
    pub output_types: Option<Vec<String>>,
    /// In which numbers.
    pub output_dtype: Option<String>,
    /// What the model is told about the task.
    pub instruction: Option<String>,
    /// The rest.
    pub options: Options,
}

/// The options that have a meaning here; others are for models that are not, and are read over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A set of options by name.
    pub profile: Option<String>,
    /// Whether the items are queries.
    pub is_query: Option<bool>,
    /// As [`Params::output_types`], before which they go.
    pub output_types: Option<Vec<String>>,
    /// As [`Params::output_dtype`], which goes before it.
    pub output_dtype: Option<String>,
    /// As [`Params::instruction`], which goes before it.
    pub instruction: Option<String>,
    /// The first of the options present that change what is computed and that nothing here does.
    pub beyond: Option<&'static str>,
}

/// What changes the answer and is not done here.
const BEYOND: [&str; 3] = ["lora_id", "lora", "muvera"];

/// A field's name, as text or, in msgpack, as bytes.
pub(crate) struct Key<'a>(Cow<'a, str>);

impl Key<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_identifier(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(name)))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(name.to_owned())))
    }

    fn visit_borrowed_bytes<E: Error>(self, name: &'de [u8]) -> Result<Key<'de>, E> {
        // What is no text is the name of nothing.
        Ok(Key(Cow::Borrowed(
            std::str::from_utf8(name).unwrap_or_default(),
        )))
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Key<'de>, E> {
        let name = std::str::from_utf8(name).unwrap_or_default();
        Ok(Key(Cow::Owned(name.to_owned())))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed("")))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed("")))
    }
}

/// A short list of names, or nothing.
struct Names(Option<Vec<String>>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_option(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`output_types` to be a list")
    }

    fn visit_none<E: Error>(self) -> Result<Names, E> {
        Ok(Names(None))
    }

    fn visit_unit<E: Error>(self) -> Result<Names, E> {
        Ok(Names(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<Names, D::Error> {
        let list = List::new("output_types", MAX_OUTPUTS);
        reader.deserialize_seq(list).map(|names| Names(Some(names)))
    }
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(ParamsVisitor)
    }
}

struct ParamsVisitor;

impl<'de> Visitor<'de> for ParamsVisitor {
    type Value = Params;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`params` to be a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Params, A::Error> {
        let mut params = Params::default();
        while let Some(key) = fields.next_key::<Key<'de>>()? {
            match key.name() {
                "output_types" => params.output_types = fields.next_value::<Names>()?.0,
                "output_dtype" => params.output_dtype = fields.next_value()?,
                "instruction" => params.instruction = fields.next_value()?,
                "options" => {
                    params.options = fields.next_value::<Option<_>>()?.unwrap_or_default();
                }
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(params)
    }
}

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(OptionsVisitor)
    }
}

struct OptionsVisitor;

impl<'de> Visitor<'de> for OptionsVisitor {
    type Value = Options;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`options` to be a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Options, A::Error> {
        let mut options = Options::default();
        while let Some(key) = fields.next_key::<Key<'de>>()? {
            match key.name() {
                "profile" => options.profile = fields.next_value()?,
                "is_query" => options.is_query = fields.next_value()?,
                "output_types" => options.output_types = fields.next_value::<Names>()?.0,
                "output_dtype" => options.output_dtype = fields.next_value()?,
                "instruction" => options.instruction = fields.next_value()?,
                name => {
                    let beyond = BEYOND.into_iter().find(|known| *known == name);
                    let present = fields.next_value::<Option<IgnoredAny>>()?.is_some();
                    options.beyond = options.beyond.or(beyond.filter(|_| present));
                }
            }
        }
        Ok(options)
    }
}
