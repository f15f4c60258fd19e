//! The server over real sockets, before a real runtime with small engines.

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
mod endpoints;
mod engines;
mod errors;
mod extensions;
mod harness;
mod lifecycle;
mod limits;
mod metrics;
mod quotas;
mod tenants;
mod uploads;
