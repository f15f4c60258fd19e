//! Services and collections of other servers, which come and go while the runtime runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use routir_core::{ContentSource, Roles};
use routir_dsl::{AliasProblem, Aliases};

use crate::runtime::Runtime;
use crate::scope::{AllAliases, Collections, Scope, Services};
use crate::service::Service;
use crate::spec::ServiceSpec;

/// Everything that other servers offer, as it is to be from now on.
#[derive(Default)]
pub struct Imported {
    /// Services.
    pub services: Vec<ServiceSpec>,
    /// Collections by name.
    pub collections: Vec<(Arc<str>, Arc<dyn ContentSource>)>,
    /// Pipeline aliases: name to pipeline source.
    pub aliases: BTreeMap<Arc<str>, Arc<str>>,
}

/// What of an import is left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    /// The name, as `service x`, `collection x` or `alias x`.
    pub name: String,
    /// Why.
    pub why: &'static str,
}

const TAKEN: &str = "there is one of that name here";
const ALIAS: &str = "it is the name of a pipeline alias here";
const NO_NAME: &str = "it could not be written in a pipeline";
const NO_ALIAS: &str = "its definition is none here";

impl Runtime {
    /// Puts what other servers offer into service, in place of all that was imported before, in one
    /// step: a request sees all of it or nothing, and requests that have begun finish as they began.
    /// What stays as it was (by its engines) keeps its queue. Names that this server has itself, as
    /// services or aliases, win; what is left out for that is answered.
    ///
    /// Nothing happens, and no kept plan or answer is lost, when it is what is there already.
    pub fn set_imports(&self, imported: Imported) -> Vec<Left> {
        let (settings, metrics) = (&self.inner.settings, &self.inner.metrics);
        // Dropped after the lock is free: what leaves may take its time.
        let (_before, left) = {
            let mut generations = self.inner.generations.lock();
            let now = self.inner.snapshot.load_full();
            let operator = now.operator();
            let mut left = Vec::new();
            let services = services(operator, imported.services, &mut left, |spec| {
                Service::new(spec, None, settings.max_depth, metrics)
            });
            let (collections, names) = collections(operator, imported.collections, &mut left);
            let aliases = aliases(operator, imported.aliases, &services, &mut left);
            let same_aliases = operator.catalog.aliases == aliases.sources;
            if !same_aliases || !is_same(operator, &services, &collections) {
                let generation = generations.next();
                let operator = operator.with_all(services, collections, names, generation);
                let operator = operator.with_aliases(aliases);
                let next = now.with_operator(operator, &mut generations);
                self.inner.snapshot.store(Arc::new(next));
            }
            (now, left)
        };
        left
    }
}

fn services(
    operator: &Scope,
    specs: Vec<ServiceSpec>,
    left: &mut Vec<Left>,
    make: impl Fn(ServiceSpec) -> Service,
) -> Services {
    let own = operator.services.iter();
    let own = own.filter(|(_, service)| service.imported.is_none());
    let mut services: Services = own
        .map(|(name, service)| (Arc::clone(name), Arc::clone(service)))
        .collect();
    for spec in specs {
        let name = Arc::clone(&spec.name);
        let why = if !routir_dsl::is_name(&name) {
            Some(NO_NAME)
        } else if services.contains_key(&name) {
            Some(TAKEN)
        } else if operator.has_own_alias(&name) {
            Some(ALIAS)
        } else {
            None
        };
        if let Some(why) = why {
            let name = format!("service {}", routir_core::shorten(&name));
            left.push(Left { name, why });
            continue;
        }
        let before = operator.services.get(&name);
        let unchanged = before.filter(|before| {
            let roles = before.imported.as_ref();
            roles.is_some_and(|roles| same_roles(roles, &spec.roles))
        });
        let service = unchanged.cloned().unwrap_or_else(|| {
            let imported = Some(spec.roles.clone());
            Arc::new(Service {
                imported,
                ..make(spec)
            })
        });
        services.insert(name, service);
    }
    services
}

fn collections(
    operator: &Scope,
    imported: Vec<(Arc<str>, Arc<dyn ContentSource>)>,
    left: &mut Vec<Left>,
) -> (Collections, BTreeSet<Arc<str>>) {
    let own = operator.collections.iter();
    let own = own.filter(|(name, _)| !operator.imported.contains(*name));
    let mut collections: Collections = own
        .map(|(name, source)| (Arc::clone(name), Arc::clone(source)))
        .collect();
    let mut names = BTreeSet::new();
    for (name, source) in imported {
        if collections.contains_key(&name) {
            let name = format!("collection {}", routir_core::shorten(&name));
            left.push(Left { name, why: TAKEN });
            continue;
        }
        names.insert(Arc::clone(&name));
        collections.insert(name, source);
    }
    (collections, names)
}

/// The aliases from now on: this server's own, and of the others those that are fit for use beside
/// them.
fn aliases(
    operator: &Scope,
    imported: BTreeMap<Arc<str>, Arc<str>>,
    services: &Services,
    left: &mut Vec<Left>,
) -> AllAliases {
    let mut leave = |name: &str, why| {
        let name = format!("alias {}", routir_core::shorten(name));
        left.push(Left { name, why });
    };
    let own = operator.catalog.aliases.iter();
    let own = own.filter(|(name, _)| operator.has_own_alias(name));
    let mut sources: BTreeMap<Arc<str>, Arc<str>> = own
        .map(|(name, source)| (Arc::clone(name), Arc::clone(source)))
        .collect();
    let mut foreign = BTreeSet::new();
    for (name, source) in imported {
        if services.contains_key(&name) || sources.contains_key(&name) {
            leave(&name, TAKEN);
            continue;
        }
        foreign.insert(Arc::clone(&name));
        sources.insert(name, source);
    }
    loop {
        let definitions = sources.iter();
        let definitions = definitions.map(|(name, source)| (name.as_ref(), source.as_ref()));
        let problems = match Aliases::new(definitions, |_| false) {
            Ok(aliases) => {
                return AllAliases {
                    sources,
                    aliases,
                    foreign,
                };
            }
            Err(problems) => problems,
        };
        // Each round has fewer of them; what is left in the end is this server's own.
        let wrong = problems.iter().flat_map(names_of);
        let mut wrong: Vec<Arc<str>> = wrong.filter(|name| foreign.contains(name)).collect();
        wrong.dedup();
        if wrong.is_empty() {
            wrong.extend(foreign.iter().cloned());
        }
        if wrong.is_empty() {
            return AllAliases {
                sources: operator.catalog.aliases.clone(),
                aliases: operator.aliases.clone(),
                foreign,
            };
        }
        for name in wrong {
            if foreign.remove(&name) {
                sources.remove(&name);
                leave(&name, NO_ALIAS);
            }
        }
    }
}

fn names_of(problem: &AliasProblem) -> Vec<Arc<str>> {
    match problem {
        AliasProblem::NotAName { alias }
        | AliasProblem::ShadowsService { alias }
        | AliasProblem::Duplicate { alias }
        | AliasProblem::Definition { alias, .. } => vec![Arc::clone(alias)],
        AliasProblem::Cycle { path } => path.clone(),
        _ => Vec::new(),
    }
}

fn is_same(operator: &Scope, services: &Services, collections: &Collections) -> bool {
    let service = |(name, service): (&Arc<str>, &Arc<Service>)| {
        let now = operator.services.get(name);
        now.is_some_and(|now| Arc::ptr_eq(now, service))
    };
    let collection = |(name, source): (&Arc<str>, &Arc<dyn ContentSource>)| {
        let now = operator.collections.get(name);
        now.is_some_and(|now| same(now, source))
    };
    operator.services.len() == services.len()
        && operator.collections.len() == collections.len()
        && services.iter().all(service)
        && collections.iter().all(collection)
}

fn same_roles(one: &Roles, other: &Roles) -> bool {
    fn both<T: ?Sized>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => same(one, other),
            (None, None) => true,
            _ => false,
        }
    }
    both(one.search.as_ref(), other.search.as_ref())
        && both(one.score.as_ref(), other.score.as_ref())
        && both(one.fuse.as_ref(), other.fuse.as_ref())
        && both(one.decompose.as_ref(), other.decompose.as_ref())
}

/// Whether two handles are of one thing, whatever their tables of methods.
fn same<T: ?Sized>(one: &Arc<T>, other: &Arc<T>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}
