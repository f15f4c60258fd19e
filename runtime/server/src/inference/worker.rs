//! This server as routers see it: who it is, whether it takes requests, who watches.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use routir_core::{Error, ErrorCode, Result};
use routir_sie::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep};

use super::load::Loads;
use crate::ServerOptions;
use crate::failure::Failure;

/// How many may watch at once.
const WATCHERS: usize = 64;

/// How long those who watch are given to see that the server ends: two frames.
const LEAST_DRAIN: Duration = Duration::from_millis(400);

/// When to come back to a server that ends.
const COME_BACK: Duration = Duration::from_secs(5);

/// How far the server's life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It takes requests.
    Serving,
    /// It was told to stop, and takes requests until routers have seen so.
    Draining,
    /// It takes no more.
    Stopping,
}

/// What is known of this server beside its options.
pub(crate) struct Worker {
    phase: watch::Sender<Phase>,
    watchers: Arc<Semaphore>,
    drain: Duration,
    pub(super) loads: Loads,
    pub(super) started: Instant,
}

impl Worker {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
            drain: options.drain,
            loads: Loads::default(),
            started: Instant::now(),
        }
    }

    /// Tells that the server ends, and waits until that has been seen.
    pub(crate) async fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
        let watched = self.watchers.available_permits() < WATCHERS;
        let least = if watched { LEAST_DRAIN } else { Duration::ZERO };
        sleep(self.drain.max(least)).await;
    }

    /// Takes no more requests, and lets those go who watch.
    pub(crate) fn stop(&self) {
        self.phase.send_replace(Phase::Stopping);
    }

    /// Waits until nobody watches.
    pub(crate) async fn unwatched(&self) {
        let all = u32::try_from(WATCHERS).unwrap_or(u32::MAX);
        // It is never closed.
        let _ = self.watchers.acquire_many(all).await;
    }

    /// Whether requests should be sent here, as far as its life goes.
    pub(crate) fn is_serving(&self) -> bool {
        *self.phase.borrow() == Phase::Serving
    }

    /// Refuses requests once the server stops.
    pub(super) fn check_open(&self) -> std::result::Result<(), Failure> {
        if *self.phase.borrow() != Phase::Stopping {
            return Ok(());
        }
        let message = "this server is stopping; ask another one, or again when it is back";
        let error = Error::new(ErrorCode::Unavailable, message).with_retry_after(COME_BACK);
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Err(Failure::with_code(error, status, Code::ModelNotLoaded))
    }

    /// Its life, and a place among those who watch.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] when too many do.
    pub(super) fn watch(&self) -> Result<(watch::Receiver<Phase>, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.watchers).try_acquire_owned();
        let place = place.map_err(|_| {
            let message = format!("{WATCHERS} connections watch this server, as many as may");
            Error::new(ErrorCode::Overloaded, message).with_retry_after(COME_BACK)
        })?;
        Ok((self.phase.subscribe(), place))
    }
}
