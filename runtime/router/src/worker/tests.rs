//! Workers that are listened to, over real sockets.

mod choice;
mod frames;
mod listening;
mod simulation;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Facts, ModelFacts, ModelState, Registry, Worker, WorkerSettings};
use crate::dial::Dialer;
use crate::worker::Address;

/// A registry that gives silent workers up after `silence`.
fn registry(silence: Duration) -> Registry {
    Registry::with(WorkerSettings {
        dialer: Dialer::plain(Duration::from_secs(1)),
        silence,
        authorization: None,
        own: Arc::default(),
    })
}

/// A worker that nobody listens to, and that has said this.
pub(crate) fn said(id: u64, facts: Facts) -> Arc<Worker> {
    let address = Address::read(&format!("http://w{id}:80")).unwrap();
    let worker = Worker::new(id, address, Arc::new(watch::Sender::new(0)));
    worker.told(facts);
    Arc::new(worker)
}

/// A ready worker with these models.
pub(crate) fn ready(models: &[(&str, ModelState)]) -> Facts {
    let entry = |(name, state): &(&str, ModelState)| {
        let facts = ModelFacts {
            name: Arc::from(*name),
            state: *state,
            queue_depth: 0,
        };
        (Arc::from(name.to_lowercase()), facts)
    };
    Facts {
        heard: true,
        ready: true,
        profile: Arc::from("l4"),
        bundle: Arc::from("default"),
        gpu_count: 1,
        capacity: 64,
        lists_models: true,
        models: models.iter().map(entry).collect::<BTreeMap<_, _>>(),
        ..Facts::default()
    }
}
