//! The frames of `/ws/cluster-status`.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;

use super::health::{ModelSummary, WorkerView, view};
use super::{ClusterSummary, Qps};
use crate::worker::Registry;

/// A frame this young serves the next client too.
const FRESH: Duration = Duration::from_millis(500);

/// The cluster's frames, of which one is made for all who watch.
#[derive(Debug)]
pub(crate) struct Feed {
    registry: Registry,
    qps: Arc<Qps>,
    last: Mutex<Option<(Instant, Arc<str>)>>,
}

#[derive(Serialize)]
struct Frame {
    /// Seconds since the Unix epoch.
    timestamp: f64,
    cluster: ClusterSummary,
    workers: Vec<WorkerView>,
    models: Vec<ModelSummary>,
}

impl Feed {
    /// How often a client gets a frame.
    pub(crate) const EVERY: Duration = Duration::from_secs(1);

    pub(crate) fn new(registry: Registry, qps: Arc<Qps>) -> Self {
        Self {
            registry,
            qps,
            last: Mutex::default(),
        }
    }

    /// The frame of this moment, as JSON.
    pub(crate) fn frame(&self, now: Instant) -> Arc<str> {
        let mut last = self.last.lock();
        if let Some((made, frame)) = &*last
            && now.saturating_duration_since(*made) < FRESH
        {
            return Arc::clone(frame);
        }
        let view = view(&self.registry.workers(), self.qps.rate(now));
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let frame = Frame {
            timestamp: since.unwrap_or_default().as_secs_f64(),
            cluster: view.cluster,
            workers: view.workers,
            models: view.models,
        };
        // It holds texts and finite numbers, which can be written.
        let frame = serde_json::to_string(&frame).unwrap_or_else(|_| "{}".to_owned());
        let frame: Arc<str> = Arc::from(frame);
        *last = Some((now, Arc::clone(&frame)));
        frame
    }
}
