//! What a runtime is told about its services and bounds.

use std::sync::Arc;
use std::time::Duration;

use routir_batch::{BatchSettings, Policy};
use routir_cache::Backing;
use routir_core::{Roles, ScoreInfo, SearchInfo, ServiceInfo, StageInfo, Tenant};

use crate::answers::KeyFields;

/// How many calls of an extension run at once unless its specification says otherwise.
const EXTENSION_AT_ONCE: usize = 64;
/// How many calls of an extension may wait unless its specification says otherwise.
const EXTENSION_CAPACITY: usize = 1024;

/// A service as it is configured.
pub struct ServiceSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Its engine's name.
    pub engine: Arc<str>,
    /// The engine.
    pub roles: Roles,
    /// How its calls are batched, if its engine gains from batches.
    pub batch: BatchSettings,
    /// How many calls go to its engine at once, one by one, if it gains nothing from batches. Of an
    /// extension, as many again at each depth of host calls.
    pub at_once: usize,
    /// How many calls go at once, one by one, to an engine that queues them itself.
    pub inside: usize,
    /// How its answers are cached; `None` is not at all.
    pub cache: Option<CacheSpec>,
    /// What an extension is called in chains ([`Tenant::identity`]), or an engine that asks the host
    /// as extensions do ([`Roles::needs`]); `None` is a service that waits for no other.
    pub identity: Option<Arc<str>>,
    /// Whether every tenant may call it, whatever its grants: such as the mergers that are always
    /// there.
    pub public: bool,
}

impl ServiceSpec {
    /// An extension of `owner` (`None` is the operator), not cached.
    #[must_use]
    pub fn extension(owner: Option<&str>, name: &str, roles: Roles) -> Self {
        let name: Arc<str> = Arc::from(name);
        Self {
            engine: Arc::from("Extension"),
            roles,
            batch: BatchSettings {
                name: Arc::clone(&name),
                policy: Policy {
                    max_requests: 1,
                    max_tokens: None,
                    max_wait: Duration::ZERO,
                },
                capacity: EXTENSION_CAPACITY,
                concurrency: EXTENSION_AT_ONCE,
            },
            at_once: EXTENSION_AT_ONCE,
            inside: EXTENSION_AT_ONCE,
            cache: None,
            identity: Some(Tenant::identity(owner, &name)),
            public: false,
            name,
        }
    }

    /// The service as a catalog shows it.
    pub(crate) fn info(&self) -> ServiceInfo {
        let roles = &self.roles;
        let stage = |params| StageInfo { params };
        ServiceInfo {
            engine: Arc::clone(&self.engine),
            search: roles.search.as_ref().map(|engine| SearchInfo {
                params: engine.params(),
                prefix_stable: engine.prefix_stable(),
            }),
            score: roles.score.as_ref().map(|engine| ScoreInfo {
                params: engine.params(),
                view_kind: engine.view_kind(),
            }),
            fuse: roles.fuse.as_ref().map(|engine| stage(engine.params())),
            decompose: roles
                .decompose
                .as_ref()
                .map(|engine| stage(engine.params())),
        }
    }
}

/// How answers are cached.
#[derive(Clone, Debug)]
pub struct CacheSpec {
    /// Where answers are kept, how many and for how long. What extensions take part in is kept in
    /// memory only, since it depends on what this server has published.
    pub backing: Backing,
    /// What makes two requests the same.
    pub key_fields: KeyFields,
    /// Whether scores are cached too, not only rankings.
    pub scores: bool,
}

/// Bounds that hold for every request, and the cache of whole answers.
#[derive(Clone, Debug)]
pub struct RuntimeSettings {
    /// The largest limit that a stage may have.
    pub max_limit: usize,
    /// How many service calls one request may cause, sub-queries and all that extensions ask of
    /// the host included.
    pub max_calls: usize,
    /// How many sub-queries an expander may answer.
    pub max_sub_queries: usize,
    /// How many extensions may wait inside one another, each for a host call.
    pub max_depth: usize,
    /// Whether a request may compose pipelines; otherwise only aliases and single services run.
    pub dynamic_pipeline: bool,
    /// How many bytes of views of bytes one run holds for its later stages; `None` is no limit.
    pub max_held_bytes: Option<usize>,
    /// The cache of whole pipeline answers. In a shared one, pipelines with extensions are not kept.
    pub pipeline_cache: Option<Backing>,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            max_limit: 100_000,
            max_calls: 4096,
            max_sub_queries: 256,
            max_depth: 4,
            dynamic_pipeline: true,
            max_held_bytes: None,
            pipeline_cache: None,
        }
    }
}
