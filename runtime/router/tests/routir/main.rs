//! RoutIR's endpoints through the router, before real servers of this project in the test's own
//! process.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helpers"
)]

mod beside;
mod bytes;
mod calls;
#[path = "../certificates/mod.rs"]
mod certificates;
mod encrypted;
mod limits;
mod oracle;
#[path = "../../../../tests/oracle/spec.rs"]
mod spec;
mod stand;
mod whole;
