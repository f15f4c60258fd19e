//! Calls of workers over gRPC.
//!
//! A worker that cannot be reached, that hangs up or that says `UNAVAILABLE` before any message is
//! passed over for the next.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::http::request::Parts;
use hyper::{Request, Response, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use routir_core::{BoxFuture, Error, ErrorCode, Result};

use super::Fleet;
use super::held::{Begun, NoAnswer, begun};
use super::start::Bounds;
use crate::dial::Connector;
use crate::proxy::{Held, MAX_LOST};
use crate::spread::Carry;
use crate::want::Want;
use crate::worker::{Outcome, Worker};

/// How often a connection's other end is asked whether it lives, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(90);
pub(super) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const WORKER: HeaderName = HeaderName::from_static("x-sie-worker");
const POOL: HeaderName = HeaderName::from_static("x-sie-pool");
const MACHINE_PROFILE: HeaderName = HeaderName::from_static("x-sie-machine-profile");

/// Calls workers over gRPC.
pub(crate) struct Calling {
    fleet: Arc<Fleet>,
    http: Client<Connector, Body>,
    /// The key that workers ask for, as their header.
    key: Option<HeaderValue>,
    /// How long a worker may take until it begins to answer.
    header_timeout: Duration,
}

impl Calling {
    pub(super) fn new(fleet: Arc<Fleet>, bounds: Bounds) -> Self {
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
            fleet,
            http,
            key: bounds.key,
            header_timeout: bounds.header_timeout,
        }
    }

    /// Hands a call on to a worker that has what is wanted; `None` when nobody of those listens for
    /// gRPC.
    ///
    /// # Errors
    /// When no worker is there that could answer, none did, or time is over.
    pub(super) async fn hand_on(
        &self,
        want: &Want,
        head: &Parts,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Option<Response<Body>>> {
        let mut tried = Vec::new();
        let mut last = None;
        let mut lost = 0;
        let mut left = None;
        loop {
            let next = self.fleet.pick(want, &tried);
            let stays = next.is_none();
            // Nobody is better than who was waited for.
            let Some(worker) = next.or_else(|| left.take()) else {
                break;
            };
            tried.push(worker.id());
            let Some(address) = address(&worker) else {
                continue;
            };
            if last.is_some() {
                self.fleet.proxy.passed_on();
            }
            let mut held = self.fleet.hold(&worker, want, deadline, stays).await?;
            if held.is_none() {
                left = Some(worker);
                continue;
            }
            let attempt = self.attempt(&worker, &address, head, body, deadline, &mut held);
            match attempt.await {
                Ok(response) => return Ok(Some(response)),
                Err(Failed::Over(error)) => return Err(error),
                Err(Failed::Next(error)) => last = Some(error),
                Err(Failed::Lost(error)) => {
                    lost += 1;
                    if lost >= MAX_LOST {
                        return Err(spared(&error));
                    }
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) => Err(error),
            None if tried.is_empty() => Err(self.fleet.nobody_for(want)),
            None => Ok(None),
        }
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
        let unavailable = |message| Error::new(ErrorCode::Unavailable, message);
        let next = |message| Failed::Next(unavailable(message));
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
            let unsent = why.is_connect();
            let why = told(&why);
            let message = format!("worker {address} does not answer over gRPC: {why}");
            match unsent {
                true => {
                    settle(Some(Outcome::ConnectFailed));
                    next(message)
                }
                false => {
                    settle(Some(Outcome::Reset));
                    Failed::Lost(unavailable(message))
                }
            }
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
            // As the same over REST: it says nothing about the worker as a whole.
            NoAnswer::Lacking(why) => {
                settle(Some(Outcome::Answered));
                next(format!("worker {address} cannot: {why}"))
            }
            NoAnswer::Broken(why) => {
                settle(Some(Outcome::Reset));
                let message = format!("worker {address} hung up before it answered: {why}");
                Failed::Lost(unavailable(message))
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

    /// Makes a client's headers fit for workers.
    pub(super) fn fit(&self, headers: &mut HeaderMap) {
        headers.remove(HOST);
        headers.remove(&POOL);
        headers.remove(&MACHINE_PROFILE);
        headers.remove(AUTHORIZATION);
        if let Some(key) = &self.key {
            headers.insert(AUTHORIZATION, key.clone());
        }
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

impl Carry for Calling {
    fn carry<'a>(
        &'a self,
        want: &'a Want,
        request: Request<Body>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Response<Body>>> {
        self.fleet.carry(want, request, deadline)
    }

    fn call<'a>(
        &'a self,
        want: &'a Want,
        request: Request<Bytes>,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Response<Body>>> {
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            self.fit(&mut head.headers);
            let answer = self.hand_on(want, &head, &body, deadline).await?;
            answer.ok_or_else(|| {
                let message = "no worker that has what the request needs listens for gRPC";
                Error::new(ErrorCode::Unavailable, message)
            })
        })
    }
}

/// Why an attempt gave no answer.
enum Failed {
    /// Another worker may do better.
    Next(Error),
    /// The same, and this one broke with the call.
    Lost(Error),
    /// Nobody can help.
    Over(Error),
}

/// What is told when a call broke so many workers that no other is asked. Not that it is worth
/// trying again, which would break more of them.
fn spared(error: &Error) -> Error {
    let message = error.message();
    let message =
        format!("{message}; {MAX_LOST} workers broke with this call, so no other is asked");
    Error::new(ErrorCode::EngineFailure, message)
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
