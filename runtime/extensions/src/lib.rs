//! Who owns which extension: admission, versions, swap, rollback, watched directories, breaker,
//! audit.
//!
//! Guards: an extension is published whole or not at all, whatever fails or crashes on the way; what
//! a tenant publishes concerns nobody else; every change is in the audit. Must never know: how guests
//! run, wires, pipelines.

mod admit;
mod audit;
mod breaker;
#[cfg(test)]
mod fake;
mod name;
mod operator;
mod real;
mod registry;
mod store;
mod trail;
mod watch;

pub use operator::{Operator, OperatorEnv, OperatorProblem, OperatorService};
pub use registry::{Registry, RegistrySettings, TenantExtensions};
pub use trail::AuditTrail;
pub use watch::Watching;
