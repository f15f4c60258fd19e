//! A service of a runtime in a test's own process.
#![allow(unreachable_pub, reason = "each test includes it where it needs it")]

use std::sync::Arc;
use std::time::Duration;

use routir_batch::{BatchSettings, Policy};
use routir_core::Roles;
use routir_exec::ServiceSpec;

/// The service `name` of the engine that plays `roles`. Batches leave at once; nothing is kept.
pub fn spec(name: &str, roles: Roles) -> ServiceSpec {
    ServiceSpec {
        name: Arc::from(name),
        engine: Arc::from("toy"),
        roles,
        batch: BatchSettings {
            name: Arc::from(name),
            policy: Policy {
                max_requests: 32,
                max_tokens: None,
                max_wait: Duration::ZERO,
            },
            capacity: 1024,
            concurrency: 4,
        },
        at_once: 4,
        inside: 1024,
        cache: None,
        identity: None,
        public: false,
    }
}
