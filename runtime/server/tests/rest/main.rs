//! The server over real sockets and both wires, before a real runtime with small engines.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helpers"
)]

mod access;
mod admin;
mod client;
mod encoders;
mod endpoints;
mod engines;
mod errors;
mod events;
mod extensions;
mod grpc_ends;
mod grpc_limits;
mod grpc_methods;
mod grpc_stream;
mod harness;
mod inference;
mod lifecycle;
mod limits;
mod metrics;
mod quotas;
#[path = "../../../../tests/oracle/spec.rs"]
mod spec;
mod tenants;
mod uploads;
mod watching;
