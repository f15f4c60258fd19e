//! The router: from method and path to an endpoint.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing;

use crate::app::State;
use crate::endpoint::{Endpoint, Method, TABLE};
use crate::front;

/// A router for every line of the table, and for what is not in it.
pub(crate) fn router(app: &Arc<State>) -> Router {
    let to = |endpoint: Endpoint| {
        let app = Arc::clone(app);
        move |request: Request<Body>| front::answer(app, endpoint, request)
    };
    TABLE
        .iter()
        .fold(Router::new(), |router, row| {
            let handler = to(row.endpoint);
            let method = match row.method {
                Method::Get => routing::get(handler),
                Method::Post => routing::post(handler),
                Method::Put => routing::put(handler),
                Method::Delete => routing::delete(handler),
            };
            router.route(row.path, method)
        })
        .fallback(to(Endpoint::NotFound))
        .method_not_allowed_fallback(to(Endpoint::MethodNotAllowed))
}
