//! What answers in the router itself.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use hyper::{Request, Response};
use routir_core::BoxFuture;
use routir_exec::Runtime;

use crate::spread::Offered;

/// Answers RoutIR's endpoints in the router itself, as a server of this project does: requests that
/// no worker can answer alone, and those that are wrong.
///
/// A [`routir_core::Placement`] in an `Arc` among a request's extensions says which workers may work
/// for it. Who asks was checked before.
pub trait Local: Send + Sync {
    /// Answers a request over REST.
    fn rest(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>>;

    /// Answers a call over gRPC.
    fn grpc(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>>;

    /// The router begins to stop: those who watch its health over gRPC are to be told.
    fn stop(&self) {}
}

/// What the router needs to answer RoutIR's endpoints.
#[derive(Clone)]
pub struct RoutirSide {
    /// What runs pipelines that no worker hosts alone; its services are the native mergers, and the
    /// router adds those of the workers.
    pub runtime: Runtime,
    /// What answers from `runtime`.
    pub local: Arc<dyn Local>,
    /// What `local` tells of workers.
    pub offered: Arc<Offered>,
    /// The id by which the router knows its own requests when they come back; that of `local`.
    pub server_id: Arc<str>,
}

impl fmt::Debug for RoutirSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutirSide")
            .field("server_id", &self.server_id)
            .finish_non_exhaustive()
    }
}
