//! RoutIR's endpoints over gRPC: as bytes to a worker that has all of it, or to the router itself.
//!
//! A call is read to its end before it is handed on: all of the contract's requests are one message.
//! Answers stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use prost::Message;
use routir_core::{Placement, Role};
use routir_listen::RequestId;
use routir_proto::{rt, v1};

use super::calling::{Calling, TIMEOUT};
use super::side::want;
use super::{Side, peek, refusal};
use crate::framing::message;
use crate::front::Until;
use crate::large;
use crate::spread::Known;
use crate::want::Need;

/// Answers calls.
pub(crate) struct Calls {
    side: Arc<Side>,
    calling: Arc<Calling>,
}

impl Calls {
    pub(crate) fn new(side: Arc<Side>, calling: Arc<Calling>) -> Self {
        Self { side, calling }
    }

    /// Answers a call that may be worked on by the workers of `placement`, and that may take so long
    /// or as long as its client says, whichever is less.
    pub(crate) async fn answer(
        &self,
        request: Request<Body>,
        placement: Placement,
        longest: Duration,
    ) -> Response<Body> {
        let began = Instant::now();
        if !is_work(request.uri().path()) {
            return self.local(request, placement).await;
        }
        let asked = request.headers().get(&TIMEOUT).and_then(timeout);
        let deadline = began + asked.unwrap_or(longest).min(longest);
        let mut response = self.work(request, placement, deadline).await;
        response.extensions_mut().insert(Until(deadline.into()));
        response
    }

    async fn work(
        &self,
        request: Request<Body>,
        placement: Placement,
        deadline: Instant,
    ) -> Response<Body> {
        let id = RequestId::of(request.headers());
        let (head, body) = request.into_parts();
        let body = match self.side.read(body).await {
            Ok(body) => body,
            Err(why) => return refusal::grpc(&self.side.unread(&why), &id.text),
        };
        let need = match self.side.been_here(&head.headers) {
            true => None,
            false => self.need(head.uri.path(), &body).await,
        };
        let want = need.map(|need| want(&placement, need));
        let Some(want) = want.filter(|want| self.side.fleet.hosts(want)) else {
            return self
                .local(Request::from_parts(head, Body::from(body)), placement)
                .await;
        };
        let mut onward = head.clone();
        onward.headers.insert(RequestId::HEADER, id.header.clone());
        self.calling.fit(&mut onward.headers);
        self.side.sign(&mut onward.headers);
        match self.calling.hand_on(&want, &onward, &body, deadline).await {
            Ok(Some(response)) => response,
            // Nobody of them listens for gRPC; the router can ask them over REST.
            Ok(None) => {
                let request = Request::from_parts(head, Body::from(body));
                self.local(request, placement).await
            }
            Err(error) => refusal::grpc(&error, &id.text),
        }
    }

    async fn need(&self, path: &str, body: &Bytes) -> Option<Need> {
        let (known, path) = (self.side.known.load_full(), path.to_owned());
        let need = large::look(body, move |body| need(&path, body, &known));
        need.await.flatten()
    }

    async fn local(&self, mut request: Request<Body>, placement: Placement) -> Response<Body> {
        request.extensions_mut().insert(Arc::new(placement));
        self.side.local.grpc(request).await
    }
}

/// Whether a worker, or a pipeline, is needed to answer a call.
pub(crate) fn is_work(path: &str) -> bool {
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
    fn timeouts_are_read_as_grpc_writes_them() {
        let read = |text: &'static str| timeout(&HeaderValue::from_static(text));
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("1500m"), Some(Duration::from_millis(1500)));
        for wrong in ["", "S", "-1S", "123456789S", "5x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
