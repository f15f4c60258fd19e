//! How a request names a model: with a bundle or without, in its path or in its body.

use std::sync::Arc;

use axum::body::Bytes;
use hyper::Uri;
use hyper::http::uri::InvalidUri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::problem::Problem;
use super::route::Op;

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

/// The body with another model's name.
pub(super) fn renamed(body: &Bytes, model: &str) -> String {
    let mut whole: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(whole) = whole.as_object_mut() {
        whole.insert("model".to_owned(), json!(model));
    }
    whole.to_string()
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
}
