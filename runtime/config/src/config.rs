//! The whole file.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::schema::NAME;
use crate::service::{RedisConfig, capacity, lifetime, off, ttl};
use crate::{CollectionConfig, RtConfig, ServiceConfig, TenantConfig};

/// The configuration of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The version of this format.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The services.
    pub services: Vec<ServiceConfig>,
    /// The document collections.
    pub collections: Vec<CollectionConfig>,
    /// Servers whose services are offered here too: a URL, or an object that says more.
    #[serde(deserialize_with = "imports")]
    #[schemars(with = "Vec<UrlOrImport>")]
    pub server_imports: Vec<ServerImport>,
    /// Files with more engines: components (`.wasm`), each an extension under the name in its
    /// manifest, with every default.
    pub file_imports: Vec<String>,
    /// Whether a request may compose a pipeline of its own; otherwise only `pipeline_aliases` and
    /// single services run.
    pub dynamic_pipeline: bool,
    /// Names that stand for a piece of pipeline. A name is a letter, then letters, digits, `_` or
    /// `-`. An alias may use others, but not itself, and may
    /// not have the name of a service.
    #[schemars(extend("propertyNames" = {"pattern": NAME}))]
    pub pipeline_aliases: BTreeMap<String, String>,
    /// How many pipeline results are kept in memory; 0 or less is none. Means nothing beside
    /// `pipeline_cache_redis_url`.
    pub pipeline_cache: i64,
    /// How long a cached pipeline result stays, in seconds; 0 keeps nothing.
    pub pipeline_cache_ttl: u64,
    /// Where a Redis keeps the pipeline cache instead of this server's memory, whatever
    /// `pipeline_cache` says.
    pub pipeline_cache_redis_url: Option<String>,
    /// More arguments for the Redis client of the pipeline cache.
    pub pipeline_cache_redis_kwargs: Map<String, Value>,
    /// How many documents of imported collections are kept in memory; 0 or less is none.
    pub relay_content_cache: i64,
    /// How long such a document stays, in seconds; 0 keeps nothing.
    pub relay_content_cache_ttl: u64,
    /// Where a Redis keeps such documents instead of this server's memory.
    pub relay_content_cache_redis_url: Option<String>,
    /// More arguments for the Redis client of such documents.
    pub relay_content_cache_redis_kwargs: Map<String, Value>,
    /// The most bytes of byte views that one request may hold; `null` is no limit.
    pub bytes_content_cache_max_bytes: Option<u64>,
    /// Who shares this server, each with keys, extensions, grants and quotas of its own. With
    /// tenants, every request needs a key: a tenant's, or the operator's.
    pub tenants: Vec<TenantConfig>,
    /// What this server can be told that RoutIR cannot.
    pub rt: RtConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: 1,
            services: Vec::new(),
            collections: Vec::new(),
            server_imports: Vec::new(),
            file_imports: Vec::new(),
            dynamic_pipeline: true,
            pipeline_aliases: BTreeMap::new(),
            pipeline_cache: off(),
            pipeline_cache_ttl: ttl(),
            pipeline_cache_redis_url: None,
            pipeline_cache_redis_kwargs: Map::new(),
            relay_content_cache: off(),
            relay_content_cache_ttl: ttl(),
            relay_content_cache_redis_url: None,
            relay_content_cache_redis_kwargs: Map::new(),
            bytes_content_cache_max_bytes: None,
            tenants: Vec::new(),
            rt: RtConfig::default(),
        }
    }
}

impl Config {
    /// How many pipeline results are kept; `None` when that cache is off.
    #[must_use]
    pub fn pipeline_cache_capacity(&self) -> Option<u64> {
        capacity(self.pipeline_cache, self.pipeline_cache_ttl)
    }

    /// How long a cached pipeline result stays.
    #[must_use]
    pub fn pipeline_cache_ttl(&self) -> Duration {
        lifetime(self.pipeline_cache_ttl)
    }

    /// How many documents of imported collections are kept; `None` when that cache is off.
    #[must_use]
    pub fn relay_content_cache_capacity(&self) -> Option<u64> {
        capacity(self.relay_content_cache, self.relay_content_cache_ttl)
    }

    /// How long such a document stays.
    #[must_use]
    pub fn relay_content_cache_ttl(&self) -> Duration {
        lifetime(self.relay_content_cache_ttl)
    }

    /// The Redis that keeps pipeline results, when one does.
    #[must_use]
    pub fn pipeline_redis(&self) -> Option<RedisConfig<'_>> {
        let url = self.pipeline_cache_redis_url.as_deref();
        let kwargs = Some(&self.pipeline_cache_redis_kwargs);
        RedisConfig::of(url, kwargs, self.pipeline_cache_ttl)
    }

    /// The Redis that keeps documents of imported collections, when one does.
    #[must_use]
    pub fn relay_content_redis(&self) -> Option<RedisConfig<'_>> {
        let url = self.relay_content_cache_redis_url.as_deref();
        let kwargs = Some(&self.relay_content_cache_redis_kwargs);
        RedisConfig::of(url, kwargs, self.relay_content_cache_ttl)
    }
}

/// A server whose services are offered here too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerImport {
    /// Its REST address.
    #[schemars(length(min = 1))]
    pub endpoint: String,
    /// Its gRPC address, as `host:port`.
    #[serde(default)]
    pub grpc_endpoint: Option<String>,
    /// The key that it asks for.
    #[serde(default)]
    pub api_key: Option<String>,
    /// How to speak to it.
    #[serde(default)]
    pub transport: Transport,
    /// The longest that a call may take, in seconds.
    #[serde(default = "timeout")]
    #[schemars(range(min = 0, max = 86400))]
    pub timeout: f64,
    /// How often a failed call is tried again.
    #[serde(default = "retries")]
    pub retries: u32,
    /// Whether gRPC is encrypted; without it, the address says so (`grpcs://`).
    #[serde(default)]
    pub tls: Option<bool>,
    /// Fields that are added to every forwarded request.
    #[serde(default)]
    pub other_request_kwargs: Map<String, Value>,
    /// Whether this server is not ready (`/readyz`) while that one does not answer.
    #[serde(default)]
    pub required: bool,
    /// How often it is asked what it offers, in seconds, while it answers.
    #[serde(default = "refresh")]
    #[schemars(range(min = 0, max = 86400))]
    pub refresh: f64,
}

/// How to speak to another server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Transport {
    /// By gRPC where it answers, else by REST.
    #[default]
    Auto,
    /// By gRPC.
    Grpc,
    /// By REST.
    Rest,
}

/// An entry of `server_imports` as it may be written.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum UrlOrImport {
    Url(#[schemars(length(min = 1))] String),
    Import(ServerImport),
}

impl ServerImport {
    /// The server at a REST address, with every default.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            grpc_endpoint: None,
            api_key: None,
            transport: Transport::default(),
            timeout: timeout(),
            retries: retries(),
            tls: None,
            other_request_kwargs: Map::new(),
            required: false,
            refresh: refresh(),
        }
    }
}

impl From<UrlOrImport> for ServerImport {
    fn from(value: UrlOrImport) -> Self {
        match value {
            UrlOrImport::Url(endpoint) => Self::new(endpoint),
            UrlOrImport::Import(import) => import,
        }
    }
}

fn imports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ServerImport>, D::Error> {
    let entries = Vec::<UrlOrImport>::deserialize(deserializer)?;
    Ok(entries.into_iter().map(Into::into).collect())
}

fn timeout() -> f64 {
    600.0
}

fn refresh() -> f64 {
    15.0
}

fn retries() -> u32 {
    10
}
