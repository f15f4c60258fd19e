//! The body of a request to encode, score or extract.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::list::List;
use crate::options::Key;
use crate::{Form, Item, Params, WireError};

/// A request: what is to be done is said by the path that it was sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// What the items are scored against.
    pub query: Option<Item>,
    /// What is encoded or scored.
    pub items: Vec<Item>,
    /// How. Of a scoring, `instruction` and `options` stand at the top of the body.
    pub params: Params,
}

impl Request {
    /// Reads a body with at most `most` items.
    ///
    /// # Errors
    /// When it is something else, or has no items.
    pub fn read(form: Form, body: &[u8], most: usize) -> Result<Self, WireError> {
        let wrong = |why: WireError| WireError::new(format!("the request body is wrong {why}"));
        let request = form.read_seed(body, Bounded(most)).map_err(wrong)?;
        if request.items.is_empty() {
            return Err(WireError::new("`items` must not be empty"));
        }
        Ok(request)
    }
}

/// Reads a request with at most so many items.
struct Bounded(usize);

impl<'de> DeserializeSeed<'de> for Bounded {
    type Value = Request;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Request, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = Request;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body to be a map with `items`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Request, A::Error> {
        let mut items = None;
        let mut query = None;
        let mut params = None;
        let (mut instruction, mut options) = (None, None);
        while let Some(key) = fields.next_key::<Key<'de>>()? {
            match key.name() {
                "items" => items = Some(fields.next_value_seed(List::new("items", self.0))?),
                "query" => query = fields.next_value::<Option<Item>>()?,
                "params" => params = fields.next_value::<Option<Params>>()?,
                "instruction" => instruction = fields.next_value::<Option<String>>()?,
                "options" => options = fields.next_value()?,
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        let mut params = params.unwrap_or_default();
        params.instruction = params.instruction.or(instruction);
        if let Some(options) = options {
            params.options = options;
        }
        Ok(Request {
            query,
            items: items.ok_or_else(|| A::Error::missing_field("items"))?,
            params,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Media, Options};

    fn json(text: &str) -> Result<Request, String> {
        Request::read(Form::Json, text.as_bytes(), 3).map_err(|why| why.to_string())
    }

    #[test]
    fn what_sdks_send_is_read() {
        let read = json(
            r#"{"items": [{"id": "a", "text": "x", "metadata": {"k": [1]}}, {"images": [{"data": "", "format": "png"}]}, {"images": [], "audio": null, "text": null}],
               "params": {"output_types": ["dense"], "output_dtype": "int8", "instruction": "i", "labels": ["l"],
                          "options": {"is_query": true, "profile": "p", "muvera": null, "lora_id": "z", "other": {}}}}"#,
        );
        let item = |id: Option<&str>, text: Option<&str>, media| Item {
            id: id.map(str::to_owned),
            text: text.map(str::to_owned),
            media,
        };
        let expected = Request {
            query: None,
            items: vec![
                item(Some("a"), Some("x"), None),
                item(None, None, Some(Media::Images)),
                item(None, None, None),
            ],
            params: Params {
                output_types: Some(vec!["dense".to_owned()]),
                output_dtype: Some("int8".to_owned()),
                instruction: Some("i".to_owned()),
                options: Options {
                    is_query: Some(true),
                    profile: Some("p".to_owned()),
                    beyond: Some("lora_id"),
                    ..Options::default()
                },
            },
        };
        assert_eq!(read, Ok(expected));
        let score = json(
            r#"{"query": {"text": "q"}, "items": [{}], "instruction": "i", "options": {"is_query": false}}"#,
        );
        let score = score.unwrap();
        assert_eq!(score.query, Some(item(None, Some("q"), None)));
        assert_eq!(score.params.instruction.as_deref(), Some("i"));
        assert_eq!(score.params.options.is_query, Some(false));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (body, word) in [
            ("", "EOF"),
            ("[]", "a map with `items`"),
            ("{}", "missing field `items`"),
            (r#"{"items": []}"#, "must not be empty"),
            (r#"{"items": {}}"#, "`items` to be a list"),
            (r#"{"items": ["x"]}"#, "an item to be a map"),
            (r#"{"items": [{"text": 3}]}"#, "string"),
            (r#"{"items": [{"audio": 3}]}"#, "media"),
            (r#"{"items": [{}, {}, {}, {}]}"#, "more entries than the 3"),
            (r#"{"items": [{}], "params": 3}"#, "`params` to be a map"),
            (r#"{"items": [{}]} x"#, "trailing"),
        ] {
            let error = json(body).unwrap_err();
            assert!(error.contains(word), "{body}: {error}");
        }
        let outputs = format!(
            r#"{{"items": [{{}}], "params": {{"output_types": [{}"d"]}}}}"#,
            r#""d","#.repeat(16)
        );
        assert!(
            json(&outputs)
                .unwrap_err()
                .contains("more entries than the 16")
        );
    }

    #[test]
    fn lengths_that_lie_allocate_nothing() {
        let items = b"\x81\xa5items";
        for lie in [
            // A list, a map, a text, bytes and an extension of four thousand million.
            &b"\xdd\xff\xff\xff\xff"[..],
            b"\x91\xdf\xff\xff\xff\xff",
            b"\x91\x81\xa4text\xdb\xff\xff\xff\xff",
            b"\x91\x81\xc6\xff\xff\xff\xff",
            b"\x91\x81\xa5audio\xc9\xff\xff\xff\xff\x01",
        ] {
            let body = [&items[..], lie].concat();
            assert!(Request::read(Form::Msgpack, &body, usize::MAX).is_err());
        }
        // A million items in two million bytes.
        let many = [&items[..], b"\xdd\x00\x0f\x42\x40", &[0x80; 1_000_000]].concat();
        let error = Request::read(Form::Msgpack, &many, 10_000).unwrap_err();
        assert!(error.to_string().contains("10000"), "{error}");
    }
}
