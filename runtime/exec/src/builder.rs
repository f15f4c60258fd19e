//! Puts a runtime together out of engines, collections and aliases.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use routir_batch::BatchSettings;
use routir_core::{
    Catalog, ContentSource, Error, Metrics, Result, Roles, SearchInfo, ServiceInfo, StageInfo,
};
use routir_dsl::Aliases;

use crate::answers::KeyFields;
use crate::runtime::{Runtime, Snapshot};
use crate::service::Service;

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
    /// How many calls go to its engine at once, one by one, if it gains nothing from batches.
    pub at_once: usize,
    /// How its answers are cached; `None` is not at all.
    pub cache: Option<CacheSpec>,
}

/// How answers are cached.
#[derive(Clone, Debug)]
pub struct CacheSpec {
    /// How many answers are kept.
    pub capacity: NonZeroUsize,
    /// How long an answer is kept.
    pub ttl: Duration,
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
    /// How many stage calls one request may cause, sub-queries included.
    pub max_calls: usize,
    /// How many sub-queries an expander may answer.
    pub max_sub_queries: usize,
    /// Whether a request may compose pipelines; otherwise only aliases and single services run.
    pub dynamic_pipeline: bool,
    /// The cache of whole pipeline answers: capacity in entries, and how long one is kept.
    pub pipeline_cache: Option<(NonZeroUsize, Duration)>,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            max_limit: 100_000,
            max_calls: 4096,
            max_sub_queries: 256,
            dynamic_pipeline: true,
            pipeline_cache: None,
        }
    }
}

/// Collects what a runtime is made of.
pub struct RuntimeBuilder {
    settings: RuntimeSettings,
    metrics: Metrics,
    services: Vec<ServiceSpec>,
    collections: BTreeMap<Arc<str>, Arc<dyn ContentSource>>,
    aliases: BTreeMap<Arc<str>, Arc<str>>,
}

impl RuntimeBuilder {
    pub(crate) fn new(settings: RuntimeSettings) -> Self {
        Self {
            settings,
            metrics: Metrics::default(),
            services: Vec::new(),
            collections: BTreeMap::new(),
            aliases: BTreeMap::new(),
        }
    }

    /// Adds a service.
    #[must_use]
    pub fn service(mut self, spec: ServiceSpec) -> Self {
        self.services.push(spec);
        self
    }

    /// Adds a collection.
    #[must_use]
    pub fn collection(mut self, name: impl Into<Arc<str>>, source: Arc<dyn ContentSource>) -> Self {
        self.collections.insert(name.into(), source);
        self
    }

    /// Adds a pipeline alias.
    #[must_use]
    pub fn alias(mut self, name: impl Into<Arc<str>>, source: impl Into<Arc<str>>) -> Self {
        self.aliases.insert(name.into(), source.into());
        self
    }

    /// The runtime. Must be called within a tokio runtime, which then drives its queues.
    ///
    /// # Errors
    /// When two services share a name, or an alias is wrong: it does not parse, runs in a circle,
    /// or hides a service. That an alias names unknown services is found when it is compiled.
    pub fn build(self) -> Result<Runtime> {
        let mut catalog = Catalog {
            generation: 1,
            aliases: self.aliases,
            dynamic_pipeline: self.settings.dynamic_pipeline,
            ..Catalog::default()
        };
        let mut services = HashMap::new();
        for spec in self.services {
            let name = Arc::clone(&spec.name);
            catalog.services.insert(Arc::clone(&name), describe(&spec));
            let service = Service::new(spec, &self.metrics);
            if services
                .insert(Arc::clone(&name), Arc::new(service))
                .is_some()
            {
                return Err(Error::invalid(format!("two services are named `{name}`")));
            }
        }
        for (name, source) in &self.collections {
            catalog.collections.insert(Arc::clone(name), source.info());
        }
        let aliases = Aliases::new(
            catalog
                .aliases
                .iter()
                .map(|(name, source)| (name.as_ref(), source.as_ref())),
            |name| catalog.services.contains_key(name),
        )
        .map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Error::invalid(format!("pipeline_aliases: {}", lines.join("; ")))
        })?;
        let collections = self.collections.into_iter().collect();
        let snapshot = Snapshot {
            catalog: Arc::new(catalog),
            aliases,
            services,
            collections,
        };
        Ok(Runtime::new(snapshot, self.settings, self.metrics))
    }
}

fn describe(spec: &ServiceSpec) -> ServiceInfo {
    let roles = &spec.roles;
    ServiceInfo {
        engine: Arc::clone(&spec.engine),
        search: roles.search.as_ref().map(|engine| SearchInfo {
            params: engine.params(),
            prefix_stable: engine.prefix_stable(),
        }),
        score: roles.score.as_ref().map(|engine| StageInfo {
            params: engine.params(),
        }),
        fuse: roles.fuse.as_ref().map(|engine| StageInfo {
            params: engine.params(),
        }),
        decompose: roles.decompose.as_ref().map(|engine| StageInfo {
            params: engine.params(),
        }),
    }
}
