//! What is counted of a request, whatever wire it came by.

use std::sync::Arc;

use routir_core::ErrorCode;
use tokio::time::Instant;

use crate::app::State;

/// Counts a request when it ends, also when it is dropped half-way.
pub(crate) struct Record {
    app: Arc<State>,
    endpoint: &'static str,
    started: Instant,
    /// The outcome: `ok`, or an error code's name.
    pub(crate) code: &'static str,
}

impl Record {
    /// A request to `endpoint` begins. Until somebody says otherwise, its client has left it.
    pub(crate) fn begin(app: Arc<State>, endpoint: &'static str, started: Instant) -> Self {
        app.runtime.metrics().in_flight().inc();
        Self {
            app,
            endpoint,
            started,
            code: ErrorCode::Cancelled.name(),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let metrics = self.app.runtime.metrics();
        metrics.in_flight().dec();
        metrics.request(self.endpoint, self.code, self.started.elapsed());
    }
}
