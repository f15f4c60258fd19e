//! The server over gRPC: the same requests as over REST, on the same path.
//!
//! The way of a request: `serve` accepts the connection; `front` does what holds for all (id,
//! caller, panic, metrics, log); tonic reads the message; `routir` or `pipelines` makes the call
//! of it (`decode`), asks the runtime and writes the answer (`encode`, `ranked`, `wire`); a failure
//! becomes a status by the table that REST has (`status`).

mod bodies;
mod decode;
mod encode;
mod front;
mod health;
mod leaving;
mod method;
mod pipelines;
mod ranked;
mod routir;
mod session;
mod status;
mod timeout;
mod wire;

use std::sync::Arc;

use axum::Router;
use hyper_util::service::TowerToHyperService;
use routir_core::{Error, Result};
use routir_proto::rt::pipelines_server::PipelinesServer;
use tokio::sync::watch;
use tonic::Status;
use tonic::server::NamedService;

pub(crate) use front::answer;
pub(crate) use leaving::Kept;

use crate::app::State;
use health::Health;
use pipelines::Pipelines;

/// What answers, once `front` has let a request through, all that is not RoutIR's.
pub(crate) type Inner = TowerToHyperService<Router>;

/// All services but RoutIR's by their paths. `stopping` turns true when the server begins to stop.
///
/// # Errors
/// [`routir_core::ErrorCode::Internal`] when the contract cannot be shown by reflection.
pub(crate) fn services(app: &Arc<State>, stopping: watch::Receiver<bool>) -> Result<Inner> {
    let largest = app.options.grpc_max_message_bytes;
    let pipelines = PipelinesServer::new(Pipelines)
        .max_decoding_message_size(largest)
        .max_encoding_message_size(largest);
    let health = Health::new(Arc::clone(app), stopping).server();
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(routir_proto::CONTRACT)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let hidden = |why| Error::internal(format!("the gRPC contract cannot be shown: {why}"));
    // Tools ask for either version of reflection.
    let reflection = describe().build_v1().map_err(hidden)?;
    let reflection_alpha = describe().build_v1alpha().map_err(hidden)?;
    let router = Router::new()
        .route_service(&path_of(&pipelines), pipelines)
        .route_service(&path_of(&health), health)
        .route_service(&path_of(&reflection), reflection)
        .route_service(&path_of(&reflection_alpha), reflection_alpha)
        .fallback(async || {
            let message = "no such method; reflection lists what there is";
            Status::unimplemented(message).into_http::<axum::body::Body>()
        });
    Ok(TowerToHyperService::new(router))
}

/// The paths of a service's methods.
fn path_of<S: NamedService>(_service: &S) -> String {
    format!("/{}/{{method}}", S::NAME)
}
