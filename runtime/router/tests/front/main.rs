//! The router over sockets, with workers that are none but speak as SIE's do.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "outside a test function clippy does not see that this is a test"
)]

mod access;
mod failover;
#[path = "../fake/mod.rs"]
mod fake;
mod forwarding;
mod harness;
mod leaving;
mod outcomes;
mod streams;
mod watching;
