//! What holds for every request: an id, who asks, a panic that stays inside, the version, the log,
//! metrics and the audit. What a path asks for is answered in the files beside.

mod feed;
mod inference;
mod leaving;
mod operational;
mod placement;
mod pools;
mod problem;
mod record;
mod route;
mod routir;
mod sdk;
mod target;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request, Response};
use routir_listen::{Leaving, RequestId};
use tokio::sync::{Semaphore, watch};
use tracing::Instrument;

pub(crate) use leaving::Until;
pub(crate) use problem::Problem;
pub(crate) use record::{Audit, Record, Tracked};
pub(crate) use route::Route;
pub(crate) use routir::call;
pub(crate) use sdk::Clients;

use crate::RouterOptions;
use crate::auth::{self, Auth, Stranger};
use crate::catalog::Catalog;
use crate::cluster::{Feed, Qps};
use crate::demand::DemandMetrics;
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::proxy::{Proxy, SERVER_VERSION};
use crate::routir::Endpoints;
use crate::whole::Room;
use crate::worker::Registry;

/// What answering needs.
pub(crate) struct State {
    pub(crate) options: RouterOptions,
    pub(crate) registry: Registry,
    pub(crate) pools: Arc<Pools>,
    pub(crate) demand: Arc<DemandMetrics>,
    pub(crate) proxy: Arc<Proxy>,
    /// RoutIR's endpoints, if there are any.
    pub(crate) routir: Option<Endpoints>,
    pub(crate) auth: Auth,
    pub(crate) catalog: Option<Catalog>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) qps: Arc<Qps>,
    pub(crate) feed: Feed,
    pub(crate) clients: Clients,
    pub(crate) version: HeaderValue,
    /// Places of requests that are with workers.
    pub(crate) places: Arc<Semaphore>,
    /// For bodies that are looked into.
    pub(crate) room: Room,
    pub(crate) sockets: Arc<Semaphore>,
    /// Answers over gRPC on their way.
    pub(crate) leaving: Arc<Leaving<Tracked>>,
    /// Turns true when the router begins to stop.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Answers a request. Dropping the future, or the body of the answer, cancels what it runs.
pub(crate) async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Tracked>, Infallible> {
    let id = RequestId::of(request.headers());
    let route = Route::of(request.method(), request.uri().path());
    let mut record = Record::begin(&state.metrics, route.label(), request.method(), &id.text);
    let span = tracing::info_span!("request", endpoint = route.label(), id = &*id.text);
    let mut request = request.map(Body::new);
    request
        .headers_mut()
        .insert(RequestId::HEADER, id.header.clone());
    let handled = AssertUnwindSafe(handle(&state, route, request, &mut record));
    let handled = handled.catch_unwind().instrument(span).await;
    let mut response = handled.unwrap_or_else(|_| {
        // The panic hook has logged what and where.
        tracing::error!(id = &*id.text, "a handler panicked");
        let message = "the router made a mistake; its log says which";
        Problem::new(500, "INTERNAL_ERROR", message)
            .legacy(state.options.legacy_errors, "internal_error")
            .response()
    });
    let headers = response.headers_mut();
    headers.insert(SERVER_VERSION, state.version.clone());
    headers.insert(RequestId::HEADER, id.header);
    Ok(record.track(response))
}

/// Answers whom it may concern.
async fn handle(
    state: &Arc<State>,
    route: Route,
    request: Request<Body>,
    record: &mut Record,
) -> Response<Body> {
    if let Err(why) = state.auth.check(route.act(), request.headers()) {
        record.audit = state.audit("auth_failure", request.headers());
        state.metrics.refuse("unauthorized");
        return match why {
            Stranger::Missing => Problem::stranger("a token is needed: `Authorization: Bearer …`"),
            Stranger::Wrong => Problem::stranger("the token is wrong"),
            Stranger::NotAdmin => {
                let message = "changing pools needs the admin token";
                Problem::new(403, "FORBIDDEN", message)
            }
        }
        .response();
    }
    state.clients.see(request.headers());
    match route {
        Route::Infer(op, target) => state.infer(op, &target, request, record).await,
        Route::Embeddings => state.embed(request, record).await,
        Route::Models => state.models(),
        Route::Model(name) => state.model(&name),
        Route::PoolList => state.list_pools().await,
        Route::PoolCreate => state.create_pool(request, record).await,
        Route::PoolGet(name) => state.get_pool(&name).await,
        Route::PoolDelete(name) => state.delete_pool(&name, request.headers(), record).await,
        Route::PoolRenew(name) => state.renew_pool(&name).await,
        Route::Healthz => operational::healthz(),
        Route::Readyz => state.readyz(),
        Route::Health => state.health(request.headers()),
        Route::Metrics => state.metrics_text(request.headers()),
        Route::Index => operational::index(),
        Route::Feed => feed::open(state, request).await,
        Route::Routir(_) => state.routir(request, record).await,
        Route::Configs => operational::configs(request.method()),
        Route::NotFound => Problem::not_found().response(),
        Route::NotAllowed(allowed) => Problem::not_allowed(allowed).response(),
        Route::Malformed(why) => Problem::new(400, "INVALID_PATH", why).response(),
    }
}

impl State {
    /// What the audit is to tell of a request, if anybody reads it.
    fn audit(&self, event: &'static str, headers: &HeaderMap) -> Option<Audit> {
        let read = tracing::enabled!(target: "sie_router.audit", tracing::Level::INFO);
        read.then(|| Audit {
            event,
            token: auth::masked(headers),
            ..Audit::default()
        })
    }
}
