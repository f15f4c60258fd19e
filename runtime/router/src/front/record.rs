//! What is noted of a request: counted when its answer has ended, and told in the audit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::{Method, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::proxy::Served;

/// What is counted of a request whose client left before it was answered.
const CLIENT_LEFT: u16 = 499;

/// What is noted of a request. It is counted, and told if somebody is to be told, when it is dropped:
/// with the last byte of the answer, or when the client leaves.
pub(crate) struct Record {
    metrics: Arc<Metrics>,
    endpoint: &'static str,
    method: Method,
    id: Arc<str>,
    started: Instant,
    status: u16,
    /// When the head was ready, and, for the audit, the first byte of the body.
    head: Option<Duration>,
    first: Option<Duration>,
    bytes: u64,
    complete: bool,
    /// What is known of the worker that answered.
    pub(crate) served: Option<Served>,
    /// A place among the requests that are worked on.
    pub(crate) place: Option<OwnedSemaphorePermit>,
    pub(crate) audit: Option<Audit>,
}

/// What the audit tells of a request beyond what is known of all.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) event: &'static str,
    /// With stars for most of it.
    pub(crate) token: Option<Arc<str>>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) pool: Option<Arc<str>>,
    pub(crate) gpu: Option<Arc<str>>,
}

impl Record {
    pub(crate) fn begin(
        metrics: &Arc<Metrics>,
        endpoint: &'static str,
        method: &Method,
        id: &Arc<str>,
    ) -> Self {
        metrics.in_flight.inc();
        Self {
            metrics: Arc::clone(metrics),
            endpoint,
            method: method.clone(),
            id: Arc::clone(id),
            started: Instant::now(),
            status: CLIENT_LEFT,
            head: None,
            first: None,
            bytes: 0,
            complete: false,
            served: None,
            place: None,
            audit: None,
        }
    }

    /// The response, whose end is the end of the record.
    pub(crate) fn track(mut self, mut response: Response<Body>) -> Response<Tracked> {
        self.head = Some(self.started.elapsed());
        self.status = response.status().as_u16();
        // Answers of RoutIR's endpoints bring it along.
        self.served = (self.served.take()).or_else(|| response.extensions_mut().remove());
        // No body follows.
        self.complete = self.method == Method::HEAD;
        response.map(|body| Tracked { body, record: self })
    }

    fn tell(&self, audit: &Audit, end: Duration) {
        let worker = self.served.as_ref().map(|served| served.worker.name());
        tracing::info!(
            target: "sie_router.audit",
            event = audit.event,
            method = self.method.as_str(),
            endpoint = self.endpoint,
            status = self.status,
            token_id = audit.token.as_deref(),
            model = audit.model.as_deref(),
            pool = audit.pool.as_deref(),
            gpu = audit.gpu.as_deref(),
            worker = worker.as_deref(),
            latency_ms = self.head.map(tenths),
            first_byte_ms = self.first.map(tenths),
            total_ms = tenths(end),
            body_bytes = self.served.as_ref().map(Served::bytes_in),
            response_bytes = self.bytes,
            complete = self.complete,
            request_id = &*self.id,
        );
    }
}

/// Milliseconds with one decimal.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

impl Drop for Record {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        let end = self.started.elapsed();
        let none = || Arc::from("unknown");
        let profile = self.served.as_ref();
        let profile = profile.map_or_else(none, |served| Arc::clone(&served.profile));
        let head = self.head.unwrap_or(end);
        self.metrics
            .answered(self.endpoint, self.status, &profile, head, end);
        if let Some(audit) = self.audit.take() {
            self.tell(&audit, end);
        }
    }
}

/// The body of an answer, of which is noted how it goes.
pub(crate) struct Tracked {
    body: Body,
    record: Record,
}

impl hyper::body::Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let record = &mut self.record;
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    record.bytes += data.len() as u64;
                }
                if record.first.is_none() && record.audit.is_some() {
                    record.first = Some(record.started.elapsed());
                }
            }
            Poll::Ready(Some(Err(why))) => {
                tracing::info!(id = &*record.id, %why, "an answer ended early");
            }
            Poll::Ready(None) => record.complete = true,
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.record.complete = true;
        }
    }
}
