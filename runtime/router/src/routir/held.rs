//! A worker's answer over gRPC: whether it is one, and what it holds until its last byte is taken.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use tokio::time::{Sleep, sleep_until};

use crate::proxy::Held;
use crate::worker::Outcome;

/// gRPC's `UNAVAILABLE`.
const UNAVAILABLE: &[u8] = b"14";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const CODE: HeaderName = HeaderName::from_static("routir-error-code");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Why what came is no answer, so that another worker may be asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The worker says that it is not available.
    Unavailable(String),
    /// A worker of this project says that something that the call needs is not.
    Lacking(String),
    /// The connection ended before any message.
    Broken(String),
}

/// An answer whose beginning has been looked at.
pub(super) struct Begun {
    response: Response<Incoming>,
    first: Option<Frame<Bytes>>,
}

/// Waits until it is known whether `response` is an answer: for its first message or its end.
pub(super) async fn begun(mut response: Response<Incoming>) -> Result<Begun, NoAnswer> {
    if let Some(why) = unavailable(response.headers()) {
        return Err(why);
    }
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        return Err(NoAnswer::Unavailable("HTTP 503".to_owned()));
    }
    let body = response.body_mut();
    let first = match body.is_end_stream() {
        true => None,
        false => poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await,
    };
    let first = first.transpose();
    let first = first.map_err(|why| NoAnswer::Broken(why.to_string()))?;
    match first.as_ref().and_then(Frame::trailers_ref) {
        Some(trailers) => match unavailable(trailers) {
            Some(why) => Err(why),
            None => Ok(Begun { response, first }),
        },
        None => Ok(Begun { response, first }),
    }
}

/// What is said about not being available, if that is said.
fn unavailable(headers: &HeaderMap) -> Option<NoAnswer> {
    (headers.get(&STATUS)?.as_bytes() == UNAVAILABLE).then(|| {
        let told = headers.get(&MESSAGE).and_then(|told| told.to_str().ok());
        let told = percent_decode_str(told.unwrap_or_default());
        let told = told.decode_utf8_lossy().into_owned();
        match headers.contains_key(&CODE) {
            true => NoAnswer::Lacking(told),
            false => NoAnswer::Unavailable(told),
        }
    })
}

impl Begun {
    /// The response for the client, held at its worker until its last byte is taken, and ended at the
    /// deadline.
    pub(super) fn into_response(self, mut held: Held, deadline: Instant) -> Response<Body> {
        let Self { response, first } = self;
        held.began(Outcome::Answered);
        response.map(|body| {
            let mut answer = Answer {
                first,
                body: Some(body),
                deadline: Box::pin(sleep_until(deadline.into())),
                held: Some(held),
            };
            if answer.is_end_stream() {
                answer.end(Held::done);
            }
            Body::new(answer)
        })
    }
}

/// An answer on its way to the client.
struct Answer {
    first: Option<Frame<Bytes>>,
    /// `None` when it is over.
    body: Option<Incoming>,
    deadline: Pin<Box<Sleep>>,
    held: Option<Held>,
}

impl Answer {
    fn end(&mut self, how: impl FnOnce(Held)) {
        self.body = None;
        if let Some(held) = self.held.take() {
            how(held);
        }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match (self.first.take(), &mut self.body) {
            (Some(first), _) => Poll::Ready(Some(Ok(first))),
            (None, Some(body)) => Pin::new(body).poll_frame(cx),
            (None, None) => Poll::Ready(None),
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = self.next(cx) {
            match &frame {
                Some(Ok(frame)) if !frame.is_trailers() => {}
                Some(Err(_)) => self.end(|held| held.settle(Outcome::Reset)),
                _ => self.end(Held::done),
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)));
        }
        self.deadline.as_mut().poll(cx).map(|()| {
            self.end(Held::done);
            let mut trailers = HeaderMap::new();
            trailers.insert(STATUS, HeaderValue::from_static("4"));
            Some(Ok(Frame::trailers(trailers)))
        })
    }

    fn is_end_stream(&self) -> bool {
        let over = |body: &Incoming| body.is_end_stream();
        self.first.is_none() && self.body.as_ref().is_none_or(over)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
