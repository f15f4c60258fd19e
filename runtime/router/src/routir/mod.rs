//! RoutIR's endpoints: what a request needs, a worker that has all of it, or the router itself.
//!
//! The way of a request: `peek` reads what it needs; if a worker has all of that, the request goes
//! there as it came; otherwise [`Local`] answers it in the router, on a runtime whose services are
//! the workers' (`spread`). `grpc` does the same for the other wire.

mod calling;
mod fleet;
mod grpc;
mod held;
mod local;
mod peek;
pub(crate) mod refusal;
mod side;
mod start;

pub(crate) use fleet::Fleet;
pub(crate) use grpc::{Calls, is_probe, is_work as is_call_for_work, label as call_label};
pub use local::{Local, RoutirSide};
pub(crate) use side::{Side, is_work, name};
pub(crate) use start::{Bounds, Endpoints};
