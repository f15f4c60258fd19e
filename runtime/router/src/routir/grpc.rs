//! RoutIR's endpoints over gRPC: as bytes to a worker that has all of it, or to the router itself.
//!
//! A call is read to its end before it is handed on: all of the contract's requests are one message.
//! Answers stream. A worker that cannot be reached, that hangs up or that says `UNAVAILABLE` before
//! any message is passed over for the next.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::http::request::Parts;
use hyper::{Request, Response, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prost::Message;
use routir_core::{Error, ErrorCode, Placement, Role};
use routir_listen::RequestId;
use routir_proto::{rt, v1};

use super::held::{Begun, NoAnswer, begun};
use super::side::want;
use super::start::Bounds;
use super::{Side, peek, refusal};
use crate::dial::Connector;
use crate::proxy::Held;
use crate::spread::Known;
use crate::want::Need;
use crate::worker::{Outcome, Worker};

/// How long a call may take whose client says nothing.
const LONGEST: Duration = Duration::from_secs(600);
/// How often a connection's other end is asked whether it lives, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(90);
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const WORKER: HeaderName = HeaderName::from_static("x-sie-worker");
const POOL: HeaderName = HeaderName::from_static("x-sie-pool");
const MACHINE_PROFILE: HeaderName = HeaderName::from_static("x-sie-machine-profile");

/// Hands calls on.
pub(crate) struct Calls {
    side: Arc<Side>,
    http: Client<Connector, Body>,
    /// The key that workers ask for, as their header.
    key: Option<HeaderValue>,
    /// How long a worker may take until it begins to answer.
    header_timeout: Duration,
}

impl Calls {
    pub(crate) fn new(side: Arc<Side>, bounds: Bounds) -> Self {
        let http = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http2_only(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            // Workers bound what they hold of one request; so do clients.
            .http2_adaptive_window(true)
            .build(Connector::new(bounds.dialer));
        Self {
            side,
            http,
            key: bounds.key,
            header_timeout: bounds.header_timeout,
        }
    }

    /// Answers a call that may be worked on by the workers of `placement`.
    pub(crate) async fn answer(
        &self,
        request: Request<Body>,
        placement: Placement,
    ) -> Response<Body> {
        let began = Instant::now();
        let path = request.uri().path();
        if !is_work(path) || self.side.been_here(request.headers()) {
            return self.local(request, placement).await;
        }
        let id = RequestId::of(request.headers());
        let (head, body) = request.into_parts();
        let body = match self.side.read(body).await {
            Ok(body) => body,
            Err(error) => return refusal::grpc(&error, &id.text),
        };
        let need = need(head.uri.path(), &body, &self.side.known.load());
        let want = need.map(|need| want(&placement, need));
        let Some(want) = want.filter(|want| self.side.fleet.hosts(want)) else {
            return self
                .local(Request::from_parts(head, Body::from(body)), placement)
                .await;
        };
        let asked = head.headers.get(&TIMEOUT).and_then(timeout);
        let deadline = began + asked.unwrap_or(LONGEST).min(LONGEST);
        let mut head = head;
        head.headers.insert(RequestId::HEADER, id.header.clone());
        self.fit(&mut head.headers);
        let mut tried = Vec::new();
        let mut last = None;
        while let Some(worker) = self.side.fleet.pick(&want, &tried) {
            tried.push(worker.id());
            let Some(address) = address(&worker) else {
                continue;
            };
            if last.is_some() {
                self.side.fleet.proxy.passed_on();
            }
            let held = self.side.fleet.hold(&worker, &want, deadline).await;
            let mut held = match held {
                Ok(held) => Some(held),
                Err(error) => return refusal::grpc(&error, &id.text),
            };
            let attempt = self.attempt(&worker, &address, &head, &body, deadline, &mut held);
            match attempt.await {
                Ok(response) => return response,
                Err(Failed::Over(error)) => return refusal::grpc(&error, &id.text),
                Err(Failed::Next(error)) => last = Some(error),
            }
        }
        if last.is_none() && !tried.is_empty() {
            // Nobody of them listens for gRPC; the router can ask them over REST.
            return self
                .local(Request::from_parts(head, Body::from(body)), placement)
                .await;
        }
        let none = || {
            Error::new(
                ErrorCode::Unavailable,
                "no worker is there that could answer",
            )
        };
        refusal::grpc(&last.unwrap_or_else(none), &id.text)
    }

    async fn local(&self, mut request: Request<Body>, placement: Placement) -> Response<Body> {
        request.extensions_mut().insert(Arc::new(placement));
        self.side.local.grpc(request).await
    }

    /// Makes a client's headers fit for workers.
    fn fit(&self, headers: &mut HeaderMap) {
        headers.remove(HOST);
        headers.remove(&POOL);
        headers.remove(&MACHINE_PROFILE);
        headers.remove(AUTHORIZATION);
        if let Some(key) = &self.key {
            headers.insert(AUTHORIZATION, key.clone());
        }
        headers.insert(TE, HeaderValue::from_static("trailers"));
        self.side.sign(headers);
    }

    /// Asks one worker, whose place is in `held`.
    async fn attempt(
        &self,
        worker: &Worker,
        address: &str,
        head: &Parts,
        body: &Bytes,
        deadline: Instant,
        held: &mut Option<Held>,
    ) -> Result<Response<Body>, Failed> {
        let mut settle = |outcome| {
            if let Some(held) = held.take() {
                match outcome {
                    Some(outcome) => held.settle(outcome),
                    None => held.excused(),
                }
            }
        };
        let late = || {
            let message = "the deadline passed before a worker answered";
            Failed::Over(Error::new(ErrorCode::DeadlineExceeded, message))
        };
        let next = |message| Failed::Next(Error::new(ErrorCode::Unavailable, message));
        let left = deadline.saturating_duration_since(Instant::now());
        let request = self.request(address, head, body, left);
        let request = request.map_err(|why| {
            settle(None);
            next(format!("worker {address} has no address for gRPC: {why}"))
        })?;
        let wait = left.min(self.header_timeout);
        let Ok(sent) = tokio::time::timeout(wait, self.http.request(request)).await else {
            // A client that gives little time says nothing about the worker.
            settle((wait == self.header_timeout).then_some(Outcome::TimedOut));
            return Err(late());
        };
        let response = sent.map_err(|why| {
            settle(Some(match why.is_connect() {
                true => Outcome::ConnectFailed,
                false => Outcome::Reset,
            }));
            let why = told(&why);
            next(format!("worker {address} does not answer over gRPC: {why}"))
        })?;
        let Ok(answer) = tokio::time::timeout_at(deadline.into(), begun(response)).await else {
            settle(None);
            return Err(late());
        };
        let answer: Begun = answer.map_err(|why| match why {
            NoAnswer::Unavailable(why) => {
                settle(Some(Outcome::Draining));
                next(format!("worker {address} is not available: {why}"))
            }
            NoAnswer::Broken(why) => {
                settle(Some(Outcome::Reset));
                next(format!(
                    "worker {address} hung up before it answered: {why}"
                ))
            }
        })?;
        let held = held.take().ok_or_else(late)?;
        let mut response = answer.into_response(held, deadline);
        if let Ok(name) = HeaderValue::from_str(&worker.name()) {
            response.headers_mut().insert(WORKER, name);
        }
        Ok(response)
    }

    /// The call for the worker at `address`, which has so much time `left`.
    fn request(
        &self,
        address: &str,
        head: &Parts,
        body: &Bytes,
        left: Duration,
    ) -> Result<Request<Body>, hyper::http::uri::InvalidUri> {
        let uri = Uri::try_from(format!("{address}{}", head.uri.path()))?;
        let mut request = Request::new(Body::from(body.clone()));
        *request.method_mut() = head.method.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        *request.headers_mut() = head.headers.clone();
        // Eight digits at most.
        let milliseconds = left.as_millis().clamp(1, 99_999_999);
        if let Ok(value) = HeaderValue::try_from(format!("{milliseconds}m")) {
            request.headers_mut().insert(TIMEOUT, value);
        }
        Ok(request)
    }
}

/// Why an attempt gave no answer.
enum Failed {
    /// Another worker may do better.
    Next(Error),
    /// Nobody can help.
    Over(Error),
}

/// Where a worker listens for gRPC.
fn address(worker: &Worker) -> Option<String> {
    let facts = worker.facts_now();
    let port = facts.offer.as_ref()?.grpc_port?;
    let host = worker.authority().host();
    let scheme = match worker.is_encrypted() {
        true => "https",
        false => "http",
    };
    Some(format!("{scheme}://{host}:{port}"))
}

/// An error with what is behind it, since hyper's own text says little.
fn told(why: &dyn std::error::Error) -> String {
    let mut text = why.to_string();
    let mut behind = why.source();
    while let Some(why) = behind {
        let _ = write!(text, ": {why}");
        behind = why.source();
    }
    text
}

fn is_work(path: &str) -> bool {
    !matches!(label(path), "grpc_ping" | "grpc_avail" | "grpc_other")
}

/// Whether a call is answered without a token.
pub(crate) fn is_probe(path: &str) -> bool {
    label(path) == "grpc_ping" || path.starts_with("/grpc.health.v1.Health/")
}

/// A method's name in metrics and logs.
pub(crate) fn label(path: &str) -> &'static str {
    match path {
        "/routir.v1.Routir/Ping" => "grpc_ping",
        "/routir.v1.Routir/Avail" => "grpc_avail",
        "/routir.v1.Routir/Search" => "grpc_search",
        "/routir.v1.Routir/Score" => "grpc_score",
        "/routir.v1.Routir/Content" => "grpc_content",
        "/routir.v1.Routir/Pipeline" => "grpc_pipeline",
        "/routir_rt.v1.Pipelines/PipelineStream" => "grpc_pipeline_stream",
        _ => "grpc_other",
    }
}

/// What a call needs; `None` for what the router answers itself.
fn need(path: &str, body: &Bytes, known: &Known) -> Option<Need> {
    let message = message(body)?;
    let pipeline = |of: &str, collection: Option<&str>| peek::pipeline(of, collection, known);
    match path {
        "/routir.v1.Routir/Search" => {
            let call = v1::SearchRequest::decode(message).ok()?;
            peek::service(Role::Search, &call.service, known)
        }
        "/routir.v1.Routir/Score" => {
            let call = v1::ScoreRequest::decode(message).ok()?;
            peek::service(Role::Score, &call.service, known)
        }
        "/routir.v1.Routir/Content" => {
            let call = v1::ContentRequest::decode(message).ok()?;
            peek::content(&call.collection, known)
        }
        "/routir.v1.Routir/Pipeline" => {
            let call = v1::PipelineRequest::decode(message).ok()?;
            pipeline(&call.pipeline, call.collection.as_deref())
        }
        "/routir_rt.v1.Pipelines/PipelineStream" => {
            let call = rt::PipelineStreamRequest::decode(message).ok()?.call?;
            pipeline(&call.pipeline, call.collection.as_deref())
        }
        _ => None,
    }
}

/// The one message of a request, if it is one and not compressed.
fn message(body: &Bytes) -> Option<Bytes> {
    let (prefix, _) = body.split_at_checked(5)?;
    let (flag, length) = prefix.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let rest = body.slice(5..);
    (*flag == 0 && rest.len() == usize::try_from(length).ok()?).then_some(rest)
}

/// How long a caller waits, as `grpc-timeout` says.
fn timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_and_whole() {
        let framed = |bytes: &'static [u8]| message(&Bytes::from_static(bytes));
        assert_eq!(framed(&[0, 0, 0, 0, 2, 7, 8]).unwrap(), [7, 8].as_slice());
        assert_eq!(framed(&[0, 0, 0, 0, 0]).unwrap(), [].as_slice());
        for wrong in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 1, 7],
            &[0, 0, 0, 0, 2, 7],
            &[0, 0, 0, 0, 1, 7, 8],
            &[0, 255, 255, 255, 255],
        ] {
            assert_eq!(message(&Bytes::copy_from_slice(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        let read = |text: &'static str| timeout(&HeaderValue::from_static(text));
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("1500m"), Some(Duration::from_millis(1500)));
        for wrong in ["", "S", "-1S", "123456789S", "5x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
