//! The two forms in which a value travels, and who gets which.

use serde::de::{DeserializeSeed, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::WireError;

/// How deep what is read may nest; serde_json has the same bound.
const MAX_DEPTH: usize = 128;

/// A form of a value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/json`.
    Json,
    /// `application/msgpack`.
    Msgpack,
}

impl Form {
    /// The form of a body of this `Content-Type`: JSON unless it says msgpack.
    #[must_use]
    pub fn of_body(content_type: Option<&str>) -> Self {
        if content_type.is_some_and(names_msgpack) {
            Self::Msgpack
        } else {
            Self::Json
        }
    }

    /// The form of the answer to this `Accept`: msgpack, unless it names JSON and not msgpack.
    #[must_use]
    pub fn of_answer(accept: Option<&str>) -> Self {
        let json = |accept: &str| contains(accept, "application/json") && !names_msgpack(accept);
        if accept.is_some_and(json) {
            Self::Json
        } else {
            Self::Msgpack
        }
    }

    /// Its content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Msgpack => "application/msgpack",
        }
    }

    /// `value` in this form.
    ///
    /// # Errors
    /// When it has none, as numbers that are not finite have none in JSON.
    pub fn write(self, value: &impl Serialize) -> Result<Vec<u8>, WireError> {
        let mut bytes = Vec::with_capacity(256);
        match self {
            Self::Json => serde_json::to_writer(&mut bytes, value).map_err(|why| why.to_string()),
            Self::Msgpack => {
                let mut writer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
                value.serialize(&mut writer).map_err(|why| why.to_string())
            }
        }
        .map_err(|why| WireError::new(format!("the answer cannot be written: {why}")))?;
        Ok(bytes)
    }

    /// The value that `bytes` hold, and nothing else.
    ///
    /// # Errors
    /// When they hold something else.
    pub fn read<'de, T: Deserialize<'de>>(self, bytes: &'de [u8]) -> Result<T, WireError> {
        self.read_seed(bytes, std::marker::PhantomData)
    }

    /// As [`Form::read`], with a seed, which may carry bounds.
    ///
    /// # Errors
    /// As [`Form::read`].
    pub(crate) fn read_seed<'de, S: DeserializeSeed<'de>>(
        self,
        bytes: &'de [u8],
        seed: S,
    ) -> Result<S::Value, WireError> {
        match self {
            Self::Json => {
                let mut reader = serde_json::Deserializer::from_slice(bytes);
                let read = seed
                    .deserialize(&mut reader)
                    .and_then(|value| reader.end().map(|()| value));
                read.map_err(|why| WireError::new(format!("as JSON: {why}")))
            }
            Self::Msgpack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
                reader.set_max_depth(MAX_DEPTH);
                let value = seed
                    .deserialize(&mut reader)
                    .map_err(|why| WireError::new(format!("as msgpack: {why}")))?;
                match IgnoredAny::deserialize(&mut reader) {
                    Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
                    _ => Err(WireError::new("as msgpack: something follows the value")),
                }
            }
        }
    }
}

fn names_msgpack(header: &str) -> bool {
    contains(header, "application/msgpack") || contains(header, "application/x-msgpack")
}

fn contains(header: &str, name: &str) -> bool {
    header
        .as_bytes()
        .windows(name.len())
        .any(|part| part.eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_gets_msgpack() {
        for accept in [
            None,
            Some(""),
            Some("*/*"),
            Some("text/html"),
            Some("application/msgpack"),
            Some("Application/X-Msgpack;q=0.1, application/json"),
        ] {
            assert_eq!(Form::of_answer(accept), Form::Msgpack, "{accept:?}");
        }
        for accept in ["application/json", "text/html, Application/JSON; q=0.9"] {
            assert_eq!(Form::of_answer(Some(accept)), Form::Json, "{accept}");
        }
    }

    #[test]
    fn a_body_is_json_unless_it_says_otherwise() {
        for json in [None, Some("application/json"), Some("text/plain")] {
            assert_eq!(Form::of_body(json), Form::Json, "{json:?}");
        }
        for msgpack in ["application/msgpack", "APPLICATION/x-msgpack; v=5"] {
            assert_eq!(Form::of_body(Some(msgpack)), Form::Msgpack, "{msgpack}");
        }
    }

    #[test]
    fn nothing_may_follow_the_value() {
        let [one, json] = [&b"\x01"[..], b"1"];
        assert_eq!(Form::Msgpack.read::<u8>(one), Ok(1));
        assert_eq!(Form::Json.read::<u8>(json), Ok(1));
        assert!(Form::Msgpack.read::<u8>(b"\x01\x01").is_err());
        assert!(Form::Msgpack.read::<u8>(b"\x01\xda\xff").is_err());
        assert!(Form::Json.read::<u8>(b"1 1").is_err());
    }

    #[test]
    fn depth_is_bounded() {
        let deep = [vec![0x91; 100_000], vec![0x01]].concat();
        let deep = Form::Msgpack.read::<IgnoredAny>(&deep);
        assert!(deep.unwrap_err().to_string().contains("depth"));
        let deep = "[".repeat(100_000);
        assert!(Form::Json.read::<IgnoredAny>(deep.as_bytes()).is_err());
    }
}
