//! What requests get.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Request, Response, StatusCode};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};

use super::{Answer, Counted, State, never};

/// How much of a body is kept.
const KEPT: usize = 64 << 10;

/// What a worker does with a request.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Answers after a batch.
    Ok,
    /// Never answers.
    Hang,
    /// Never answers, nor reads the body.
    Deaf,
    /// A failure with a code, as SIE's workers tell them; seconds for `Retry-After`.
    Coded(StatusCode, &'static str, Option<u64>),
    /// What a worker says that is being ended: 503 without a code.
    Draining,
    /// The connection ends before an answer.
    Reset,
    /// The connection ends in the middle of the answer, whose length was told.
    Cut,
    /// The answer begins and stands still.
    Stall,
    /// An answer that is compressed.
    Gzip,
    /// The request's own body, as it comes.
    Echo,
    /// How many bytes came.
    Count,
    /// As many bytes, in pieces.
    Bytes(u64),
    /// Exactly this.
    Raw(StatusCode, Vec<(&'static str, &'static str)>, &'static str),
}

pub(super) fn json(status: StatusCode, value: &Value) -> Answer {
    whole(status, "application/json", value.to_string())
}

pub(super) fn empty(status: StatusCode) -> Answer {
    let body = Full::new(Bytes::new()).map_err(never).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    let length = HeaderValue::from(body.len());
    let mut answer = Response::new(Full::new(body).map_err(never).boxed_unsync());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        HeaderName::from_static("x-sie-server-version"),
        HeaderValue::from_static("0.2.0"),
    );
    answer
}

fn streamed(
    pieces: impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
) -> Answer {
    let body = StreamBody::new(pieces.map(|piece| piece.map(Frame::data)));
    Response::new(body.boxed_unsync())
}

fn broken() -> std::io::Error {
    std::io::Error::other("the worker broke, as it was told to")
}

/// The answer, with `open` kept until it is written.
pub(super) async fn inference(
    state: &Arc<State>,
    place: usize,
    open: Counted,
    request: Request<Incoming>,
) -> Result<Answer, std::io::Error> {
    let (mode, profile) = {
        let behaviour = state.behaviour();
        let strict = behaviour.strict.then(|| behaviour.profile.clone());
        (behaviour.mode.clone(), strict)
    };
    let asked = request.headers().get("x-sie-machine-profile");
    if let (Some(profile), Some(asked)) = (&profile, asked)
        && !asked.as_bytes().eq_ignore_ascii_case(profile.as_bytes())
    {
        let detail = json!({"code": "INVALID_INPUT", "message": "another machine profile"});
        return Ok(json(StatusCode::BAD_REQUEST, &json!({"detail": detail})));
    }
    let answer = match mode {
        Mode::Echo => {
            let pieces = BodyStream::new(request.into_body()).filter_map(|frame| async {
                match frame {
                    Ok(frame) => frame.into_data().ok().map(Ok),
                    Err(why) => Some(Err(std::io::Error::other(why))),
                }
            });
            streamed(pieces)
        }
        Mode::Deaf => {
            let _unread = request;
            std::future::pending().await
        }
        mode => {
            let (head, body) = request.into_parts();
            take(state, place, body).await?;
            of(&mode, state, place, &head).await?
        }
    };
    // The guard goes with the body.
    Ok(answer.map(|body| {
        body.map_frame(move |frame| {
            let _ = &open;
            frame
        })
        .boxed_unsync()
    }))
}

async fn of(
    mode: &Mode,
    state: &Arc<State>,
    place: usize,
    head: &hyper::http::request::Parts,
) -> Result<Answer, std::io::Error> {
    Ok(match mode {
        Mode::Ok => {
            state.batched().await;
            result(state, place, head)
        }
        Mode::Hang => std::future::pending().await,
        Mode::Coded(status, code, after) => {
            let detail = json!({"code": code, "message": "as it was told to"});
            let mut answer = json(*status, &json!({"detail": detail}));
            if let Some(after) = after {
                let headers = answer.headers_mut();
                headers.insert(RETRY_AFTER, HeaderValue::from(*after));
            }
            answer
        }
        Mode::Draining => {
            let body = json!({"error": "Server is shutting down", "detail": "try elsewhere"});
            let mut answer = json(StatusCode::SERVICE_UNAVAILABLE, &body);
            let headers = answer.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            answer
        }
        Mode::Reset => return Err(broken()),
        Mode::Cut => {
            let pieces = [Ok(Bytes::from_static(b"{\"half\": ")), Err(broken())];
            // Apart, so that the first is written before the connection ends.
            let pieces = stream::iter(pieces).then(|piece| async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                piece
            });
            let mut answer = streamed(pieces);
            let headers = answer.headers_mut();
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("1000"));
            answer
        }
        Mode::Stall => {
            let first = stream::iter([Ok(Bytes::from_static(b"{\"half\": "))]);
            streamed(first.chain(stream::pending()))
        }
        Mode::Gzip => {
            let level = flate2::Compression::default();
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(&b"compressed ".repeat(100))?;
            let mut answer = whole(StatusCode::OK, "application/json", writer.finish()?);
            let headers = answer.headers_mut();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            answer
        }
        Mode::Count => {
            let bytes = state.seen.lock().unwrap()[place].bytes;
            json(StatusCode::OK, &json!({"bytes": bytes}))
        }
        Mode::Bytes(count) => {
            const PIECE: u64 = 64 << 10;
            let pieces = (0..count.div_ceil(PIECE)).map({
                let count = *count;
                move |piece| {
                    let size = PIECE.min(count - piece * PIECE);
                    Ok(Bytes::from(vec![b'x'; usize::try_from(size).unwrap()]))
                }
            });
            streamed(stream::iter(pieces))
        }
        Mode::Raw(status, headers, body) => {
            let mut answer = whole(*status, "text/plain", *body);
            for (name, value) in headers {
                let name = HeaderName::from_static(name);
                answer
                    .headers_mut()
                    .append(name, HeaderValue::from_static(value));
            }
            answer
        }
        Mode::Echo | Mode::Deaf => unreachable!("answered before the body is read"),
    })
}

/// Reads the whole body and notes its beginning.
async fn take(state: &State, place: usize, mut body: Incoming) -> Result<(), std::io::Error> {
    let (mut kept, mut bytes) = (Vec::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(std::io::Error::other)?;
        if let Some(data) = frame.data_ref() {
            bytes += data.len() as u64;
            let room = KEPT.saturating_sub(kept.len()).min(data.len());
            kept.extend_from_slice(&data[..room]);
        }
    }
    let mut seen = state.seen.lock().unwrap();
    seen[place].body = Bytes::from(kept);
    seen[place].bytes = bytes;
    Ok(())
}

/// A result with arrays of numpy in msgpack, or lists in JSON, by SIE's rule for `Accept`.
fn result(state: &State, place: usize, head: &hyper::http::request::Parts) -> Answer {
    let accept = head
        .headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let as_json = accept
        .is_some_and(|accept| !accept.contains("msgpack") && accept.contains("application/json"));
    let name = state.behaviour().name.clone();
    let path = head.uri.path();
    let mut parts = path.trim_start_matches("/v1/").splitn(2, '/');
    let (operation, model) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let body = state.seen.lock().unwrap()[place].body.clone();
    let asked: Value = serde_json::from_slice(&body)
        .ok()
        .or_else(|| rmp_serde::from_slice(&body).ok())
        .unwrap_or_default();
    let count = asked["items"].as_array().map_or(1, Vec::len);
    let answer = match operation {
        "encode" => Of::Encode { model, count },
        "score" => {
            let score =
                |item| json!({"item_id": format!("item-{item}"), "score": 0.5, "rank": item});
            let scores: Vec<_> = (0..count).map(score).collect();
            Of::Plain(json!({"model": model, "query_id": null, "scores": scores}))
        }
        "extract" => {
            let item = |item| json!({"id": format!("item-{item}"), "entities": [], "data": {}});
            let items: Vec<_> = (0..count).map(item).collect();
            Of::Plain(json!({"model": model, "items": items}))
        }
        _ => Of::Plain(json!({"worker": name, "path": path})),
    };
    let mut answer = if as_json {
        let text = serde_json::to_string(&AsJson(&answer)).unwrap();
        whole(StatusCode::OK, "application/json", text)
    } else {
        let bytes = rmp_serde::to_vec_named(&answer).unwrap();
        whole(StatusCode::OK, "application/msgpack", bytes)
    };
    let headers = answer.headers_mut();
    let name = HeaderValue::from_str(&name).unwrap();
    headers.insert(HeaderName::from_static("x-fake-name"), name);
    answer
}

/// A result, of which arrays are written as numpy's.
enum Of<'a> {
    Encode { model: &'a str, count: usize },
    Plain(Value),
}

/// The same with arrays as lists.
struct AsJson<'a>(&'a Of<'a>);

const DENSE: [f32; 4] = [0.5, -0.5, 0.25, 1.0];

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Of::Plain(value) => value.serialize(serializer),
            Of::Encode { model, count } => {
                let dense = json!({"dims": 4, "dtype": "float32", "values": DENSE});
                let items = vec![json!({"dense": dense}); *count];
                json!({"model": model, "items": items, "timing": null}).serialize(serializer)
            }
        }
    }
}

impl Serialize for Of<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::Encode { model, count } => {
                let mut map = serializer.serialize_map(Some(3))?;
                map.serialize_entry("model", model)?;
                map.serialize_entry("items", &vec![Item; *count])?;
                map.serialize_entry("timing", &())?;
                map.end()
            }
        }
    }
}

#[derive(Clone)]
struct Item;

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("dense", &Dense)?;
        map.end()
    }
}

struct Dense;

impl Serialize for Dense {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("dims", &4)?;
        map.serialize_entry("dtype", "float32")?;
        map.serialize_entry("values", &Array)?;
        map.end()
    }
}

/// `DENSE` as msgpack-numpy writes it: a map whose keys are bytes.
struct Array;

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde_bytes::Bytes;
        let data: Vec<u8> = DENSE
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry(Bytes::new(b"nd"), &true)?;
        map.serialize_entry(Bytes::new(b"type"), "<f4")?;
        map.serialize_entry(Bytes::new(b"kind"), Bytes::new(b""))?;
        map.serialize_entry(Bytes::new(b"shape"), &[4])?;
        map.serialize_entry(Bytes::new(b"data"), Bytes::new(&data))?;
        map.end()
    }
}
