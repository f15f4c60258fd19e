//! Runs plans: the one way in for every request, whatever wire it came by.
//!
//! Guards: structured concurrency (a run's work ends with the run: a failure, a deadline or a
//! caller that leaves cancels all of it, down to the queues), identical calls computed once, scores
//! that stay with their documents. Must never parse a pipeline, know a wire or name an engine.

mod answers;
mod api;
mod builder;
mod documents;
mod queries;
mod quiet;
mod report;
mod run;
mod runtime;
mod service;
mod stages;

pub use answers::KeyFields;
pub use api::{
    PipelineAnswer, PipelineCall, PlanReport, Readiness, RunOptions, StageFailure, Trace,
};
pub use builder::{CacheSpec, RuntimeBuilder, RuntimeSettings, ServiceSpec};
pub use runtime::Runtime;
