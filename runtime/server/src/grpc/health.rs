//! Health by gRPC's own contract: serving while every part is ready and the server does not stop.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use routir_proto::rt::pipelines_server;
use routir_proto::v1::routir_server;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::app::State;

/// How often those who watch are told of a change, other than that the server stops.
const LOOK: Duration = Duration::from_secs(2);

/// Answers for the server as a whole and for each of its services.
#[derive(Clone)]
pub(crate) struct Health {
    app: Arc<State>,
    stopping: watch::Receiver<bool>,
}

impl Health {
    /// The health of `app`, until `stopping` is true.
    pub(crate) fn new(app: Arc<State>, stopping: watch::Receiver<bool>) -> Self {
        Self { app, stopping }
    }

    /// As a service.
    pub(crate) fn server(self) -> HealthServer<Self> {
        HealthServer::new(self)
    }

    fn now(&self) -> ServingStatus {
        if *self.stopping.borrow() || !self.app.is_ready() {
            ServingStatus::NotServing
        } else {
            ServingStatus::Serving
        }
    }
}

/// Whether `name` is the server, or one of its services.
fn is_known(name: &str) -> bool {
    matches!(
        name,
        "" | routir_server::SERVICE_NAME | pipelines_server::SERVICE_NAME
    )
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("no such service"));
        }
        Ok(Response::new(told(self.now())))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !is_known(&request.get_ref().service) {
            // The contract wants this told and not refused: the service may come.
            let unknown = stream::once(async { Ok(told(ServingStatus::ServiceUnknown)) });
            return Ok(Response::new(unknown.boxed()));
        }
        let changes = stream::unfold((self.clone(), None), |(mut health, last)| async move {
            loop {
                let now = health.now();
                if last != Some(now) {
                    return Some((Ok(told(now)), (health, Some(now))));
                }
                // Whoever watches must not hold up the end of the server.
                if *health.stopping.borrow() {
                    return None;
                }
                // Either way there may be something new.
                let _ = timeout(LOOK, health.stopping.changed()).await;
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}
