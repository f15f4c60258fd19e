//! Engines: what the configuration names, made of index, fusion and run files and given the roles
//! that it plays. One file per engine name.
//!
//! Guards: an engine answers each request of a batch alone, computes off the threads that poll it,
//! and is built only from configuration that it understands completely; engines that use the same model
//! share one queue before it. Must never know: pipelines, the queues before services, caches, HTTP.

mod api;
mod bm25;
mod build;
mod check;
mod cross_encoder;
mod dense;
mod devices;
mod fill;
mod fuse_builtin;
mod fusion;
mod host;
mod index_place;
mod llm;
mod lsr;
mod models;
mod options;
mod plaidx;
mod pool;
mod qwen3;
mod relay;
mod rerank;
mod search_rerank;
mod sentence_transformer;
mod subsets;
mod template;
mod token_overlap;
mod trec_run;
mod upstream;
mod yes_no;

pub use build::{BuildEnv, Collections, EngineSpec, Progress, Purpose, build, engine_names};
pub use dense::SharedFaiss;
pub use devices::SharedDevices;
pub use fuse_builtin::builtin_mergers;
pub use host::host;
pub use models::{ModelQueue, ModelSettings, SharedModels};
pub use pool::EnginePool;
