//! What engines on OpenAI-compatible servers share: their keys, and the queue before the server.

mod keys;
mod queue;

pub(crate) use keys::{ApiKeys, RequestKwargs};
pub(crate) use queue::{ApiLimits, ApiQueue, Called, Refused};
