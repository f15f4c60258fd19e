//! Puts a runtime together out of engines, collections, aliases and tenants.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use routir_core::{Catalog, ContentSource, Error, Host, Metrics, Result, Tenant};
use routir_dsl::Aliases;

use crate::host::{LateHost, RuntimeHost};
use crate::runtime::Runtime;
use crate::scope::{Scope, Services};
use crate::service::Service;
use crate::snapshot::{Generations, Snapshot};
use crate::spec::{RuntimeSettings, ServiceSpec};

/// Collects what a runtime is made of.
pub struct RuntimeBuilder {
    settings: RuntimeSettings,
    metrics: Metrics,
    services: Vec<ServiceSpec>,
    collections: BTreeMap<Arc<str>, Arc<dyn ContentSource>>,
    aliases: BTreeMap<Arc<str>, Arc<str>>,
    tenants: Vec<Arc<Tenant>>,
    host: Arc<RuntimeHost>,
}

impl RuntimeBuilder {
    pub(crate) fn new(settings: RuntimeSettings) -> Self {
        Self {
            settings,
            metrics: Metrics::default(),
            services: Vec::new(),
            collections: BTreeMap::new(),
            aliases: BTreeMap::new(),
            tenants: Vec::new(),
            host: Arc::default(),
        }
    }

    /// Counts in `metrics`, which others may count in too, instead of metrics of its own.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
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

    /// Adds a tenant: a scope of its own, with what it is granted of the operator's.
    #[must_use]
    pub fn tenant(mut self, tenant: Arc<Tenant>) -> Self {
        self.tenants.push(tenant);
        self
    }

    /// Lets `host` answer for the runtime that will be built. Once at most, for a host and for a
    /// builder, and before [`RuntimeBuilder::host`] is called.
    #[must_use]
    pub fn bind(mut self, host: &LateHost) -> Self {
        self.host = Arc::clone(&host.0);
        self
    }

    /// The runtime that will be built as extensions see it, for extensions that are among its
    /// services. Until then, and once the runtime is gone, it answers
    /// [`routir_core::ErrorCode::Unavailable`]; it does not keep the runtime alive.
    #[must_use]
    pub fn host(&self) -> Arc<dyn Host> {
        Arc::clone(&self.host) as Arc<dyn Host>
    }

    /// The runtime. Must be called within a tokio runtime, which then drives its queues.
    ///
    /// # Errors
    /// When two services or tenants share a name, or an alias is wrong: it does not parse, runs in
    /// a circle, or hides a service. That an alias names unknown services is found when it is
    /// compiled.
    pub fn build(self) -> Result<Runtime> {
        let mut generations = Generations::default();
        let mut catalog = Catalog {
            generation: generations.next(),
            aliases: self.aliases,
            dynamic_pipeline: self.settings.dynamic_pipeline,
            ..Catalog::default()
        };
        let mut services = Services::default();
        for spec in self.services {
            let name = Arc::clone(&spec.name);
            let service = Service::new(spec, None, self.settings.max_depth, &self.metrics);
            catalog
                .services
                .insert(Arc::clone(&name), service.info.clone());
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
        let mut tenants = HashMap::new();
        for tenant in self.tenants {
            if let Some(same) = tenants.insert(Arc::clone(&tenant.name), tenant) {
                let name = &same.name;
                return Err(Error::invalid(format!("two tenants are named `{name}`")));
            }
        }
        let operator = Scope {
            catalog: Arc::new(catalog),
            aliases,
            services,
            collections: self.collections.into_iter().collect(),
            imported: BTreeSet::new(),
            imported_aliases: BTreeSet::new(),
        };
        let snapshot = Snapshot::new(operator, tenants.into_values(), &mut generations);
        let runtime = Runtime::new(snapshot, generations, self.settings, self.metrics);
        self.host.bind(&runtime);
        Ok(runtime)
    }
}
