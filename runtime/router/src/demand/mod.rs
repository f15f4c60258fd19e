//! What is missing: machines that requests wait for, told to whoever starts them.

mod core;
mod metrics;

pub(crate) use metrics::{DemandMetrics, Missing, Reason};
