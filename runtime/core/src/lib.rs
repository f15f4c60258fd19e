//! The words of the house as types: documents, rankings, roles, requests, errors and the traits
//! that engines and content sources implement.
//!
//! Guards: a score never parts from its document, a ranking is always in total order, and every
//! error says what kind it is. Must never know: files, sockets, threads, the pipeline language.

mod budget;
mod catalog;
mod content;
mod document;
mod engine;
mod error;
mod grants;
mod host;
mod imports;
mod metrics;
mod model;
mod params;
mod payload;
mod ranking;
mod redis_metrics;
mod request;
mod suggest;
mod tenant;

pub use budget::CallBudget;
pub use catalog::{
    Catalog, CollectionInfo, Role, ScoreInfo, SearchInfo, ServiceInfo, StageInfo, ViewKind,
};
pub use content::{ContentSource, Document, DocumentScan, TextDocument};
pub use document::DocId;
pub use engine::{
    Batching, BoxFuture, DecomposeEngine, FuseEngine, Health, HostNeed, Load, Roles, ScoreEngine,
    SearchEngine,
};
pub use error::{Error, ErrorCode, Problem, Result};
pub use grants::granted;
pub use host::{
    ExtensionAdmin, ExtensionCheck, ExtensionReport, Host, HostDocuments, HostPassages, HostScore,
    HostSearch,
};
pub use imports::{ImportStatus, Imports, Ways};
pub use metrics::{CacheMetrics, Gauge, Histogram, Metrics, QueueMetrics};
pub use model::{
    EncodeRequest, Encoded, Encoder, HostedEncoder, HostedModel, HostedModels, ModelHost,
    ModelState, VectorKind, Vectors,
};
pub use params::{ParamKind, ParamSpec, Params, ParamsSpec};
pub use payload::{BytesParts, Passages, Payload};
pub use ranking::{Hit, Ranking};
pub use redis_metrics::RedisMetrics;
pub use request::{
    Answer, CallStats, DecomposeRequest, FuseRequest, FuseSource, Placement, RequestContext,
    ScoreRequest, SearchRequest,
};
pub use suggest::{nearest, shorten, shown};
pub use tenant::{Quotas, Tenant};
