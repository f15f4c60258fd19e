//! RoutIR's endpoints before real servers of this project in the test's own process.

mod calls;
mod oracle;
mod stand;
mod whole;
