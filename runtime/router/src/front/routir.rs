//! RoutIR's endpoints, on both wires: who may ask, for which workers, and how many at once.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use routir_core::{Error, ErrorCode};
use routir_listen::RequestId;
use tracing::Instrument;

use super::State;
use super::leaving::Answer;
use super::placement::Placement;
use super::problem::Problem;
use super::record::Record;
use crate::auth::Act;
use crate::pools::DEFAULT;
use crate::proxy::SERVER_VERSION;
use crate::routir::{self, refusal};

impl State {
    /// Answers one of RoutIR's paths.
    pub(super) async fn routir(
        &self,
        request: Request<Body>,
        record: &mut Record,
    ) -> Response<Body> {
        let Some(endpoints) = &self.routir else {
            return Problem::not_found().response();
        };
        let id = RequestId::of(request.headers());
        let placed = match Placement::of(self, request.headers(), DEFAULT) {
            Ok(placed) => placed,
            Err(response) => return *response,
        };
        if routir::is_work(request.uri().path())
            && let Err(full) = self.admit(&request, &placed, record)
        {
            return refusal::rest(&full, &id.text);
        }
        let deadline = Instant::now() + self.options.request_timeout;
        let answer = endpoints.side.answer(request, placed.into(), deadline);
        answer.await
    }

    /// Notes who asks for what, and takes a place.
    fn admit(
        &self,
        request: &Request<Body>,
        placed: &Placement,
        record: &mut Record,
    ) -> Result<(), Error> {
        record.audit = self.audit("api_request", request.headers());
        if let Some(audit) = &mut record.audit {
            audit.pool.clone_from(&placed.pool);
            audit.gpu.clone_from(&placed.profile);
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.refuse("busy");
            let message = format!(
                "{} requests are being worked on, as many as this router takes; try again soon",
                self.options.max_in_flight
            );
            let full = Error::new(ErrorCode::Overloaded, message);
            return Err(full.with_retry_after(Duration::from_secs(1)));
        };
        record.place = Some(place);
        self.qps.count();
        Ok(())
    }

    async fn call(&self, request: Request<Body>, record: &mut Record) -> Response<Body> {
        let id = RequestId::of(request.headers());
        let refuse = |code, message: &str| refusal::grpc(&Error::new(code, message), &id.text);
        let act = match routir::is_probe(request.uri().path()) {
            true => Act::Probe,
            false => Act::Use,
        };
        if self.auth.check(act, request.headers()).is_err() {
            record.audit = self.audit("auth_failure", request.headers());
            self.metrics.refuse("unauthorized");
            let message = "a token is needed: `authorization: Bearer …`, or it is wrong";
            return refuse(ErrorCode::Unauthenticated, message);
        }
        let Some(endpoints) = &self.routir else {
            return refuse(
                ErrorCode::Unsupported,
                "this router has no RoutIR endpoints",
            );
        };
        let Ok(placed) = Placement::of(self, request.headers(), DEFAULT) else {
            let message = "no machine of that kind, or of that pool, can be had";
            return refuse(ErrorCode::UnknownName, message);
        };
        // What watches health is bounded where it is answered.
        if routir::is_call_for_work(request.uri().path())
            && let Err(full) = self.admit(&request, &placed, record)
        {
            return refusal::grpc(&full, &id.text);
        }
        let longest = self.options.request_timeout;
        let answer = endpoints.calls.answer(request, placed.into(), longest);
        answer.await
    }
}

/// Answers a call over gRPC. Dropping the future, or the body of the answer, cancels what it runs.
pub(crate) async fn call(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let id = RequestId::of(request.headers());
    let label = routir::call_label(request.uri().path());
    let mut record = Record::begin(&state.metrics, label, request.method(), &id.text);
    let span = tracing::info_span!("request", endpoint = label, id = &*id.text);
    let mut request = request.map(Body::new);
    request
        .headers_mut()
        .insert(RequestId::HEADER, id.header.clone());
    let handled = AssertUnwindSafe(state.call(request, &mut record));
    let handled = handled.catch_unwind().instrument(span).await;
    let mut response = handled.unwrap_or_else(|_| {
        // The panic hook has logged what and where.
        tracing::error!(id = &*id.text, "a handler panicked");
        let error = Error::internal("the router made a mistake; its log says which");
        refusal::grpc(&error, &id.text)
    });
    let headers = response.headers_mut();
    headers.insert(SERVER_VERSION, state.version.clone());
    headers.insert(RequestId::HEADER, id.header);
    Ok(state.leave(record.track(response)))
}

impl From<Placement> for routir_core::Placement {
    fn from(Placement { pool, profile }: Placement) -> Self {
        Self { pool, profile }
    }
}
