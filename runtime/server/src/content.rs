//! The answer to `/content`: text in JSON; bytes in JSON, as they are, or as `multipart/mixed`.
//!
//! `Accept` says which: `application/octet-stream` or the view's own type (`image/jpeg`, `image/*`)
//! is for the bytes of one part, `multipart/mixed` for all parts, everything else for JSON. `?part=N`
//! names one part, counted from 0, in every form.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use routir_core::{Answer, BytesParts, Document, Error, Payload, Result};

use crate::encode::ContentReply;
use crate::reply::Reply;

const ANY_BYTES: &str = "application/octet-stream";
const MULTIPART: &str = "multipart/mixed";

/// The form in which a document is wanted.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Form {
    /// Media ranges, the most wanted first, in lower case.
    accept: Vec<String>,
    part: Option<usize>,
}

/// What an answer is written as.
#[derive(Debug, PartialEq)]
enum Kind {
    Json,
    Raw(HeaderValue),
    Multipart,
}

impl Form {
    /// What `request` asks for.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for a `part` that is no number.
    pub(crate) fn wanted<B>(request: &Request<B>) -> Result<Self> {
        let mut form = Self {
            accept: accepted(request.headers()),
            part: None,
        };
        let pairs = request.uri().query().unwrap_or_default().split('&');
        for value in pairs.filter_map(|pair| pair.strip_prefix("part=")) {
            let part = value.parse().map_err(|_| {
                Error::invalid("`part` must be the number of a part, counted from 0")
            })?;
            form.part = Some(part);
        }
        Ok(form)
    }

    /// The document in that form.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for a part that is not there, and for several
    /// parts where one must be named.
    pub(crate) fn reply(&self, collection: &str, answer: &Answer<Arc<Document>>) -> Result<Reply> {
        let document = &*answer.value;
        let bytes = match &document.payload {
            Payload::Text(text) => {
                if self.part.is_some() {
                    return Err(Error::invalid("the view is text, which has no parts"));
                }
                let reply = ContentReply::new(collection, answer, &[]);
                return Reply::json(&reply, 256 + text.len());
            }
            Payload::Bytes(bytes) => bytes,
        };
        let parts = self.parts(bytes)?;
        match self.kind(bytes) {
            Kind::Json => {
                let size: usize = parts.iter().map(|part| part.len() / 3 * 4 + 8).sum();
                Reply::json(&ContentReply::new(collection, answer, parts), 256 + size)
            }
            Kind::Raw(mime) => match parts {
                [one] => Ok(raw(mime, one.clone())),
                several => Err(Error::invalid(format!(
                    "document {} has {} parts; name one with `?part=`, or accept `{MULTIPART}`",
                    document.id,
                    several.len()
                ))),
            },
            Kind::Multipart => multipart(parts, &mime_of(bytes)),
        }
    }

    fn parts<'b>(&self, bytes: &'b BytesParts) -> Result<&'b [Bytes]> {
        let Some(part) = self.part else {
            return Ok(&bytes.parts);
        };
        let one = bytes.parts.get(part).map(std::slice::from_ref);
        one.ok_or_else(|| {
            let count = bytes.parts.len();
            Error::invalid(format!(
                "there is no part {part}: the document has {count}, counted from 0"
            ))
        })
    }

    /// The first media range that names something more than JSON, unless JSON stands before it.
    fn kind(&self, bytes: &BytesParts) -> Kind {
        let mime = mime_of(bytes);
        let own = mime.to_str().unwrap_or(ANY_BYTES).to_ascii_lowercase();
        let family = own.split('/').next().unwrap_or_default();
        for range in &self.accept {
            match range.as_str() {
                MULTIPART => return Kind::Multipart,
                ANY_BYTES => return Kind::Raw(HeaderValue::from_static(ANY_BYTES)),
                range if range == own => return Kind::Raw(mime),
                "application/json" | "*/*" | "application/*" => return Kind::Json,
                range if range.strip_suffix("/*") == Some(family) => return Kind::Raw(mime),
                _ => {}
            }
        }
        Kind::Json
    }
}

/// The media ranges of `Accept`, the most wanted first; those of weight 0 are left out.
fn accepted(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::ACCEPT).into_iter();
    let ranges = values.filter_map(|value| value.to_str().ok());
    let ranges = ranges.flat_map(|value| value.split(',')).map(|range| {
        let mut pieces = range.split(';').map(str::trim);
        let name = pieces.next().unwrap_or_default().to_ascii_lowercase();
        let weight = pieces.find_map(|piece| piece.strip_prefix("q="));
        let weight = weight.map_or(1.0, |weight| weight.parse::<f64>().unwrap_or(0.0));
        (name, weight)
    });
    let mut ranges: Vec<_> = ranges.filter(|(_, weight)| *weight > 0.0).collect();
    ranges.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    ranges.into_iter().map(|(name, _)| name).collect()
}

/// The view's type; any bytes where it has none, or none that a header can hold.
fn mime_of(bytes: &BytesParts) -> HeaderValue {
    let mime = bytes.mime.as_deref();
    mime.and_then(|mime| HeaderValue::from_str(mime).ok())
        .unwrap_or(HeaderValue::from_static(ANY_BYTES))
}

fn raw(mime: HeaderValue, body: Bytes) -> Reply {
    let mut reply = Reply::ok("", body);
    reply.content_type = None;
    reply.headers.insert(header::CONTENT_TYPE, mime);
    // A document is not to become a page of this server because it looks like one.
    let sniff = HeaderValue::from_static("nosniff");
    reply.headers.insert(header::X_CONTENT_TYPE_OPTIONS, sniff);
    reply
}

fn multipart(parts: &[Bytes], mime: &HeaderValue) -> Result<Reply> {
    // Random, so that no document can hold it on purpose, and too long to do so by chance.
    let random = RandomState::new();
    let boundary = format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1));
    let size: usize = parts.iter().map(|part| part.len() + 160).sum();
    let mut body = Vec::with_capacity(size + 64);
    for part in parts {
        body.extend_from_slice(format!("--{boundary}\r\nContent-Type: ").as_bytes());
        body.extend_from_slice(mime.as_bytes());
        let length = format!("\r\nContent-Length: {}\r\n\r\n", part.len());
        body.extend_from_slice(length.as_bytes());
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let whole = HeaderValue::from_str(&format!("{MULTIPART}; boundary={boundary}"));
    let whole = whole.map_err(|error| Error::internal(format!("a boundary: {error}")))?;
    Ok(raw(whole, body.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use routir_core::CallStats;

    fn form(accept: &str, query: &str) -> Result<Form> {
        let request = Request::builder()
            .uri(format!("/content{query}"))
            .header(header::ACCEPT, accept)
            .body(())
            .unwrap();
        Form::wanted(&request)
    }

    fn answer(parts: &[&'static [u8]], mime: Option<&str>) -> Answer<Arc<Document>> {
        let parts: Vec<_> = parts.iter().map(|part| Bytes::from_static(part)).collect();
        let bytes = BytesParts {
            parts: parts.into(),
            mime: mime.map(Arc::from),
        };
        let document = Document {
            id: "d".into(),
            payload: Payload::Bytes(bytes),
            title: None,
            language: None,
        };
        Answer::now(Arc::new(document), CallStats::default())
    }

    fn content_type(reply: &Reply) -> &str {
        match reply.content_type {
            Some(content_type) => content_type,
            None => reply.headers[header::CONTENT_TYPE].to_str().unwrap(),
        }
    }

    #[test]
    fn the_most_wanted_form_is_answered() {
        let jpeg = answer(&[b"\xff\xd8"], Some("image/jpeg"));
        for (accept, expected) in [
            ("", "application/json"),
            ("*/*", "application/json"),
            ("text/html", "application/json"),
            ("image/jpeg", "image/jpeg"),
            ("image/*", "image/jpeg"),
            ("image/png", "application/json"),
            ("IMAGE/JPEG;q=0.5, */*;q=0.1", "image/jpeg"),
            ("image/jpeg;q=0.5, application/json", "application/json"),
            ("image/jpeg;q=0", "application/json"),
            ("application/octet-stream", "application/octet-stream"),
        ] {
            let reply = form(accept, "").unwrap().reply("c", &jpeg).unwrap();
            assert_eq!(content_type(&reply), expected, "{accept}");
        }
        let nameless = answer(&[b"x"], None);
        let reply = form("application/octet-stream", "").unwrap();
        let reply = reply.reply("c", &nameless).unwrap();
        assert_eq!((content_type(&reply), &*reply.body), (ANY_BYTES, &b"x"[..]));
    }

    #[test]
    fn parts_are_named_or_come_together() {
        let two = answer(&[b"one\r\n", b"two"], Some("audio/wav"));
        let raw = |query| form("audio/wav", query).unwrap().reply("c", &two);
        let ambiguous = raw("").unwrap_err();
        assert!(ambiguous.message().contains("has 2 parts"), "{ambiguous}");
        assert_eq!(&*raw("?part=0").unwrap().body, b"one\r\n");
        assert_eq!(&*raw("?x=1&part=1").unwrap().body, b"two");
        assert!(raw("?part=2").unwrap_err().message().contains("no part 2"));
        assert!(form("", "?part=-1").is_err());

        let whole = form(MULTIPART, "").unwrap().reply("c", &two).unwrap();
        let boundary = content_type(&whole).split("boundary=").nth(1).unwrap();
        let body = String::from_utf8(whole.body.to_vec()).unwrap();
        let part = |length, text| {
            format!(
                "--{boundary}\r\nContent-Type: audio/wav\r\nContent-Length: {length}\r\n\r\n{text}\r\n"
            )
        };
        let expected = part(5, "one\r\n") + &part(3, "two") + &format!("--{boundary}--\r\n");
        assert_eq!(body, expected);

        let json = form("", "").unwrap().reply("c", &two).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
        assert_eq!(json["data"], serde_json::json!(["b25lDQo=", "dHdv"]));
        assert_eq!(json["mime"], "audio/wav");
        assert!(json.get("text").is_none());
    }

    #[test]
    fn a_type_that_is_no_header_is_any_bytes() {
        let evil = answer(&[b"x"], Some("a/b\r\nX-Evil: 1"));
        let reply = form("application/octet-stream", "").unwrap();
        assert_eq!(content_type(&reply.reply("c", &evil).unwrap()), ANY_BYTES);
    }
}
