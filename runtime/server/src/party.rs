//! A tenant as the server knows it: what it may do at once.

use std::sync::Arc;
use std::time::Duration;

use routir_core::{Error, ErrorCode, Result, Tenant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::options::TenantKeys;

/// Components that one tenant may be sending or having checked at once.
const UPLOADS: usize = 2;

/// A tenant and its places.
pub(crate) struct Party {
    pub(crate) tenant: Arc<Tenant>,
    /// The largest component that it may publish, in bytes.
    pub(crate) max_component_bytes: usize,
    calls: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
}

impl Party {
    /// The tenant that `keys` describes.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for a quota of no call.
    pub(crate) fn new(keys: &TenantKeys) -> Result<Self> {
        let calls = keys.tenant.quotas.concurrent_calls;
        if !(1..=Semaphore::MAX_PERMITS).contains(&calls) {
            return Err(Error::invalid(format!(
                "the quota `concurrent_calls` must be between 1 and {}",
                Semaphore::MAX_PERMITS
            )));
        }
        Ok(Self {
            tenant: Arc::clone(&keys.tenant),
            max_component_bytes: keys.max_component_bytes,
            calls: Arc::new(Semaphore::new(calls)),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
        })
    }

    /// A place among the requests that are answered at once; it is free again when dropped.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`], naming the quota.
    pub(crate) fn call(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.calls).try_acquire_owned().map_err(|_| {
            let Tenant { name, quotas, .. } = &*self.tenant;
            let message = format!(
                "tenant `{name}` has {} requests in the works, as many as its quota \
                 `concurrent_calls` allows; try again soon",
                quotas.concurrent_calls
            );
            Error::new(ErrorCode::Overloaded, message).with_retry_after(Duration::from_secs(1))
        })
    }

    /// A place among the uploads; it is free again when dropped.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`].
    pub(crate) fn upload(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.uploads).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{UPLOADS} components of tenant `{}` are being sent or checked, as many as may be \
                 at once; publish one after the other",
                self.tenant.name
            );
            Error::new(ErrorCode::Overloaded, message).with_retry_after(Duration::from_secs(5))
        })
    }
}
