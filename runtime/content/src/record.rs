//! One line of a corpus, as a document.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The id of the document in `line`: a string without the white space around it, or a number as
/// the JSON writes it. Every other value is passed over unread.
///
/// # Errors
/// Why the line is no document.
pub(crate) fn id_of<'a>(line: &'a [u8], id_field: &str) -> Result<Cow<'a, str>, String> {
    let mut slots = [None];
    pick(line, &[id_field], &mut slots)?;
    let [slot] = slots;
    id_from(slot, id_field)
}

fn id_from<'a>(value: Option<&'a RawValue>, id_field: &str) -> Result<Cow<'a, str>, String> {
    let json = value
        .ok_or_else(|| format!("there is no `{id_field}`"))?
        .get();
    let id = match json.as_bytes().first() {
        Some(b'"') => match string(json) {
            Ok(Cow::Borrowed(id)) => Cow::Borrowed(id.trim()),
            Ok(Cow::Owned(id)) => Cow::Owned(id.trim().to_owned()),
            Err(error) => return Err(format!("`{id_field}`: {error}")),
        },
        Some(b'-' | b'0'..=b'9') => Cow::Borrowed(json),
        _ => return Err(format!("`{id_field}` is neither a string nor a number")),
    };
    if id.is_empty() {
        Err(format!("`{id_field}` is empty"))
    } else {
        Ok(id)
    }
}

/// How a view reads a document.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    id_field: String,
    content_fields: Vec<String>,
    sep: String,
    /// The fields to look for, each once: the id, the title, and those of the text.
    fields: Vec<String>,
}

/// A document as a view reads it.
#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    /// Its id.
    pub(crate) id: String,
    /// Its title, when it has one.
    pub(crate) title: Option<Arc<str>>,
    /// Its text; `None` when none of the view's fields is there.
    pub(crate) text: Option<Arc<str>>,
}

impl Projection {
    /// Reads the id from `id_field`, and as text the values of `content_fields` joined by `sep`.
    pub(crate) fn new(id_field: &str, content_fields: &[String], sep: &str) -> Self {
        let mut fields = vec![id_field.to_owned(), "title".to_owned()];
        fields.extend_from_slice(content_fields);
        fields.sort();
        fields.dedup();
        Self {
            id_field: id_field.to_owned(),
            content_fields: content_fields.to_vec(),
            sep: sep.to_owned(),
            fields,
        }
    }

    /// The fields that make the text.
    pub(crate) fn content_fields(&self) -> &[String] {
        &self.content_fields
    }

    /// What stands between the values of several fields.
    pub(crate) fn sep(&self) -> &str {
        &self.sep
    }

    /// The document in `line`. A field that is absent or null is left out of the text; numbers,
    /// truth values and objects stand as JSON; the members of a list are joined by `sep`.
    ///
    /// # Errors
    /// Why the line is no document.
    pub(crate) fn read(&self, line: &[u8]) -> Result<Record, String> {
        let fields: Vec<&str> = self.fields.iter().map(String::as_str).collect();
        let mut slots = vec![None; fields.len()];
        pick(line, &fields, &mut slots)?;
        let value = |field: &str| {
            let at = fields.binary_search(&field).ok()?;
            slots.get(at).copied().flatten()
        };
        let id = id_from(value(&self.id_field), &self.id_field)?.into_owned();
        let title = value("title").filter(|json| json.get().starts_with('"'));
        let title = title.and_then(|json| text_of(json, &self.sep));
        let title = title.filter(|title| !title.is_empty()).map(Arc::from);
        let values = self.content_fields.iter().filter_map(|field| value(field));
        let parts = values.filter_map(|json| text_of(json, &self.sep));
        let text = parts.reduce(|mut text, part| {
            text.to_mut().push_str(&self.sep);
            text.to_mut().push_str(&part);
            text
        });
        let text = text.map(Arc::from);
        Ok(Record { id, title, text })
    }
}

/// The value as text; `None` when it is null or an empty list.
fn text_of<'a>(value: &'a RawValue, sep: &str) -> Option<Cow<'a, str>> {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'n') | None => None,
        Some(b'"') => string(json).ok(),
        Some(b'[') => {
            let members: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            let flat = |member: &&'a RawValue| match member.get().as_bytes().first() {
                Some(b'[') => Some(Cow::Borrowed(member.get())),
                _ => text_of(member, sep),
            };
            let members: Vec<_> = members.iter().filter_map(flat).collect();
            (!members.is_empty()).then(|| Cow::Owned(members.join(sep)))
        }
        Some(_) => Some(Cow::Borrowed(json)),
    }
}

/// Takes the values of `fields` out of the object in `line`, as they stand; of a repeated key the
/// last, as Python does.
fn pick<'a>(
    line: &'a [u8],
    fields: &[&str],
    slots: &mut [Option<&'a RawValue>],
) -> Result<(), String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not valid UTF-8".to_owned())?;
    let mut json = serde_json::Deserializer::from_str(line);
    let picked = Pick { fields, slots }
        .deserialize(&mut json)
        .and_then(|()| json.end());
    picked.map_err(|error| format!("it is not a JSON object: {error}"))
}

struct Pick<'f, 's, 'a> {
    fields: &'f [&'f str],
    slots: &'s mut [Option<&'a RawValue>],
}

impl<'a> DeserializeSeed<'a> for Pick<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Pick<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(field) = map.next_key_seed(Key(self.fields))? {
            match field.and_then(|field| self.slots.get_mut(field)) {
                Some(slot) => *slot = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A key, as its place among the fields that are looked for.
struct Key<'f>(&'f [&'f str]);

impl<'a> DeserializeSeed<'a> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        self.visit_bytes(key.as_bytes())
    }

    fn visit_bytes<E: de::Error>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|field| field.as_bytes() == key))
    }
}

/// What a string says that the parser has passed over already, `json` being as it stands.
fn string(json: &str) -> serde_json::Result<Cow<'_, str>> {
    let inner = json
        .strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'));
    match inner {
        // Without escapes it stands for itself.
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        _ => serde_json::from_str::<Text<'_>>(json).map(|text| text.0),
    }
}

/// A JSON string. Half a surrogate pair, which Python writes and reads but UTF-8 has no place for,
/// becomes the replacement character.
struct Text<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Text(String::from_utf8_lossy(bytes)))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(
                    String::from_utf8_lossy(bytes).into_owned(),
                )))
            }
        }
        // Only as bytes does the parser let half a pair pass.
        deserializer.deserialize_bytes(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, fields: &[&str]) -> Record {
        let fields: Vec<String> = fields.iter().map(|&f| f.to_owned()).collect();
        Projection::new("id", &fields, " | ")
            .read(line.as_bytes())
            .unwrap()
    }

    fn text(line: &str, fields: &[&str]) -> Option<String> {
        read(line, fields).text.map(|text| text.to_string())
    }

    #[test]
    fn ids_are_strings_or_numbers() {
        let id = |line: &'static str| id_of(line.as_bytes(), "id").map(Cow::into_owned);
        assert_eq!(
            id(r#"{"id": " d\u00e91 ", "x": {"id": 7}}"#).unwrap(),
            "dé1"
        );
        assert_eq!(
            id(r#"{"id": 12345678901234567890123}"#).unwrap(),
            "12345678901234567890123"
        );
        assert_eq!(id(r#"{"id": "a", "id": "b"}"#).unwrap(), "b");
        assert_eq!(id(r#"{"\u0069d": "escaped key"}"#).unwrap(), "escaped key");
        for bad in [
            r#"{"id": null}"#,
            r#"{"id": true}"#,
            r#"{"id": ["a"]}"#,
            r#"{"id": ""}"#,
            r#"{"id": "  "}"#,
            r#"{"x": 1}"#,
            r#"["id"]"#,
            r#"{"id": "a""#,
            r#"{"id": "a"} x"#,
            "",
        ] {
            assert!(id(bad).is_err(), "{bad}");
        }
        assert!(id_of(b"{\"id\": \"a\", \"t\": \"\xff\"}", "id").is_err());
    }

    #[test]
    fn fields_are_joined_and_absent_ones_left_out() {
        let line = r#"{"id": "1", "a": "x\ny", "b": "", "c": null, "d": 1.50}"#;
        assert_eq!(text(line, &["a"]).unwrap(), "x\ny");
        assert_eq!(
            text(line, &["d", "b", "c", "z", "a"]).unwrap(),
            "1.50 |  | x\ny"
        );
        assert_eq!(text(line, &["c", "z"]), None);
    }

    #[test]
    fn other_values_have_a_text_too() {
        let line = r#"{"id": 1, "l": ["p", null, 2, {"k": [1]}, ["q"]], "o": {"k": "v"}, "e": [], "t": true}"#;
        assert_eq!(text(line, &["l"]).unwrap(), r#"p | 2 | {"k": [1]} | ["q"]"#);
        assert_eq!(
            text(line, &["o", "e", "t"]).unwrap(),
            r#"{"k": "v"} | true"#
        );
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        assert!(
            text(r#"{"id": "1", "t": "a\ud800b"}"#, &["t"])
                .unwrap()
                .starts_with('a')
        );
        assert_eq!(
            text(r#"{"id": "1", "t": "\ud83d\ude00"}"#, &["t"]).unwrap(),
            "😀"
        );
    }

    #[test]
    fn titles_are_strings_that_say_something() {
        let title = |line: &str| read(line, &["id"]).title;
        assert_eq!(title(r#"{"id": "1", "title": "T"}"#).as_deref(), Some("T"));
        for none in [
            r#"{"id": "1", "title": ""}"#,
            r#"{"id": "1", "title": 3}"#,
            r#"{"id": "1"}"#,
        ] {
            assert_eq!(title(none), None);
        }
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        let deep = format!(
            r#"{{"id": "1", "t": {}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert_eq!(id_of(deep.as_bytes(), "id").unwrap(), "1");
        assert!(text(&deep, &["t"]).is_some());
    }
}
