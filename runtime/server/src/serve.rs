//! Serving on both wires until told to end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::service::TowerToHyperService;
use routir_core::Result;
use routir_listen::Bounds;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::app::App;
use crate::{grpc, routes};

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
/// [`drain`](crate::ServerOptions::drain) is over; then takes no new connection, lets
/// requests in flight end within [`shutdown_grace`](crate::ServerOptions::shutdown_grace), and cuts off
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
    let bounds = Bounds {
        io_timeout: options.io_timeout,
        max_header_bytes: options.max_header_bytes,
        max_connections: options.max_connections,
        threads: 0,
        busy_poll: Duration::ZERO,
        shutdown_grace: options.shutdown_grace,
    };
    let service = TowerToHyperService::new(routes::router(&app.0));
    let (stop, stopping) = watch::channel(false);
    let calls = grpc::services(&app.0, stopping)?;
    let state = Arc::clone(&app.0);
    let answer =
        service_fn(move |request| grpc::answer(Arc::clone(&state), calls.clone(), request));
    let worker = &app.0.worker;
    let shutdown = async {
        shutdown.await;
        // Whoever watches sees that the server ends before its port closes.
        worker.drain().await;
        worker.stop();
        // Nobody may be watching.
        let _ = stop.send(true);
    };
    let grpc = grpc.map(|listener| (listener, answer));
    let leaving = &app.0.leaving;
    tokio::select! {
        () = routir_listen::serve((rest, service), grpc, &bounds, shutdown) => {}
        () = leaving.watch(bounds.io_timeout) => {}
    }
    // What became a web socket is no connection any more. It was told to end.
    let _ = timeout(bounds.shutdown_grace, worker.unwatched()).await;
    Ok(())
}
