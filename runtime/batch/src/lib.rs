//! The queue before an engine: requests wait here, leave in batches, and are answered one by one.
//!
//! Guards: every request that is admitted is answered exactly once, or dropped because its caller
//! left; the queue is bounded, and nobody fills it for others; who shares an engine gets of it by
//! weight, and is served first in, first out; a lone request never waits for company before an engine
//! that is idle and has what it computes on for itself, and before none for longer than is allowed;
//! an engine's panic or nonsense stays with the batch that met it. Must never know: what a request is,
//! pipelines, wires, devices.
//!
//! [`Queue`] is the policy alone, a state machine whose clock is an argument; [`Batcher`] drives
//! it with tokio.

mod backlog;
mod batcher;
mod flow;
mod policy;
mod running;
mod shared;

pub use batcher::{BatchSettings, Batcher};
pub use flow::Flow;
pub use policy::{Decision, Policy, Queue, Ticket, Waiting};
