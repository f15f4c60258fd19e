//! Fields of a stranger's message: what is not of the expected kind is no reason to refuse the rest.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The longest name.
const MAX_TEXT: usize = 512;
/// The most entries of a list; what is beyond is passed over.
const MAX_LIST: usize = 4096;

/// A field as it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Field<T> {
    /// Not at all.
    #[default]
    Absent,
    /// As `null`.
    Null,
    /// As something else than expected.
    Bad,
    Is(T),
}

impl<T> Field<T> {
    /// What it is, or nothing, which counts if it is malformed.
    pub(super) fn take(self, bad: &mut u64) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent => None,
            Self::Null | Self::Bad => {
                *bad += 1;
                None
            }
        }
    }

    /// The same where `null` is a way to say nothing.
    pub(super) fn take_or_null(self, bad: &mut u64) -> Option<T> {
        match self {
            Self::Null => None,
            field => field.take(bad),
        }
    }
}

/// What can be made of some kinds of values; of all others nothing.
pub(super) trait Lenient: Sized {
    fn boolean(_: bool) -> Option<Self> {
        None
    }

    fn number(_: u64) -> Option<Self> {
        None
    }

    fn text(_: &str) -> Option<Self> {
        None
    }

    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl Lenient for bool {
    fn boolean(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl Lenient for u64 {
    fn number(value: u64) -> Option<Self> {
        Some(value)
    }
}

impl Lenient for Arc<str> {
    fn text(value: &str) -> Option<Self> {
        (value.len() <= MAX_TEXT).then(|| Self::from(value))
    }
}

/// A list, of whose entries some may be malformed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct List<T> {
    pub(super) entries: Vec<T>,
    /// How many entries were not what was expected, or too many.
    pub(super) bad: u64,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            bad: 0,
        }
    }
}

impl<T: Lenient> Lenient for List<T> {
    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut taken = Self::default();
        while taken.entries.len() < MAX_LIST {
            match list.next_element::<Field<T>>()? {
                None => return Ok(Some(taken)),
                Some(Field::Is(entry)) => taken.entries.push(entry),
                Some(_) => taken.bad += 1,
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            taken.bad += 1;
        }
        Ok(Some(taken))
    }
}

impl<'de, T: Lenient> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading(PhantomData))
    }
}

struct Reading<T>(PhantomData<T>);

fn field<T>(value: Option<T>) -> Field<T> {
    value.map_or(Field::Bad, Field::Is)
}

impl<'de, T: Lenient> Visitor<'de> for Reading<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(field(T::boolean(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(field(T::number(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(field(u64::try_from(value).ok().and_then(T::number)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        // Beyond this no number is a count.
        let sane = value.is_finite() && (0.0..=1e18).contains(&value);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be in range"
        )]
        let whole = sane.then_some(value as u64);
        Ok(field(whole.and_then(T::number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(field(T::text(value)))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Field::Bad)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Null)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Deserialize::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Ok(field(T::list(list)?))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        Ok(field(T::object(object)?))
    }
}

/// A message that is an object, or none at all.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Lenient> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Field::deserialize(deserializer)? {
            Field::Is(value) => Ok(Self(value)),
            _ => Err(D::Error::custom("it is no object")),
        }
    }
}

/// The fields of an object by name, in a struct of fields; what has no place is passed over.
macro_rules! object {
    ($name:ident { $($key:literal => $field:ident),+ $(,)? }) => {
        impl $crate::worker::field::Lenient for $name {
            fn object<'de, A: serde::de::MapAccess<'de>>(
                mut object: A,
            ) -> Result<Option<Self>, A::Error> {
                let mut taken = Self::default();
                while let Some(key) = object.next_key::<std::borrow::Cow<'_, str>>()? {
                    match &*key {
                        $($key => taken.$field = object.next_value()?,)+
                        _ => {
                            object.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(Some(taken))
            }
        }
    };
}

pub(super) use object;
