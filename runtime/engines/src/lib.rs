//! Engines: what the configuration names, made of index, fusion and run files and given the roles
//! that it plays. One file per engine name.
//!
//! Guards: an engine answers each request of a batch alone, computes off the threads that poll it,
//! and is built only from configuration that it understands completely. Must never know: pipelines,
//! queues, caches, HTTP.

mod bm25;
mod build;
mod fuse_builtin;
mod fusion;
mod options;
mod pool;
mod token_overlap;
mod trec_run;

pub use build::{BuildEnv, Collections, EngineSpec, Progress, build, engine_names};
pub use fuse_builtin::builtin_mergers;
pub use pool::EnginePool;
