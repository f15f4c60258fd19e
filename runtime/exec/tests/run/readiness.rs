//! Whether services can work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use routir_core::{Error, ErrorCode, Health, Result, Roles};

use super::common::*;

/// A GPU that may fail.
struct Gpu(AtomicBool);

impl Health for Gpu {
    fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(Error::new(ErrorCode::Unavailable, "`cuda:0` failed")),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_service_is_ready_while_what_it_needs_is_well_and_others_all_the_time() {
    let gpu = Arc::new(Gpu(false.into()));
    let needing = Roles {
        health: vec![Arc::clone(&gpu) as _],
        ..searcher(&Searcher::named("a"))
    };
    let runtime = builder()
        .service(spec("a", needing))
        .service(spec("b", searcher(&Searcher::named("b"))))
        .build()
        .unwrap();
    let ready = || -> Vec<(String, bool, String)> {
        let parts = runtime.readiness().into_iter();
        let services = parts.filter(|part| part.name.starts_with("service"));
        services
            .map(|part| (part.name, part.ready, part.detail))
            .collect()
    };
    assert!(ready().iter().all(|(_, ready, _)| *ready), "{:?}", ready());
    gpu.0.store(true, Ordering::Relaxed);
    for (name, ready, detail) in ready() {
        assert_eq!(ready, name != "service a", "{name}");
        assert_eq!(!ready, detail == "`cuda:0` failed", "{name}");
    }
}
