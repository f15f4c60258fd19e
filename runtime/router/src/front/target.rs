//! How a request names a model: with a bundle or without, in its path or in its body.

use std::sync::Arc;

use axum::body::Bytes;
use hyper::Uri;
use hyper::http::uri::InvalidUri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::route::{MAX_NAME, Op};

/// What stands for itself in a path: RFC 3986's `pchar`, and the slash between segments.
const PATH: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');

/// A bundle and a model as the request names them: `[bundle:/]model`.
pub(super) struct Target<'a> {
    pub(super) bundle: Option<Arc<str>>,
    pub(super) model: &'a str,
}

impl<'a> Target<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, Problem> {
        let (bundle, model) = match text.split_once(":/") {
            Some((bundle, model)) => (Some(bundle), model),
            None => (None, text),
        };
        if model.is_empty() || bundle == Some("") {
            let message = "a model is named as `model` or `bundle:/model`, neither part empty";
            return Err(Problem::new(400, "INVALID_MODEL", message));
        }
        Ok(Self {
            bundle: bundle.map(|bundle| bundle.to_lowercase().into()),
            model,
        })
    }
}

/// Where a worker is asked for a model's work.
pub(super) fn uri(op: Op, model: &str, query: Option<&str>) -> Result<Uri, InvalidUri> {
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    let model = utf8_percent_encode(model, &PATH);
    format!("/v1/{}/{model}{mark}{query}", op.label()).parse()
}

/// What holds for names in paths, of one that came in a body: it stands in logs and answers.
pub(super) fn is_name(name: &str) -> Result<(), Problem> {
    let message = match name {
        _ if name.len() > MAX_NAME => "the model's name is longer than 512 bytes",
        _ if name.chars().any(char::is_control) => "the model's name has control characters",
        _ => return Ok(()),
    };
    Err(Problem::new(400, "INVALID_MODEL", message))
}

/// The body with another model's name.
pub(super) fn renamed(body: &Bytes, model: &str) -> Result<String, Problem> {
    // What is passed over when a name is looked for may nest deeper, or have larger numbers.
    let whole = serde_json::from_slice::<Map<String, Value>>(body);
    let mut whole = whole.map_err(|why| {
        let message = format!("the body cannot be sent on with the model's own name: {why}");
        Problem::new(400, "INVALID_INPUT", message)
    })?;
    whole.insert("model".to_owned(), json!(model));
    Ok(Value::Object(whole).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_may_stand_before_the_model() {
        let read = |text| {
            Target::read(text)
                .map(|it| (it.bundle, it.model.to_owned()))
                .ok()
        };
        assert_eq!(read("a/b"), Some((None, "a/b".into())));
        assert_eq!(read("a/b:variant"), Some((None, "a/b:variant".into())));
        assert_eq!(
            read("Default:/a/b"),
            Some((Some("default".into()), "a/b".into()))
        );
        assert_eq!(read("d:/a:/b"), Some((Some("d".into()), "a:/b".into())));
        assert!(read(":/a").is_none() && read("d:/").is_none());
    }

    #[test]
    fn a_name_in_a_body_is_as_short_as_one_in_a_path() {
        assert!(is_name(&"n".repeat(512)).is_ok());
        assert!(is_name(&"n".repeat(513)).is_err());
        assert!(is_name("a\nb").is_err());
    }

    #[test]
    fn a_body_is_renamed_whole_or_not_at_all() {
        let renamed = |body: &str| renamed(&Bytes::copy_from_slice(body.as_bytes()), "M").ok();
        let whole = renamed(r#"{"model":"m","input":[1.5,"x"],"more":{"a":null}}"#);
        let expected = r#"{"model":"M","input":[1.5,"x"],"more":{"a":null}}"#;
        assert_eq!(whole.as_deref(), Some(expected));
        let deep = format!(
            r#"{{"model":"m","x":{}{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        assert_eq!(renamed(&deep), None);
        assert_eq!(renamed(r#"{"model":"m","x":1e400}"#), None);
    }
}
