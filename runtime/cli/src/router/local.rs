//! RoutIR's endpoints in the router: the server's own application, on a runtime that has the native
//! mergers and, by the router, whatever workers offer.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response};
use routir_core::{BoxFuture, Imports, Result};
use routir_exec::{Runtime, RuntimeSettings};
use routir_router::{Local, Offered, RouterOptions, RoutirSide};
use routir_server::{App, Direct, ServerOptions};

use crate::wire::settings;

/// What answers RoutIR's endpoints; `grpc_port` is told to clients.
///
/// # Errors
/// [`routir_core::ErrorCode::Internal`] when the parts do not fit together.
pub(super) fn side(options: &RouterOptions, grpc_port: Option<u16>) -> Result<RoutirSide> {
    let builder = Runtime::builder(RuntimeSettings::default());
    let mergers = routir_engines::builtin_mergers().into_iter();
    let builder = mergers.fold(builder, |builder, (name, roles)| {
        builder.service(settings::merger(name, roles))
    });
    let runtime = builder.build()?;
    let offered = Arc::new(Offered::default());
    let server = ServerOptions {
        imports: Some(Arc::clone(&offered) as Arc<dyn Imports>),
        grpc_port,
        max_body_bytes: options
            .max_body_bytes
            .min(ServerOptions::default().max_body_bytes),
        request_timeout: options.request_timeout,
        max_in_flight: options.max_in_flight,
        ..ServerOptions::default()
    };
    let server_id = Arc::clone(&server.server_id);
    let app = App::new(Arc::new(runtime.clone()), server)?;
    Ok(RoutirSide {
        runtime,
        local: Arc::new(Here(Direct::new(&app)?)),
        offered,
        server_id,
    })
}

/// The server's application as the router asks it.
struct Here(Direct);

impl Local for Here {
    fn rest(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(self.0.rest(request))
    }

    fn grpc(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(self.0.grpc(request))
    }

    fn stop(&self) {
        self.0.stop();
    }
}
