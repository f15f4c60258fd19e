//! JSON with the place of every value: what messages with lines and columns are made of.

use std::fmt;

use serde::de::{Deserializer as _, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Number, Value};

use crate::redact::is_secret;

/// A JSON value and where it starts in the text, in bytes.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) start: usize,
    pub(crate) json: Json,
}

/// What a [`Node`] holds. Objects keep repeated keys, so that they can be reported.
#[derive(Debug)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Node>),
    Object(Vec<Entry>),
}

/// A key of an object, where it starts, and its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) start: usize,
    pub(crate) value: Node,
}

impl Node {
    /// Reads `text`. Objects and arrays deeper than 128 levels are refused.
    pub(crate) fn parse(text: &str) -> serde_json::Result<Self> {
        // Proves the text to be JSON, and shallow, before anything recurs into it.
        serde_json::from_str::<Value>(text)?;
        build(text, serde_json::from_str(text)?)
    }

    /// The value as plain JSON; of a repeated key, the last.
    pub(crate) fn to_value(&self) -> Value {
        match &self.json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(value) => Value::Number(value.clone()),
            Json::String(value) => Value::String(value.clone()),
            Json::Array(items) => items.iter().map(Self::to_value).collect(),
            Json::Object(entries) => {
                let pairs = entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_value()));
                Value::Object(pairs.collect())
            }
        }
    }

    /// The value under `key`; of a repeated key, the last.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Json::Object(entries) = &self.json else {
            return None;
        };
        entries
            .iter()
            .rev()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// Where the value at `path` starts, or the nearest one around it that is there.
    pub(crate) fn locate(&self, path: &Path) -> usize {
        let mut node = self;
        for step in &path.0 {
            let next = match (step, &node.json) {
                (Step::Key(key), _) => node.get(key),
                (Step::Index(index), Json::Array(items)) => items.get(*index),
                (Step::Index(_), _) => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.start
    }
}

/// The line and the column (in characters) of the byte `offset` in `text`, both from 1.
pub(crate) fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    (before.matches('\n').count() + 1, column + 1)
}

/// A way into JSON; displays as `services[1].name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    /// Reads what [`Path`] displays. Keys with other characters than those of names are not meant.
    pub(crate) fn read(path: &str) -> Self {
        let steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
        Self(
            steps
                .map(|s| s.parse().map_or_else(|_| Step::Key(s.into()), Step::Index))
                .collect(),
        )
    }

    /// The path of the value under `key`.
    pub(crate) fn key(&self, key: impl Into<String>) -> Self {
        self.step(Step::Key(key.into()))
    }

    /// The path of the item at `index`.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// Whether this is `other` or lies in it.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Whether what stands there is for nobody's eyes, or a key may stand there by mistake.
    pub(crate) fn is_secret(&self) -> bool {
        let names = |step: &Step| matches!(step, Step::Key(key) if key == "keys" || is_secret(key));
        let in_place_of_tenants = matches!(
            self.0.as_slice(),
            [Step::Key(key)] | [Step::Key(key), Step::Index(_)] if key == "tenants"
        );
        in_place_of_tenants || self.0.iter().any(names)
    }

    fn step(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if !key.is_empty() && key.chars().all(plain) => {
                    write!(f, "{}{key}", if i == 0 { "" } else { "." })?;
                }
                Step::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}

/// Builds the node of `raw`, a slice of `text`.
fn build(text: &str, raw: &RawValue) -> serde_json::Result<Node> {
    let json = Deserializer::from_str(raw.get()).deserialize_any(Builder(text))?;
    Ok(Node {
        start: offset(text, raw),
        json,
    })
}

/// Where `raw` stands in the `text` that it borrows from: the distance of their addresses.
fn offset(text: &str, raw: &RawValue) -> usize {
    raw.get()
        .as_ptr()
        .addr()
        .saturating_sub(text.as_ptr().addr())
}

/// Makes one level of the tree. Nested values come to it as slices of the text, which is how their
/// place is known.
struct Builder<'t>(&'t str);

impl<'t> Visitor<'t> for Builder<'t> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(raw) = items.next_element::<&'t RawValue>()? {
            array.push(build(self.0, raw).map_err(Error::custom)?);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'t>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some((key, raw)) = entries.next_entry::<&'t RawValue, &'t RawValue>()? {
            object.push(Entry {
                key: serde_json::from_str(key.get()).map_err(Error::custom)?,
                start: offset(self.0, key),
                value: build(self.0, raw).map_err(Error::custom)?,
            });
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_where_everything_is() {
        let text = "{\n  \"a\": [1, {\"ü\\u0062\": -2.5}],\n  \"a\": \"ä\"\n}";
        let root = Node::parse(text).unwrap();
        let Json::Object(entries) = &root.json else {
            panic!("{root:?}")
        };
        let places: Vec<_> = entries.iter().map(|e| line_column(text, e.start)).collect();
        assert_eq!(places, [(2, 3), (3, 3)]);
        let path = Path::default().key("a").index(1).key("üb");
        assert_eq!(path.to_string(), "a[1].üb");
        assert_eq!(Path::read("a[1].üb"), path);
        let inner = root.locate(&Path::default().key("a"));
        assert_eq!(line_column(text, inner), (3, 8));
        let Json::Array(items) = &entries[0].value.json else {
            panic!("{root:?}")
        };
        let number = items[1].get("üb").unwrap();
        assert_eq!(line_column(text, number.start), (2, 24));
        assert_eq!(number.to_value(), serde_json::json!(-2.5));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = "[".repeat(100_000);
        let error = Node::parse(&text).unwrap_err();
        assert!(error.to_string().contains("recursion limit"), "{error}");
    }
}
