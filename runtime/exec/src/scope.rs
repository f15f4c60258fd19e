//! What one party can name, and what stands behind the names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use routir_core::{
    Catalog, ContentSource, Error, ErrorCode, RequestContext, Result, ServiceInfo, Tenant, granted,
    shorten,
};
use routir_dsl::Aliases;
use routir_plan::Plan;

use crate::service::Service;

/// Collections by name.
pub(crate) type Collections = HashMap<Arc<str>, Arc<dyn ContentSource>>;
/// Services by name.
pub(crate) type Services = HashMap<Arc<str>, Arc<Service>>;

/// The aliases of a scope: their definitions, what those say, and which are other servers'.
pub(crate) struct AllAliases {
    pub(crate) sources: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) aliases: Aliases,
    pub(crate) foreign: BTreeSet<Arc<str>>,
}

/// A catalog with the handles that it does not hold itself: the operator's, or a tenant's part of
/// it with the tenant's own extensions. A run holds the one that it was compiled in, so that what
/// is withdrawn meanwhile lives until the run ends.
pub(crate) struct Scope {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) aliases: Aliases,
    pub(crate) services: Services,
    pub(crate) collections: Collections,
    /// Those of the collections that are other servers'.
    pub(crate) imported: BTreeSet<Arc<str>>,
    /// Those of the aliases that are other servers'.
    pub(crate) imported_aliases: BTreeSet<Arc<str>>,
}

impl Scope {
    /// The operator's scope again, with other services.
    pub(crate) fn with_services(&self, services: Services, generation: u64) -> Self {
        let catalog = Catalog {
            generation,
            services: infos(&services),
            ..Catalog::clone(&self.catalog)
        };
        Self {
            catalog: Arc::new(catalog),
            aliases: self.aliases.clone(),
            services,
            collections: self.collections.clone(),
            imported: self.imported.clone(),
            imported_aliases: self.imported_aliases.clone(),
        }
    }

    /// The operator's scope again, with other services and collections.
    pub(crate) fn with_all(
        &self,
        services: Services,
        collections: Collections,
        imported: BTreeSet<Arc<str>>,
        generation: u64,
    ) -> Self {
        let infos = collections.iter();
        let infos = infos.map(|(name, source)| (Arc::clone(name), source.info()));
        let scope = self.with_services(services, generation);
        let catalog = Catalog {
            collections: infos.collect(),
            ..Catalog::clone(&scope.catalog)
        };
        Self {
            catalog: Arc::new(catalog),
            collections,
            imported,
            ..scope
        }
    }

    /// This with other aliases.
    pub(crate) fn with_aliases(self, aliases: AllAliases) -> Self {
        let AllAliases {
            sources,
            aliases,
            foreign,
        } = aliases;
        let catalog = Catalog {
            aliases: sources,
            ..Catalog::clone(&self.catalog)
        };
        Self {
            catalog: Arc::new(catalog),
            aliases,
            imported_aliases: foreign,
            ..self
        }
    }

    /// Whether `name` is an alias of this server's own configuration.
    pub(crate) fn has_own_alias(&self, name: &str) -> bool {
        self.catalog.aliases.contains_key(name) && !self.imported_aliases.contains(name)
    }

    /// What `tenant` sees: of this, the operator's scope, the services that are public or granted,
    /// the collections that are granted, and the aliases that need nothing else; and its `own`
    /// services, which win where both have a name, so that nothing that the operator adds changes
    /// what a tenant's pipelines mean.
    pub(crate) fn of_tenant(&self, tenant: &Tenant, own: Services, generation: u64) -> Self {
        let mut services: Services = self
            .services
            .iter()
            .filter(|(name, service)| service.public || granted(&tenant.services, name))
            .map(|(name, service)| (Arc::clone(name), Arc::clone(service)))
            .collect();
        services.extend(own);
        let from_operator = |name: &str| {
            services
                .get(name)
                .is_some_and(|service| service.owner.is_none())
        };
        let visible = |alias: &str| {
            !services.contains_key(alias)
                && self.aliases.get(alias).is_some_and(|definition| {
                    definition
                        .calls()
                        .all(|(_, call)| from_operator(&call.name.text))
                })
        };
        let aliases = self.aliases.only(visible);
        let collections: Collections = self
            .collections
            .iter()
            .filter(|(name, _)| granted(&tenant.collections, name))
            .map(|(name, source)| (Arc::clone(name), Arc::clone(source)))
            .collect();
        let catalog = Catalog {
            generation,
            services: infos(&services),
            collections: kept(&self.catalog.collections, |name| {
                collections.contains_key(name)
            }),
            aliases: kept(&self.catalog.aliases, |name| aliases.get(name).is_some()),
            dynamic_pipeline: self.catalog.dynamic_pipeline,
        };
        Self {
            catalog: Arc::new(catalog),
            aliases,
            services,
            collections,
            imported: BTreeSet::new(),
            imported_aliases: BTreeSet::new(),
        }
    }

    /// Refuses a plan that calls an extension which waits for its answer.
    ///
    /// # Errors
    /// [`ErrorCode::EngineFailure`], naming the circle.
    pub(crate) fn check_circle(&self, plan: &Plan, context: &RequestContext) -> Result<()> {
        if context.chain.is_empty() {
            return Ok(());
        }
        self.services_of(plan)
            .try_for_each(|service| service.check_circle(context))
    }

    /// Whether a plan calls an extension.
    pub(crate) fn has_extension(&self, plan: &Plan) -> bool {
        self.services_of(plan)
            .any(|service| service.identity.is_some())
    }

    fn services_of(&self, plan: &Plan) -> impl Iterator<Item = &Service> {
        let nodes = plan.nodes.iter();
        nodes.filter_map(|node| self.services.get(&node.service).map(AsRef::as_ref))
    }

    /// A collection.
    ///
    /// # Errors
    /// RoutIR's own words when it cannot be named here.
    pub(crate) fn collection(&self, name: &str) -> Result<&Arc<dyn ContentSource>> {
        self.collections.get(name).ok_or_else(|| {
            let name = shorten(name);
            let message = format!("Service '{name}' not found or does not support content");
            Error::new(ErrorCode::UnknownName, message)
        })
    }

    /// Refuses to publish an extension of `owner` as `name` where that means something else.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`], saying what has the name.
    pub(crate) fn check_free(&self, owner: Option<&str>, name: &str) -> Result<()> {
        let taken = match self.services.get(name) {
            Some(service) if service.owner.as_deref() != owner => "a service of the operator",
            Some(service) if service.identity.is_none() => "a native service",
            None if self.catalog.aliases.contains_key(name) => "a pipeline alias",
            _ => return Ok(()),
        };
        Err(Error::invalid(format!(
            "`{name}` is the name of {taken}; publish the extension under another name"
        )))
    }
}

fn infos(services: &Services) -> BTreeMap<Arc<str>, ServiceInfo> {
    services
        .iter()
        .map(|(name, service)| (Arc::clone(name), service.info.clone()))
        .collect()
}

fn kept<V: Clone>(
    map: &BTreeMap<Arc<str>, V>,
    keep: impl Fn(&str) -> bool,
) -> BTreeMap<Arc<str>, V> {
    map.iter()
        .filter(|(name, _)| keep(name))
        .map(|(name, value)| (Arc::clone(name), value.clone()))
        .collect()
}
