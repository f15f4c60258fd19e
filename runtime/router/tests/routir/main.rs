//! RoutIR's endpoints through the router, before real servers of this project in the test's own
//! process.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also in its helpers"
)]

mod beside;
mod calls;
mod oracle;
mod stand;
mod whole;
