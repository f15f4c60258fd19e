//! Pools over HTTP.

use axum::body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::{HeaderMap, Request, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

use super::State;
use super::problem::{Problem, json};
use super::record::Record;
use crate::pools::PoolError;

/// The largest description of a pool.
const MAX_BODY: usize = 64 << 10;

impl State {
    pub(super) async fn list_pools(&self) -> Response<Body> {
        json(StatusCode::OK, &self.pools.list().await)
    }

    pub(super) async fn create_pool(
        &self,
        request: Request<Body>,
        record: &mut Record,
    ) -> Response<Body> {
        record.audit = self.audit("pool_create", request.headers());
        let reading = Limited::new(request.into_body(), MAX_BODY).collect();
        let body = match tokio::time::timeout(self.options.io_timeout, reading).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(why)) if why.is::<http_body_util::LengthLimitError>() => {
                let message = "a pool is described in at most 64 KiB";
                return Problem::new(413, "TOO_LARGE", message).response();
            }
            Ok(Err(_)) => {
                let message = "the request body ended before its end";
                return Problem::new(400, "INVALID_POOL", message).response();
            }
            Err(_) => {
                let message = "the request body did not arrive";
                return Problem::new(408, "BODY_TIMEOUT", message).response();
            }
        };
        let body: Value = match serde_json::from_slice(&body) {
            Ok(body @ Value::Object(_)) => body,
            Ok(_) => {
                return Problem::new(422, "INVALID_POOL", "a pool is a JSON object").response();
            }
            Err(why) => {
                let message = format!("the body is no JSON: {why}");
                return Problem::new(422, "INVALID_POOL", message).response();
            }
        };
        if let Some(audit) = &mut record.audit {
            let name = body.get("name").and_then(Value::as_str);
            audit.pool = name.map(|name| routir_core::shorten(name).into());
        }
        match self.pools.create(&body).await {
            Ok(pool) => json(StatusCode::CREATED, &pool),
            Err(why) => problem(why),
        }
    }

    pub(super) async fn get_pool(&self, name: &str) -> Response<Body> {
        match self.pools.get(name).await {
            Ok(pool) => json(StatusCode::OK, &pool),
            Err(why) => problem(why),
        }
    }

    pub(super) async fn delete_pool(
        &self,
        name: &str,
        headers: &HeaderMap,
        record: &mut Record,
    ) -> Response<Body> {
        record.audit = self.audit("pool_delete", headers);
        if let Some(audit) = &mut record.audit {
            audit.pool = Some(routir_core::shorten(name).into());
        }
        match self.pools.delete(name).await {
            Ok(()) => told(&format!("pool `{}` is gone", routir_core::shorten(name))),
            Err(why) => problem(why),
        }
    }

    pub(super) async fn renew_pool(&self, name: &str) -> Response<Body> {
        match self.pools.renew(name).await {
            Ok(()) => told(&format!("pool `{}` is renewed", routir_core::shorten(name))),
            Err(why) => problem(why),
        }
    }
}

fn told(message: &str) -> Response<Body> {
    json(StatusCode::OK, &json!({"message": message}))
}

fn problem(why: PoolError) -> Response<Body> {
    let problem = Problem::new(why.status, why.code, why.message);
    match why.retry_after {
        Some(seconds) => problem.again(Duration::from_secs(seconds.into())),
        None => problem,
    }
    .response()
}
