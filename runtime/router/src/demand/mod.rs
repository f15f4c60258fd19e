//! What is missing: machines that requests wait for, told to whoever starts them.

mod core;
mod metrics;
mod names;

pub(crate) use metrics::{DemandMetrics, Missing, Reason};
