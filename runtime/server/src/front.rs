//! What holds for every request, whatever its endpoint: an id, who asks and how much of it at once,
//! CORS, a panic that stays inside, metrics and a line in the log.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use futures_util::FutureExt;
use routir_core::Error;
use routir_listen::RequestId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

use crate::access::Caller;
use crate::app::State;
use crate::cors;
use crate::endpoint::{Endpoint, is_probe};
use crate::failure::Failure;
use crate::handlers::{Call, handle};
use crate::hop::Hop;
use crate::record::Record;
use crate::reply::Reply;

/// Answers a request that the router found to be for `endpoint`.
///
/// Dropping the future (which is what happens when the client leaves) cancels what it runs.
pub(crate) async fn answer(
    app: Arc<State>,
    endpoint: Endpoint,
    request: Request<Body>,
) -> Response<Body> {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let mut record = Record::begin(Arc::clone(&app), endpoint.label(), started);
    let span = tracing::info_span!(
        "request",
        endpoint = endpoint.label(),
        id = &*id.text,
        tenant = Empty
    );
    let caller = app.access.caller(request.headers());
    if let Ok(Caller::Tenant(party)) = &caller {
        span.record("tenant", &*party.tenant.name);
    }
    let (caller, stranger) = match caller {
        Ok(caller) => (Some(caller), None),
        Err(why) => (None, Some(why)),
    };
    let hop = Hop::of(request.headers(), &app.options.server_id);
    let call = Call {
        app: &app,
        id: &id,
        started,
        caller,
        hop,
    };
    let mut place = None;
    let checked = check_and_handle(&call, stranger, endpoint, request, &mut place);
    let checked = AssertUnwindSafe(checked);
    let outcome = checked.catch_unwind().instrument(span.clone()).await;

    let _entered = span.entered();
    let mut reply = outcome
        .unwrap_or_else(|_| {
            // The panic hook has logged what and where.
            tracing::error!("a handler panicked");
            Err(Error::internal("the server made a mistake; its log says which").into())
        })
        .unwrap_or_else(|failure: Failure| {
            if failure.error().code().http_status() >= 500 {
                tracing::warn!(error = ?failure.error(), "request failed");
            }
            failure.into_reply(&id.text)
        });
    record.code = reply.code;
    match &mut reply.events {
        // What has only begun is counted, and holds its place, until it ends.
        Some(events) => events.keep(record, place),
        None => reply.place = place,
    }
    tracing::debug!(status = reply.status.as_u16(), took = ?started.elapsed(), "answered");
    reply.into_response(id, app.options.cors)
}

/// Answers a caller who may ask, after taking his place among his requests.
async fn check_and_handle(
    call: &Call<'_>,
    stranger: Option<Error>,
    endpoint: Endpoint,
    request: Request<Body>,
    place: &mut Option<OwnedSemaphorePermit>,
) -> Result<Reply, Failure> {
    let (method, headers) = (request.method(), request.headers());
    if method == Method::OPTIONS {
        if call.app.options.cors && cors::is_preflight(method, headers) {
            return Ok(cors::preflight());
        }
        if endpoint == Endpoint::MethodNotAllowed {
            return Ok(Reply::no_content());
        }
    } else if let Some(why) = stranger
        && !is_probe(request.uri().path())
    {
        return Err(why.into());
    }
    if endpoint.is_work() {
        let tenant = call.caller()?.party();
        *place = tenant.map(|party| party.call()).transpose()?;
    }
    handle(call, endpoint, request).await
}
