//! How workers are watched.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use routir_core::{Error, Result};

use crate::RouterOptions;
use crate::dial::Dialer;

/// How workers are watched.
#[derive(Clone, Debug)]
pub(crate) struct WorkerSettings {
    /// How connections are opened.
    pub(crate) dialer: Dialer,
    /// How long a worker may be silent until it is passed over.
    pub(crate) silence: Duration,
    /// What `Authorization` says to workers.
    pub(crate) authorization: Option<HeaderValue>,
    /// The router's id, by which it tells what comes from itself; empty if it has none.
    pub(crate) own: Arc<str>,
}

impl WorkerSettings {
    /// # Errors
    /// For a key that cannot be sent, and for certificates that cannot be used.
    pub(crate) fn of(options: &RouterOptions) -> Result<Self> {
        let header = |key: &crate::Secret| {
            let value = HeaderValue::from_str(&format!("Bearer {}", key.reveal()));
            let mut value = value.map_err(|_| {
                Error::invalid("the workers' key has characters that cannot stand in a header")
            })?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        };
        let authorization = options.worker_api_key.as_ref().map(header).transpose()?;
        Ok(Self {
            dialer: Dialer::new(options)?,
            silence: options.silence,
            authorization,
            own: options
                .routir
                .as_ref()
                .map(|it| Arc::clone(&it.server_id))
                .unwrap_or_default(),
        })
    }
}
