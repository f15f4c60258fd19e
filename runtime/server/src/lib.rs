//! The server over REST and gRPC: decodes a request, checks who asks and how much, hands it to the
//! runtime and encodes the answer.
//!
//! Guards: RoutIR's wires (every status, field and text that its clients read), who asks (by key:
//! the operator or a tenant) and how much at once, the limits on what a stranger may send, request
//! ids, and that a client who leaves takes its work with it. Must never know: an engine by name,
//! the pipeline language, how a plan runs.
//!
//! The way of a request: [`serve()`] accepts the connection; `routes` finds the endpoint; `front`
//! does what holds for all (id, caller, panic, metrics, log); `handlers` decodes (`decode`), calls
//! the runtime and encodes (`encode`). It leaves through `front` again. What comes over gRPC takes
//! the same way through the rooms of the same names in `grpc`.

mod about;
mod access;
mod app;
mod auth;
mod body;
mod content;
mod cors;
mod decode;
mod encode;
mod endpoint;
mod events;
mod extensions;
mod failure;
mod fields;
mod front;
mod grpc;
mod handlers;
mod heavy;
mod hop;
mod options;
mod party;
mod record;
mod relayed;
mod reply;
mod routes;
mod serve;

pub use app::App;
pub use options::{ServerOptions, TenantKeys};
pub use serve::{Listeners, serve};
