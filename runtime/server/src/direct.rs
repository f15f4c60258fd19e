//! The application without listeners: for whoever takes requests in itself and has them answered
//! here.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use hyper::body::Body as HttpBody;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use routir_core::Result;
use tokio::sync::watch;

use crate::app::{App, State};
use crate::{grpc, routes};

/// An application that is handed requests one by one. Clones are one.
///
/// What a listener does is the caller's: limits on heads, patience with slow peers, an orderly end.
/// A [`routir_core::Placement`] in an `Arc` among a request's extensions becomes part of its
/// context. Dropping the future, or the body of its answer, cancels what it runs.
#[derive(Clone)]
pub struct Direct {
    app: Arc<State>,
    rest: TowerToHyperService<Router>,
    calls: grpc::Inner,
    stop: Arc<watch::Sender<bool>>,
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").finish_non_exhaustive()
    }
}

impl Direct {
    /// `app`, to be handed requests.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Internal`] when the gRPC services cannot be put together.
    pub fn new(app: &App) -> Result<Self> {
        let (stop, stopping) = watch::channel(false);
        Ok(Self {
            app: Arc::clone(&app.0),
            rest: TowerToHyperService::new(routes::router(&app.0)),
            calls: grpc::services(&app.0, stopping)?,
            stop: Arc::new(stop),
        })
    }

    /// Answers a request over REST.
    pub async fn rest(&self, request: Request<Body>) -> Response<Body> {
        match self.rest.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Answers a call over gRPC.
    pub async fn grpc<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: fmt::Display> + Unpin + Send + 'static,
    {
        let answered = grpc::answer(Arc::clone(&self.app), self.calls.clone(), request);
        match answered.await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// Tells those who watch its health over gRPC that it ends.
    pub fn stop(&self) {
        // Nobody may be watching.
        let _ = self.stop.send(true);
    }
}
