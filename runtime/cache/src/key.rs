//! What an answer depends on, as one canonical text.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The longest canonical text that is kept as it is, in bytes.
const MAX_TEXT: usize = 4 << 10;
/// What begins a key that is kept as a digest. A text begins with a quotation mark.
const DIGEST: &str = "sha256:";

/// What an answer depends on: a namespace and named values. Kept in full up to 4 KiB, and else as a
/// digest for which nobody can find two values, as parts of it may be ([`KeyBuilder::digest`]), so
/// that two keys are equal only if what they were made of is. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// Starts a key in `namespace` (the service and role, say), which keeps apart what shares a
    /// cache.
    #[must_use]
    pub fn builder(namespace: &str) -> KeyBuilder {
        let mut text = String::with_capacity(128);
        write_string(&mut text, namespace);
        KeyBuilder { text }
    }

    /// The key's canonical text: the namespace and then `,name:value` for each field, all in JSON; of
    /// a long one the digest.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the digest of a long text.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        self.0.starts_with(DIGEST)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes a [`Key`], field by field; the fields' order and number are part of it. The order of the
/// members of JSON objects is not.
#[derive(Clone, Debug)]
pub struct KeyBuilder {
    text: String,
}

impl KeyBuilder {
    /// Adds a JSON value.
    #[must_use]
    pub fn value(mut self, name: &str, value: &Value) -> Self {
        self.name(name);
        write_canonical(&mut self.text, value);
        self
    }

    /// Adds a JSON object.
    #[must_use]
    pub fn object(mut self, name: &str, object: &Map<String, Value>) -> Self {
        self.name(name);
        write_object(&mut self.text, object);
        self
    }

    /// Adds a text: the same as the JSON string.
    #[must_use]
    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.name(name);
        write_string(&mut self.text, text);
        self
    }

    /// Adds a count: the same as the JSON number.
    #[must_use]
    pub fn count(mut self, name: &str, count: usize) -> Self {
        self.name(name);
        self.text.push_str(&count.to_string());
        self
    }

    /// Adds a list of texts: the same as the JSON array of strings.
    #[must_use]
    pub fn texts<'a>(mut self, name: &str, texts: impl IntoIterator<Item = &'a str>) -> Self {
        self.name(name);
        write_list(&mut self.text, '[', texts, ']', write_string);
        self
    }

    /// Adds the SHA-256 of a list of texts or bytes: for long ones, which would be held and compared
    /// in full. Not keyed, so that caches that processes share may use it.
    #[must_use]
    pub fn digest<'a, T>(self, name: &str, texts: impl IntoIterator<Item = &'a T>) -> Self
    where
        T: AsRef<[u8]> + ?Sized + 'a,
    {
        self.text(name, &digest(texts))
    }

    /// The key.
    #[must_use]
    pub fn build(self) -> Key {
        if self.text.len() <= MAX_TEXT {
            return Key(self.text.into());
        }
        Key(in_hex(Sha256::new_with_prefix(&self.text)).into())
    }

    fn name(&mut self, name: &str) {
        self.text.push(',');
        write_string(&mut self.text, name);
        self.text.push(':');
    }
}

/// `sha256:` and the digest of a list of texts or bytes, of which [`KeyBuilder::digest`] makes a
/// field.
#[must_use]
pub fn digest<'a, T>(texts: impl IntoIterator<Item = &'a T>) -> String
where
    T: AsRef<[u8]> + ?Sized + 'a,
{
    let mut hasher = Sha256::new();
    for text in texts {
        let text = text.as_ref();
        // The length first, so that no list runs on into another.
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    in_hex(hasher)
}

fn in_hex(hasher: Sha256) -> String {
    let mut digest = DIGEST.to_owned();
    let nibbles = hasher.finalize().into_iter().flat_map(|b| [b >> 4, b & 15]);
    digest.extend(nibbles.filter_map(|nibble| HEX.get(usize::from(nibble))));
    digest
}

/// Appends the canonical JSON text of `value`: no white space, the members of objects ordered by
/// name. Equal texts mean equal values, and the other way round; `1` and `1.0` are two values.
///
/// Recurses as deep as the value is nested, which a parser of foreign text must bound, as
/// `serde_json`'s does.
pub fn write_canonical(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => write_string(out, text),
        Value::Array(list) => write_list(out, '[', list, ']', write_canonical),
        Value::Object(object) => write_object(out, object),
    }
}

fn write_object(out: &mut String, object: &Map<String, Value>) {
    let mut members: Vec<_> = object.iter().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    write_list(out, '{', members, '}', |out, (name, value)| {
        write_string(out, name);
        out.push(':');
        write_canonical(out, value);
    });
}

fn write_list<T>(
    out: &mut String,
    open: char,
    items: impl IntoIterator<Item = T>,
    close: char,
    write: impl Fn(&mut String, T),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

const HEX: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
];

/// A JSON string with only what must be escaped escaped.
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for piece in text.split_inclusive(|c: char| c < ' ' || c == '"' || c == '\\') {
        let mut before = piece.chars();
        match before.next_back() {
            Some(last @ ('"' | '\\')) => {
                out.push_str(before.as_str());
                out.push('\\');
                out.push(last);
            }
            Some(control) if control < ' ' => {
                out.push_str(before.as_str());
                let code = control as usize;
                out.push_str("\\u00");
                out.extend(
                    [code / 16, code % 16]
                        .into_iter()
                        .filter_map(|digit| HEX.get(digit)),
                );
            }
            _ => out.push_str(piece),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_a_digest_and_still_its_own() {
        let key = |text: &str| Key::builder("n").text("q", text).build();
        let long = "x".repeat(MAX_TEXT);
        assert!(key(&long).is_digest() && key(&long).as_str().len() == 71);
        assert_eq!(key(&long), key(&long));
        assert_ne!(key(&long), key(&format!("{long}y")));
        let short = "x".repeat(MAX_TEXT - 20);
        assert!(!key(&short).is_digest() && key(&short).as_str().contains(&short));
        // Nobody can write a text that is one.
        assert!(!Key::builder("sha256:").build().is_digest());
    }
}
