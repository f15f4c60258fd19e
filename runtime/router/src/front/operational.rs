//! How the router and its cluster are.

use std::time::Instant;

use axum::body::Body;
use hyper::header::{ACCEPT, CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{HeaderMap, Method, Response, StatusCode};
use serde_json::json;

use super::problem::{Problem, content, json};
use super::{State, sdk};
use crate::cluster::{self, HealthInput, page};
use crate::{HealthType, ReadyRule};

/// Prometheus asks for it by this name.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// SIE's.
const PLAIN: &str = "text/plain; charset=utf-8";

pub(super) fn healthz() -> Response<Body> {
    content(StatusCode::OK, "application/json", r#"{"status":"ok"}"#)
}

pub(super) fn index() -> Response<Body> {
    let mut response = content(StatusCode::OK, page::CONTENT_TYPE, page::PAGE);
    let policy = HeaderValue::from_static(page::CONTENT_SECURITY_POLICY);
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// SIE's configuration interface is left out: the catalogue is read from files.
pub(super) fn configs(method: &Method) -> Response<Body> {
    let message = "the router's catalogue is read from files when it starts; there is no interface \
                   to look at or change it. GET /v1/models lists the models";
    let status = match *method == Method::GET || *method == Method::HEAD {
        true => 404,
        false => 405,
    };
    Problem::new(status, "NOT_SUPPORTED", message).response()
}

impl State {
    pub(super) fn readyz(&self) -> Response<Body> {
        let workers = self.registry.workers();
        let healthy = workers.iter().filter(|worker| worker.is_routable()).count();
        let options = &self.options;
        let ready = match options.ready_rule {
            ReadyRule::Always => true,
            ReadyRule::Workers => healthy > 0,
            ReadyRule::Useful => {
                healthy > 0
                    || options.kubernetes.is_some()
                    || !options.configured_gpus.is_empty()
                    || !options.machine_profiles.is_empty()
            }
        };
        let (status, word) = match ready {
            true => (StatusCode::OK, "ready"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
        };
        json(status, &json!({"status": word, "healthy_workers": healthy}))
    }

    pub(super) fn health(&self, headers: &HeaderMap) -> Response<Body> {
        let kind = self.options.health_type;
        let kind = match kind.unwrap_or_else(|| sdk::health_type(headers)) {
            HealthType::Router => "router",
            HealthType::Gateway => "gateway",
        };
        let input = HealthInput {
            kind,
            total_qps: self.qps.rate(Instant::now()),
            configured_gpu_types: &self.options.configured_gpus,
            demand: self.demand.missing(),
        };
        json(
            StatusCode::OK,
            &cluster::health(&self.registry.workers(), input),
        )
    }

    pub(super) fn models(&self) -> Response<Body> {
        let known = self.catalog.as_ref().map(|catalog| catalog.known());
        json(
            StatusCode::OK,
            &cluster::models(&self.registry.workers(), known),
        )
    }

    pub(super) fn model(&self, name: &str) -> Response<Body> {
        let known = self.catalog.as_ref().map(|catalog| catalog.known());
        match cluster::model(&self.registry.workers(), known, name) {
            Some(model) => json(StatusCode::OK, &model),
            None => self.not_found(name),
        }
    }

    pub(super) fn metrics_text(&self, headers: &HeaderMap) -> Response<Body> {
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let open = accept.is_some_and(|accept| accept.contains("openmetrics"));
        let content_type = if open { OPEN_METRICS } else { PLAIN };
        let text = self.metrics.encode(self.proxy.waiting());
        content(StatusCode::OK, content_type, text)
    }
}
