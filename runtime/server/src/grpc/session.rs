//! A call on its way: who asks, since when, and how it ended.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use routir_core::{Error, Placement, RequestContext, Result};
use routir_listen::RequestId;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::status;
use crate::access::Caller;
use crate::app::State;
use crate::handlers::Call;
use crate::hop::Hop;

/// What `front` knows of a call, for the method that answers it. Travels in the request's
/// extensions.
pub(crate) struct Session {
    pub(crate) app: Arc<State>,
    pub(crate) id: RequestId,
    pub(crate) started: Instant,
    /// Who asks; `None` is a stranger, whom only probes answer.
    pub(crate) caller: Option<Caller>,
    /// What other servers say that handed the call on.
    pub(crate) hop: Result<Hop>,
    /// Which machines may work for it, where they are several.
    pub(crate) placement: Option<Arc<Placement>>,
    /// How long the caller waits.
    pub(crate) timeout: Option<Duration>,
    /// How it ended, for metrics; nothing yet is how it ends when the client leaves.
    pub(crate) ended: OnceLock<&'static str>,
}

impl Session {
    /// The session and the message of a request that came through `front`.
    ///
    /// # Errors
    /// `INTERNAL` when it did not.
    pub(crate) fn open<T>(request: Request<T>) -> Result<(Arc<Self>, T), Status> {
        let (_, extensions, message) = request.into_parts();
        let session = extensions.get::<Arc<Self>>().map(Arc::clone);
        let stray = || Status::internal("the server made a mistake: a call without a session");
        Ok((session.ok_or_else(stray)?, message))
    }

    /// What holds for the whole call: whose it is, and until when.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Unauthenticated`] for a stranger.
    pub(crate) fn context(&self, timeout: Option<Duration>) -> Result<Arc<RequestContext>> {
        let call = Call {
            app: &self.app,
            id: &self.id,
            started: self.started,
            caller: self.caller.clone(),
            hop: self.hop.clone(),
            placement: self.placement.clone(),
        };
        let shorter = timeout.into_iter().chain(self.timeout).min();
        call.context(shorter)
    }

    /// When the call must be over, as its caller and the operator say.
    pub(crate) fn until(&self) -> Option<Instant> {
        let longest = self.app.options.request_timeout;
        let longest = self.timeout.map_or(longest, |timeout| timeout.min(longest));
        self.started.checked_add(longest)
    }

    /// Notes how the call ended, unless that is known already.
    pub(crate) fn end(&self, code: &'static str) {
        // A second end is none.
        let _ = self.ended.set(code);
    }

    /// How the call ended, if it did.
    pub(crate) fn outcome(&self) -> Option<&'static str> {
        self.ended.get().copied()
    }

    /// The status of a call that failed.
    pub(crate) fn fail(&self, error: &Error) -> Status {
        if error.code().http_status() >= 500 {
            tracing::warn!(id = &*self.id.text, ?error, "request failed");
        }
        self.end(error.code().name());
        status::of(error)
    }

    /// The answer of a call that came to `result`.
    pub(crate) fn settle<T>(&self, result: Result<T>) -> Result<Response<T>, Status> {
        match result {
            Ok(answer) => {
                self.end("ok");
                Ok(Response::new(answer))
            }
            Err(error) => Err(self.fail(&error)),
        }
    }
}
