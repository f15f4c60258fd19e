//! What holds for every call, whatever its method: an id, who asks and how much of it at once, a
//! panic that stays inside, metrics and a line in the log. REST's `front` does the same.

use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::http::{Request, Response};
use futures_util::FutureExt;
use hyper::body::Body as HttpBody;
use hyper::service::Service;
use routir_core::{Error, Placement, Result};
use routir_listen::RequestId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tracing::Instrument;
use tracing::field::Empty;

use super::bodies::Paced;
use super::leaving::Answer;
use super::method::Method;
use super::session::Session;
use super::{Inner, routir, status, timeout};
use crate::access::Caller;
use crate::app::State;
use crate::hop::Hop;
use crate::record::Record;

/// Answers a call by one of `services`.
///
/// Dropping the future, or the body that it answers with, cancels what it runs.
pub(crate) async fn answer<B>(
    app: Arc<State>,
    services: Inner,
    request: Request<B>,
) -> Result<Response<Answer>, Infallible>
where
    B: HttpBody<Data = Bytes, Error: fmt::Display> + Unpin + Send + 'static,
{
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let method = Method::of(request.uri().path());
    let record = Record::begin(Arc::clone(&app), method.label(), started);
    let span = tracing::info_span!(
        "request",
        endpoint = method.label(),
        id = &*id.text,
        tenant = Empty
    );
    let mut refused = None;
    let caller = app.access.caller(request.headers());
    let caller = caller
        .map_err(|why| refused = (!method.is_probe()).then_some(why))
        .ok();
    if let Some(Caller::Tenant(party)) = &caller {
        span.record("tenant", &*party.tenant.name);
    }
    let timeout = timeout::of(request.headers()).unwrap_or_else(|why| {
        refused = refused.take().or(Some(why));
        None
    });
    let hop = Hop::of(request.headers(), &app.options.server_id);
    let placement = request.extensions().get::<Arc<Placement>>().cloned();
    let session = Arc::new(Session {
        app,
        id,
        started,
        caller,
        hop,
        placement,
        timeout,
        ended: OnceLock::new(),
    });
    let mut place = None;
    let response = match refused {
        Some(why) => session.fail(&why).into_http(),
        None => {
            let call = admit_and_call(&session, method, services, request, &mut place);
            // Boxed, since what is around it is moved more than once on its way.
            let call = Box::pin(call);
            let called = AssertUnwindSafe(call).catch_unwind();
            let called = called.instrument(span.clone()).await;
            called.unwrap_or_else(|_| {
                // The panic hook has logged what and where.
                let error = Error::internal("the server made a mistake; its log says which");
                session.fail(&error).into_http()
            })
        }
    };
    let _entered = span.entered();
    Ok(leave(session, method, record, place, response))
}

/// Takes a tenant's place among its requests, and calls.
async fn admit_and_call<B>(
    session: &Arc<Session>,
    method: Method,
    services: Inner,
    request: Request<B>,
    place: &mut Option<OwnedSemaphorePermit>,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes, Error: fmt::Display> + Unpin + Send + 'static,
{
    if method.is_work()
        && let Some(party) = session.caller.as_ref().and_then(Caller::party)
    {
        match party.call() {
            Ok(taken) => *place = Some(taken),
            Err(full) => return session.fail(&full).into_http(),
        }
    }
    let patience = session.app.options.io_timeout;
    let request = request.map(|body| Paced::new(body, patience));
    let mut foreign = match routir::answer(session, method, request).await {
        Ok(response) => return response,
        Err(request) => request,
    };
    foreign.extensions_mut().insert(Arc::clone(session));
    match services.call(foreign).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// The response with its id, and with what ends when its last byte is taken.
fn leave(
    session: Arc<Session>,
    method: Method,
    record: Record,
    place: Option<OwnedSemaphorePermit>,
    mut response: Response<Body>,
) -> Response<Answer> {
    let refused = response.extensions().get::<Status>().map(Status::code);
    match refused {
        // Also what tonic refused before the method was asked.
        Some(code) => session.end(status::name(code)),
        None if method.is_foreign() => session.end("ok"),
        // Ours say themselves when they are done.
        None => {}
    }
    let mut id = session.id.header.clone();
    // There is no second one like it: it would only drive others out of the peers' tables.
    id.set_sensitive(true);
    response.headers_mut().insert(RequestId::HEADER, id);
    tracing::debug!(
        code = session.outcome().unwrap_or("streams"),
        took = ?session.started.elapsed(),
        "answered"
    );
    let until = match method {
        Method::PipelineStream => session.until(),
        // Answered, and out of the places of those that are worked on.
        _ => None,
    };
    response.map(|body| Answer::new(body, session, record, place, until))
}
