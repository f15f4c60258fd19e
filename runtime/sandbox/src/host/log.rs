//! `log`: lines of a guest in the operator's log, marked as such.

use tracing::{debug, error, info, warn};

use crate::bindings::log::{Host, Level};
use crate::convert::{cut, line};
use crate::guest::State;

/// Where a line is cut, in bytes.
const MAX_LINE: usize = 4096;

impl Host for State {
    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let call = &mut self.call;
        let size = cut(&message, MAX_LINE).len();
        // An empty line costs too: a flood of them is a flood.
        let Some(left) = call.log_left.checked_sub(size.max(1)) else {
            call.log_left = 0;
            call.log_dropped += 1;
            return Ok(());
        };
        call.log_left = left;
        let message = line(&message, MAX_LINE);
        let extension = &*call.profile.identity;
        let request_id = &*call.context.request_id;
        match level {
            Level::Debug => debug!(target: "guest", extension, request_id, "{message}"),
            Level::Info => info!(target: "guest", extension, request_id, "{message}"),
            Level::Warn => warn!(target: "guest", extension, request_id, "{message}"),
            Level::Error => error!(target: "guest", extension, request_id, "{message}"),
        }
        Ok(())
    }
}
