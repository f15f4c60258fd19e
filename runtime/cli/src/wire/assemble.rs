//! The runtime of engines, collections and extensions that are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use routir_config::Loaded;
use routir_core::{ContentSource, Metrics, Roles};
use routir_exec::{LateHost, Runtime};

use super::extensions::Extensions;
use super::kept::Kept;
use super::settings;
use super::trouble::Trouble;

/// The engines of all native services by name, those that are always there first. `roles` are those
/// of the configuration's services in turn; an extension has none of its own yet.
pub(super) fn natives(
    loaded: &Loaded,
    roles: impl Iterator<Item = Roles>,
) -> BTreeMap<String, Roles> {
    let always = routir_engines::builtin_mergers().into_iter();
    let always = always.map(|(name, roles)| (name.to_owned(), roles));
    let services = loaded.config.services.iter();
    let configured = services.map(|service| service.name.clone()).zip(roles);
    let is_native = |(_, it): &(String, Roles)| {
        it.search.is_some() || it.score.is_some() || it.fuse.is_some() || it.decompose.is_some()
    };
    always.chain(configured.filter(is_native)).collect()
}

/// What a runtime is built into.
pub(super) struct Around<'a> {
    pub(super) metrics: &'a Metrics,
    /// Answers for the runtime once it is there.
    pub(super) host: Option<&'a LateHost>,
    pub(super) kept: &'a Kept,
}

/// The runtime of these engines, collections and extensions.
pub(super) fn assemble(
    loaded: &Loaded,
    around: &Around<'_>,
    natives: &BTreeMap<String, Roles>,
    collections: impl Iterator<Item = (String, Arc<dyn ContentSource>)>,
    extensions: Option<&Extensions>,
    trouble: &mut Trouble,
) -> Option<Runtime> {
    let Around {
        metrics,
        host,
        kept,
    } = *around;
    let config = &loaded.config;
    let threads = config.rt.engine_threads();
    let mut builder = Runtime::builder(settings::runtime(config, kept)).metrics(metrics.clone());
    if let Some(host) = host {
        builder = builder.bind(host);
    }
    for (name, roles) in routir_engines::builtin_mergers() {
        builder = builder.service(settings::merger(name, roles));
    }
    for (i, service) in config.services.iter().enumerate() {
        let roles = natives.get(&service.name).cloned().unwrap_or_default();
        if !extensions.is_some_and(|it| it.is_extension(i)) {
            let backing = kept.service(service);
            builder = builder.service(settings::service(service, roles, threads, backing));
        }
    }
    if let Some(extensions) = extensions {
        let host = builder.host();
        for it in extensions.services(loaded, &host, natives, trouble) {
            let configured = it.index.and_then(|index| config.services.get(index));
            builder = builder.service(settings::extension(configured, it, kept));
        }
    }
    for (name, source) in collections {
        builder = builder.collection(name, source);
    }
    for (name, source) in &config.pipeline_aliases {
        builder = builder.alias(name.as_str(), source.as_str());
    }
    for tenant in &config.tenants {
        builder = builder.tenant(tenant.tenant());
    }
    match builder.build() {
        Ok(runtime) => Some(runtime),
        Err(error) => {
            trouble.add(loaded, "", &error);
            None
        }
    }
}
