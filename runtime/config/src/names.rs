//! Names that extensions and tenants speak of and nobody has.

use std::collections::BTreeSet;

use routir_core::{granted, nearest};

use crate::tree::Path;
use crate::validate::Fault;
use crate::{ConfigProblem, Loaded};

impl Loaded {
    /// Services and collections that extensions and tenants speak of and that are not there:
    /// fallbacks, collections, grants that match nothing.
    ///
    /// Besides the configuration's own services there are `mergers`, which everybody may call, and
    /// those that `file_imports` brought, `imported`.
    #[must_use]
    pub fn unknown_names(&self, mergers: &[&str], imported: &[&str]) -> Vec<ConfigProblem> {
        let config = &self.config;
        let own = config.services.iter().map(|service| &*service.name);
        let also = mergers.iter().chain(imported).copied();
        let mut finder = Finder {
            loaded: self,
            services: own.chain(also).collect(),
            collections: config.collections.iter().map(|it| &*it.name).collect(),
            faults: Vec::new(),
        };
        finder.extensions();
        finder.tenants(mergers);
        self.told(finder.faults)
    }
}

struct Finder<'a> {
    loaded: &'a Loaded,
    services: BTreeSet<&'a str>,
    collections: BTreeSet<&'a str>,
    faults: Vec<Fault>,
}

impl Finder<'_> {
    fn extensions(&mut self) {
        for (i, service) in self.loaded.config.services.iter().enumerate() {
            let Ok(Some(extension)) = service.extension() else {
                continue;
            };
            let path = Path::default().key("services").index(i).key("config");
            if let Some(name) = &extension.collection
                && !self.collections.contains(name.as_str())
                && self.loaded.config.server_imports.is_empty()
            {
                let help = hint(name, &self.collections, "collections");
                self.fault(
                    path.key("collection"),
                    format!("there is no collection `{name}`"),
                    help,
                );
            }
            if let Some(name) = &extension.on_failure.fallback {
                let path = path.key("on_failure").key("fallback");
                if !self.is_service(&path, name) {
                    continue;
                }
                let circle = self.circle(&service.name);
                if !circle.is_empty() {
                    let message = format!("the fallback leads back to itself: {circle}");
                    self.fault(path, message, "end with a service that is no extension");
                }
            }
        }
    }

    fn tenants(&mut self, mergers: &[&str]) {
        for (i, tenant) in self.loaded.config.tenants.iter().enumerate() {
            let path = Path::default().key("tenants").index(i);
            let grants = path.key("grants");
            let hosted = self.loaded.config.rt.worker.models.iter();
            let mut services = self.services.clone();
            services.extend(hosted.map(|model| &*model.name));
            self.patterns(
                &grants.key("services"),
                "service",
                &tenant.grants.services,
                &services,
            );
            let collections = self.collections.clone();
            let patterns = &tenant.grants.collections;
            self.patterns(
                &grants.key("collections"),
                "collection",
                patterns,
                &collections,
            );
            if let Some(name) = &tenant.on_failure.fallback {
                let path = path.key("on_failure").key("fallback");
                let may =
                    mergers.contains(&name.as_str()) || granted(&tenant.grants.services, name);
                if self.is_service(&path, name) && !may {
                    let message = format!("the tenant may not call the service `{name}`");
                    self.fault(path, message, "add it to `grants.services`");
                }
            }
        }
    }

    /// Each pattern matches something.
    fn patterns(&mut self, path: &Path, what: &str, patterns: &[String], names: &BTreeSet<&str>) {
        // What other servers offer is not known before they are asked.
        if !self.loaded.config.server_imports.is_empty() {
            return;
        }
        for (i, pattern) in patterns.iter().enumerate() {
            let alone = std::slice::from_ref(pattern);
            if names.iter().any(|name| granted(alone, name)) {
                continue;
            }
            // That there is nothing yet to grant is no mistake of who grants all of it.
            if pattern == "*" {
                continue;
            }
            let help = hint(&pattern.replace('*', ""), names, &format!("{what}s"));
            let message = format!("`{pattern}` matches no {what}");
            self.fault(path.index(i), message, help);
        }
    }

    fn is_service(&mut self, path: &Path, name: &str) -> bool {
        let is = self.services.contains(name);
        if !is {
            let help = hint(name, &self.services, "services");
            self.fault(path.clone(), format!("there is no service `{name}`"), help);
        }
        is
    }

    /// The way from an extension by its fallbacks to itself, if that is where they lead.
    fn circle(&self, start: &str) -> String {
        let next = |name: &str| {
            let services = &self.loaded.config.services;
            let service = services.iter().find(|service| service.name == name)?;
            service.extension().ok()??.on_failure.fallback
        };
        let mut way = start.to_owned();
        let mut at = start.to_owned();
        for _ in 0..self.loaded.config.services.len() {
            let Some(name) = next(&at) else {
                return String::new();
            };
            way += &format!(" -> {name}");
            if name == start {
                return way;
            }
            at = name;
        }
        String::new()
    }

    fn fault(&mut self, path: Path, message: String, help: impl Into<String>) {
        let fault = Fault::new(path, &self.loaded.tree, message);
        self.faults.push(fault.help(help));
    }
}

/// What was meant, or what there is.
fn hint(name: &str, names: &BTreeSet<&str>, what: &str) -> String {
    const MOST: usize = 10;
    if let Some(near) = nearest(name, names.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    let mut shown: Vec<_> = names
        .iter()
        .take(MOST)
        .map(|name| format!("`{name}`"))
        .collect();
    if names.len() > MOST {
        shown.push("…".to_owned());
    }
    match shown.is_empty() {
        true => format!("there are no {what}"),
        false => format!("the {what} are {}", shown.join(", ")),
    }
}
