//! The configuration file: its types and defaults, its checks, its JSON schema.
//!
//! Guards: what was written is what runs. A file of RoutIR loads unchanged; an unknown key, a wrong
//! type or a contradiction is never passed over, and all of them are reported at once, each with
//! its line and column. Must never know: engines (an engine checks its own `config` object),
//! tokio, sockets.

mod check;
mod check_tenants;
mod collection;
mod config;
mod extension;
mod files;
mod keys;
mod lenient;
mod load;
mod names;
mod problem;
mod redact;
mod refusals;
mod router;
mod rt;
mod schema;
mod secret;
mod service;
mod shape;
mod tenant;
mod tree;
mod validate;
mod views;
mod worker;

pub use collection::{CollectionConfig, CollectionProcessor};
pub use config::{Config, ServerImport, Transport};
pub use extension::{ExtensionConfig, ExtensionGrants, ExtensionLimits, ExtensionsRt, OnFailure};
pub use load::{Loaded, Origin, Remote};
pub use problem::{ConfigError, ConfigProblem};
pub use router::{
    AuthMode, HealthSays, KubernetesConfig, PoolsConfig, Ready, RouterAuth, RouterConfig,
    RouterLimits, RouterTimeouts, ScalingConfig, SelectionConfig, router_schema,
};
pub use rt::{ModelsRt, RtConfig, ServiceRt};
pub use schema::schema;
pub use secret::Secret;
pub use service::{RedisConfig, ServiceConfig, ServiceProcessor};
pub use tenant::{TenantConfig, TenantGrants, TenantQuotas};
pub use views::{
    LocalPathSource, Matcher, OffsetSource, ShardManifest, ShardModulo, ShardResolver,
    ShardSubstring, Source, TarSource, TextJsonlSource, ViewKind, ViewSpec,
};
pub use worker::{HostedModelConfig, WorkerRt};
