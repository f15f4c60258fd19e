//! Accepting connections on both wires, and letting them end in order.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use routir_core::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::ServerOptions;
use crate::app::App;
use crate::connection::Patient;
use crate::{grpc, routes};

/// The least that hyper can keep of a request's head.
const MIN_HEADER_BYTES: usize = 8192;
/// How many calls one gRPC connection may have in flight; more wait at the client.
const MAX_STREAMS: u32 = 256;
/// How long to wait after the system refused a connection (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A timer that comes before all those of requests is always set: tokio rouses a thread for each
/// timer that becomes the next one, which without this happens several times per request.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Where a server listens.
#[derive(Debug)]
pub struct Listeners {
    /// For REST.
    pub rest: TcpListener,
    /// For gRPC, if it is served.
    pub grpc: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    /// REST alone.
    fn from(rest: TcpListener) -> Self {
        Self { rest, grpc: None }
    }
}

/// Serves `app` on `listeners` until `shutdown` resolves and what then remains of
/// [`drain`](ServerOptions::drain) is over; then takes no new connection, lets
/// requests in flight end within [`shutdown_grace`](ServerOptions::shutdown_grace), and cuts off
/// the rest.
///
/// # Errors
/// [`routir_core::ErrorCode::Internal`] when the gRPC services cannot be put together. A failing
/// connection concerns its client alone.
pub async fn serve(
    listeners: impl Into<Listeners>,
    app: App,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let Listeners { rest, grpc } = listeners.into();
    let options = &app.0.options;
    let service = TowerToHyperService::new(routes::router(&app.0));
    let http1 = http1_of(options);
    let (stop, stopping) = watch::channel(false);
    let calls = grpc::services(&app.0, stopping.clone())?;
    let http2 = http2_of(options);

    let slots = Arc::new(Semaphore::new(options.max_connections));
    let grpc_slots = Arc::new(Semaphore::new(options.max_connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let worker = &app.0.worker;
    // Whoever watches sees that the server ends before its port closes.
    let mut shutdown = pin!(async {
        shutdown.await;
        worker.drain().await;
    });
    let mut heartbeat = interval(HEARTBEAT);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            (stream, slot) = accept(Some(&rest), &slots) => {
                let stream = TokioIo::new(Patient::new(stream, options.io_timeout));
                let connection = http1.serve_connection(stream, service.clone());
                let connection = until_told(connection.with_upgrades(), stopping.clone());
                connections.spawn(to_its_end(connection, slot));
            }
            (stream, slot) = accept(grpc.as_ref(), &grpc_slots) => {
                let stream = TokioIo::new(Patient::new(stream, options.io_timeout));
                let (app, calls) = (Arc::clone(&app.0), calls.clone());
                let answer = service_fn(move |request| {
                    grpc::answer(Arc::clone(&app), calls.clone(), request)
                });
                let connection = graceful.watch(http2.serve_connection(stream, answer));
                connections.spawn(to_its_end(connection, slot));
            }
            Some(_) = connections.join_next() => {}
            _ = heartbeat.tick() => {}
        }
    }
    drop((rest, grpc));
    worker.stop();
    // Nobody may be watching.
    let _ = stop.send(true);
    let ended = async {
        graceful.shutdown().await;
        while connections.join_next().await.is_some() {}
        worker.unwatched().await;
    };
    let in_time = timeout(options.shutdown_grace, ended).await.is_ok();
    if !in_time {
        tracing::warn!(
            connections = connections.len(),
            "requests still run after the grace period; cutting them off"
        );
    }
    connections.shutdown().await;
    Ok(())
}

fn http1_of(options: &ServerOptions) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(options.io_timeout)
        .max_buf_size(options.max_header_bytes.max(MIN_HEADER_BYTES));
    http
}

/// A connection may be idle for as long as its client answers pings.
fn http2_of(options: &ServerOptions) -> http2::Builder<TokioExecutor> {
    let head = options.max_header_bytes.max(MIN_HEADER_BYTES);
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .keep_alive_interval(options.io_timeout)
        .keep_alive_timeout(options.io_timeout);
    http
}

/// Serves a connection that may become a web socket, until it ends; told to stop, until the request
/// that it is answering is answered.
async fn until_told<S>(
    connection: http1::UpgradeableConnection<TokioIo<Patient>, S>,
    mut stopping: watch::Receiver<bool>,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        // Whoever tells lives as long as the connection.
        _ = stopping.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Serves a connection until it ends, for whatever reason, and frees its slot.
async fn to_its_end<E: std::error::Error>(
    connection: impl Future<Output = std::result::Result<(), E>>,
    slot: Option<OwnedSemaphorePermit>,
) {
    let _slot = slot;
    if let Err(why) = connection.await {
        tracing::debug!(error = %why, "a connection ended early");
    }
}

/// The next connection, when there is a slot for it; never one of no listener.
async fn accept(
    listener: Option<&TcpListener>,
    slots: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    let Some(listener) = listener else {
        return pending().await;
    };
    // The semaphore is never closed, so this always yields a slot.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it a small answer may wait for the client's acknowledgement. Failing
                // means that the peer is gone already.
                let _ = stream.set_nodelay(true);
                return (stream, slot);
            }
            Err(why) => {
                tracing::warn!(error = %why, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
