//! How a request names a model: with a bundle or without, in its path or in its body.

use std::ops::Range;
use std::sync::Arc;

use hyper::Uri;
use hyper::http::uri::InvalidUri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Deserializer;

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

/// The body with another model's name, and otherwise byte for byte as it came: numbers and nesting
/// are for the worker to read.
pub(super) fn renamed(body: &[u8], model: &str) -> Option<Vec<u8>> {
    let named = model_in(body)?;
    let name = serde_json::to_vec(model).ok()?;
    let (before, after) = (body.get(..named.start)?, body.get(named.end..)?);
    Some([before, &name, after].concat())
}

/// Where the value of `model` stands in an object.
fn model_in(object: &[u8]) -> Option<Range<usize>> {
    let mut at = past(object, 0, b'{')?;
    loop {
        let (key, end): (String, _) = read(object, at)?;
        let start = past(object, end, b':')?;
        let (_, end): (IgnoredAny, _) = read(object, start)?;
        if key == "model" {
            return Some(start..end);
        }
        at = past(object, end, b',')?;
    }
}

/// The JSON that stands at a place, and where it ends.
fn read<'a, T: Deserialize<'a>>(text: &'a [u8], at: usize) -> Option<(T, usize)> {
    let mut values = Deserializer::from_slice(text.get(at..)?).into_iter();
    let value = values.next()?.ok()?;
    Some((value, at + values.byte_offset()))
}

/// The place behind a character, before which white space may stand.
fn past(text: &[u8], at: usize, expected: u8) -> Option<usize> {
    let rest = text.get(at..)?;
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let spaces = rest.iter().take_while(is_space).count();
    (rest.get(spaces) == Some(&expected)).then_some(at + spaces + 1)
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
    fn a_body_is_as_it_was_but_for_the_name() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for (before, after) in [
            (r#"{"model":"#, "}".to_owned()),
            (
                " {\"a\" : {\"model\": 1}\n, \"m\\u006fdel\":",
                " , \"b\":1e400}".to_owned(),
            ),
            (
                r#"{"a":[true,"x\"}"],"b":-1.50,"c":null,"model":"#,
                format!(r#","x":{deep}}}"#),
            ),
        ] {
            for name in [r#""m""#, r#" "a\/\u0062\"""#] {
                let body = format!("{before}{name}{after}");
                let renamed = renamed(body.as_bytes(), "M\"").unwrap();
                let renamed = String::from_utf8(renamed).unwrap();
                assert_eq!(renamed, format!(r#"{before}"M\""{after}"#));
            }
        }
        for nothing in [
            "",
            "{}",
            "[]",
            r#"{"model""#,
            r#"{"a":1}"#,
            r#"{"a":x,"model":"m"}"#,
        ] {
            assert_eq!(renamed(nothing.as_bytes(), "M"), None, "{nothing}");
        }
    }
}
