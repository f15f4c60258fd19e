//! Accepting connections, and letting them end in order.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use routir_core::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::app::App;
use crate::connection::Patient;
use crate::routes;

/// The least that hyper can keep of a request's head.
const MIN_HEADER_BYTES: usize = 8192;
/// How long to wait after the system refused a connection (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A timer that comes before all those of requests is always set: tokio rouses a thread for each
/// timer that becomes the next one, which without this happens several times per request.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Serves `app` on `listener` until `shutdown` resolves; then takes no new connection, lets
/// requests in flight end within [`shutdown_grace`](crate::ServerOptions::shutdown_grace), and cuts off the rest.
///
/// # Errors
/// None at present: a failing connection concerns its client alone.
pub async fn serve(
    listener: TcpListener,
    app: App,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let options = &app.0.options;
    let service = TowerToHyperService::new(routes::router(&app.0));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(options.io_timeout)
        .max_buf_size(options.max_header_bytes.max(MIN_HEADER_BYTES));

    let slots = Arc::new(Semaphore::new(options.max_connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut heartbeat = interval(HEARTBEAT);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            (stream, slot) = accept(&listener, &slots) => {
                let stream = TokioIo::new(Patient::new(stream, options.io_timeout));
                let connection = graceful.watch(http.serve_connection(stream, service.clone()));
                connections.spawn(async move {
                    let _slot = slot;
                    if let Err(why) = connection.await {
                        tracing::debug!(error = %why, "a connection ended early");
                    }
                });
            }
            Some(_) = connections.join_next() => {}
            _ = heartbeat.tick() => {}
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = sleep(options.shutdown_grace) => {
            tracing::warn!(
                connections = connections.len(),
                "requests still run after the grace period; cutting them off"
            );
        }
    }
    connections.shutdown().await;
    Ok(())
}

/// The next connection, when there is a slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
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
