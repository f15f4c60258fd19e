//! Runs plans: the one way in for every request, whatever wire it came by.
//!
//! Guards: structured concurrency (a run's work ends with the run: a failure, a deadline or a
//! caller that leaves cancels all of it, down to the queues), identical calls computed once, scores
//! that stay with their documents, and walls between tenants: none sees what another has, asked or
//! was answered. Must never parse a pipeline, know a wire or name an engine.

mod answers;
mod api;
mod builder;
mod direct;
mod documents;
mod fuse;
mod host;
mod imports;
mod offload;
mod pipelines;
mod publish;
mod queries;
mod quiet;
mod report;
mod role;
mod run;
mod runtime;
mod scope;
mod service;
mod snapshot;
mod spec;
mod stages;
mod stream;

pub use answers::KeyFields;
pub use api::{
    PipelineAnswer, PipelineCall, PlanReport, Readiness, RunOptions, StageFailure, Trace,
};
pub use builder::RuntimeBuilder;
pub use host::LateHost;
pub use imports::{Imported, Left};
pub use runtime::Runtime;
pub use spec::{CacheSpec, RuntimeSettings, ServiceSpec};
pub use stream::{PipelineEvent, PipelineStream, StageResult};
