//! The application that is served, and admission to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use routir_core::{Error, ErrorCode, Imports, ModelHost, RequestContext, Result};
use routir_exec::{Readiness, Runtime};
use routir_listen::Leaving;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ServerOptions;
use crate::access::{Access, Caller};
use crate::encode::ReadyReply;
use crate::grpc::Kept;
use crate::inference::Worker;

/// Components that may be in the server's memory at once, all tenants' together.
const UPLOADS: usize = 16;
/// Calls that may watch the server's health over gRPC at once: nobody is asked for a key there.
const WATCHES: usize = 1024;

/// The application: the runtime, and what the operator decided. Cheap to clone.
#[derive(Clone)]
pub struct App(pub(crate) Arc<State>);

/// What an [`App`] holds, as the handlers see it.
pub(crate) struct State {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) options: ServerOptions,
    pub(crate) access: Access,
    /// Answers over gRPC that are on their way.
    pub(crate) leaving: Arc<Leaving<Kept>>,
    pub(crate) worker: Worker,
    permits: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    watches: Arc<Semaphore>,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

impl App {
    /// An application that answers from `runtime`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for options that cannot work: a key that is empty, cannot be
    /// sent or is two parties', a limit of no request or connection at once;
    /// [`ErrorCode::Internal`] for a tenant that the runtime does not know.
    pub fn new(runtime: Arc<Runtime>, options: ServerOptions) -> Result<Self> {
        let access = Access::new(options.api_key.as_deref(), &options.tenants)?;
        for party in access.parties().values() {
            let caller = Caller::Tenant(Arc::clone(party));
            runtime.catalog_for(&caller.stamp(RequestContext::default()))?;
        }
        let possible = 1..=Semaphore::MAX_PERMITS;
        if !possible.contains(&options.max_in_flight)
            || !possible.contains(&options.max_connections)
        {
            return Err(Error::invalid(format!(
                "`max_in_flight` and `max_connections` must be between 1 and {}",
                Semaphore::MAX_PERMITS
            )));
        }
        let permits = Arc::new(Semaphore::new(options.max_in_flight));
        Ok(Self(Arc::new(State {
            runtime,
            worker: Worker::new(&options),
            options,
            access,
            leaving: Arc::default(),
            permits,
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            watches: Arc::new(Semaphore::new(WATCHES)),
        })))
    }
}

impl State {
    /// Whether requests should be sent here, as `/readyz` says.
    pub(crate) fn is_ready(&self) -> bool {
        let parts = self.readiness();
        let imports = self.options.imports.as_deref().map(Imports::status);
        ReadyReply::new(&parts, &imports.unwrap_or_default(), false).ready()
    }

    /// Whether each service and collection of the operator can do its work, and each model that is no
    /// service's.
    pub(crate) fn readiness(&self) -> Vec<Readiness> {
        let mut parts = self.runtime.readiness();
        let models = self.options.models.as_deref().map(ModelHost::models);
        let alone = models.iter().flat_map(|it| it.iter());
        parts.extend(alone.filter(|model| !model.service).map(|model| {
            let wrong = model.health.iter().find_map(|it| it.check().err());
            Readiness {
                name: format!("model {}", model.entry),
                ready: wrong.is_none(),
                detail: match wrong {
                    Some(error) => error.message().to_owned(),
                    None => model.source.to_string(),
                },
            }
        }));
        parts
    }

    /// Leave to work on one more request; it ends when dropped.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] when as many as allowed are being worked on.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{} requests are being worked on, as many as this server takes; try again soon",
                self.options.max_in_flight
            );
            Error::new(ErrorCode::Overloaded, message).with_retry_after(Duration::from_secs(1))
        })
    }

    /// How many requests are being worked on.
    pub(crate) fn working(&self) -> usize {
        let free = self.permits.available_permits();
        self.options.max_in_flight.saturating_sub(free)
    }

    /// Leave to take one more component in; it ends when dropped.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] when as many as allowed are being taken in.
    pub(crate) fn upload(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.uploads).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{UPLOADS} components are being sent or checked, as many as this server takes; try \
                 again soon"
            );
            Error::new(ErrorCode::Overloaded, message).with_retry_after(Duration::from_secs(5))
        })
    }

    /// Leave to watch the server's health once more; it ends when dropped.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] when as many as allowed do.
    pub(crate) fn watch(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.watches).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{WATCHES} calls watch this server's health, as many as it takes; use `Check`, or \
                 try again later"
            );
            Error::new(ErrorCode::Overloaded, message).with_retry_after(Duration::from_secs(5))
        })
    }
}
