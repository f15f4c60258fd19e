//! From a configuration to a runtime: the only place where rooms meet.
//!
//! In two steps. [`Blueprint`] tries every engine without opening collections, models or indices,
//! which takes a moment whatever their size and finds everything that is wrong with the
//! configuration. [`Blueprint::build`] then opens the collections and builds what needs them.

mod aliases;
mod datasets;
mod draft;
mod extensions;
mod gpu;
mod identity;
mod imports;
mod kept;
mod names;
mod needs;
mod open;
mod outline;
pub(crate) mod settings;
mod warm;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use routir_config::{ConfigError, ConfigProblem, Loaded};
use routir_content::CollectionParts;
use routir_core::{ContentSource, Error, HostedModel, Metrics, Roles};
use routir_engines::{
    BuildEnv, EnginePool, EngineSpec, Progress as EngineProgress, Purpose, SharedDevices,
    SharedFaiss, SharedModels,
};
use routir_exec::{LateHost, Runtime};
use routir_extensions::{Registry, Watching};
use routir_remote::relay::{Imports, Peers};

use crate::failure::is_input;
use crate::logging::warnings_only;
use crate::progress::{Progress, Unit};
pub(crate) use datasets::fetch_collection;
use draft::{Draft, draft};
use extensions::Extensions;
pub(crate) use extensions::{COMPILE, Places};
pub(crate) use imports::Importing;
use kept::Kept;
use open::Open;
pub(crate) use open::open_collection;
use outline::{Outline, Outlines};
pub(crate) use warm::Warmth;

/// A configuration that has been checked as far as is possible without reading documents.
pub(crate) struct Blueprint {
    loaded: Loaded,
    drafts: Vec<Draft>,
    parts: Vec<CollectionParts>,
    outlines: Outlines,
    shared: Shared,
    extensions: Option<Extensions>,
    imports: Option<Arc<Imports>>,
    /// Whether encoders without a service are opened.
    hosting: bool,
}

/// What all engines share.
struct Shared {
    pool: EnginePool,
    models: SharedModels,
    faiss: SharedFaiss,
    devices: SharedDevices,
    /// The runtime, for engines that search with its services; bound when it is there.
    host: LateHost,
    peers: Peers,
    metrics: Metrics,
}

impl Shared {
    fn new(loaded: &Loaded) -> Self {
        let metrics = Metrics::default();
        let faiss = loaded.config.rt.faiss.as_deref();
        Self {
            pool: EnginePool::new(loaded.config.rt.engine_threads()),
            models: settings::models(loaded, metrics.clone()),
            faiss: SharedFaiss::new(faiss.map(|folder| loaded.resolve_path(folder))),
            devices: SharedDevices::default(),
            host: LateHost::default(),
            peers: Peers::default(),
            metrics,
        }
    }
}

/// What a configuration became.
pub(crate) struct Built {
    pub(crate) runtime: Runtime,
    /// How many documents each collection holds, where that is known.
    pub(crate) documents: BTreeMap<String, Option<usize>>,
    /// Other servers whose services are offered here too.
    pub(crate) importing: Option<Importing>,
    /// The id by which this server tells its own requests when others hand them back.
    pub(crate) server_id: Arc<str>,
    /// The models that engines opened.
    pub(crate) models: Arc<[HostedModel]>,
    loaded: Loaded,
    extensions: Option<Extensions>,
    /// The engines of native services by name.
    natives: BTreeMap<String, Roles>,
}

/// What went wrong: what can be laid at a place of the configuration, and the rest.
#[derive(Default)]
struct Trouble {
    problems: Vec<ConfigProblem>,
    others: Vec<String>,
}

impl Trouble {
    fn add(&mut self, loaded: &Loaded, path: &str, error: &Error) {
        if is_input(error.code()) {
            self.problems.push(loaded.problem(path, error.message()));
        } else {
            self.others.push(error.message().to_owned());
        }
    }

    /// All of it as one error; what the user can mend comes first.
    fn into_result(mut self, loaded: &Loaded) -> anyhow::Result<()> {
        self.problems
            .sort_by_key(|problem| (problem.line, problem.column));
        match (self.problems.is_empty(), self.others.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(anyhow::anyhow!(self.others.join("\n"))),
            (false, _) => {
                for other in self.others {
                    tracing::error!("{other}");
                }
                Err(loaded.error(self.problems).into())
            }
        }
    }
}

/// Reads a configuration; refuses what this version cannot do.
pub(crate) fn load(path_or_json: &str) -> Result<Loaded, ConfigError> {
    let loaded = routir_config::Config::load(path_or_json)?;
    match loaded.refusals() {
        refusals if refusals.is_empty() => Ok(loaded),
        refusals => Err(loaded.error(refusals)),
    }
}

impl Blueprint {
    /// Checks `loaded`: names, files, every engine's configuration, aliases. Must be called within
    /// a tokio runtime. Blocking.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub(crate) fn draw(loaded: Loaded, places: Places) -> anyhow::Result<Self> {
        let mut trouble = Trouble::default();
        trouble.problems.extend(names::taken_names(&loaded));
        trouble.problems.extend(datasets::problems(&loaded));
        let mut outlines = Outlines::default();
        let mut parts = Vec::new();
        for (i, config) in loaded.config.collections.iter().enumerate() {
            match CollectionParts::from_config(config, &loaded.origin) {
                Ok(found) => {
                    trouble
                        .problems
                        .extend(names::missing_files(&loaded, i, &found));
                    outlines
                        .by_name
                        .insert(found.name.clone(), Arc::new(Outline::new(&found)));
                    parts.push(found);
                }
                Err(error) => trouble.add(&loaded, &format!("collections[{i}]"), &error),
            }
        }
        let shared = Shared::new(&loaded);
        let imports = imports::imports(&loaded, &shared.peers, &mut trouble);
        let missing = loaded.missing_files();
        let extensions = if missing.is_empty() {
            Extensions::load(&loaded, places, &shared.metrics, &mut trouble)?
        } else {
            None
        };
        trouble.problems.extend(missing);
        let keys = loaded.tenant_keys(|name| std::env::var(name).ok());
        trouble.problems.extend(keys.err().unwrap_or_default());
        trouble
            .problems
            .extend(names::unknown_names(&loaded, extensions.as_ref()));
        let drafts = warnings_only(|| {
            let is_extension = |i: usize| match &extensions {
                Some(extensions) => extensions.is_extension(i),
                // What is wrong with it has been told.
                None => loaded
                    .config
                    .services
                    .get(i)
                    .is_some_and(|it| it.engine == "Extension"),
            };
            trouble
                .problems
                .extend(kept::problems(&loaded, &is_extension));
            draft(&loaded, &outlines, &shared, &is_extension, &mut trouble)
        });
        let blueprint = Self {
            extensions,
            imports,
            drafts,
            parts,
            outlines,
            shared,
            loaded,
            hosting: false,
        };
        if trouble.problems.is_empty()
            && trouble.others.is_empty()
            && let Some(runtime) = blueprint.assemble_outline(&mut trouble)
            // What other servers offer is not known yet.
            && blueprint.imports.is_none()
        {
            let catalog = runtime.catalog();
            trouble.problems = aliases::problems(&blueprint.loaded, &catalog);
            let roles = blueprint.drafts.iter().map(|draft| &draft.roles);
            let needs = needs::problems(&blueprint.loaded, &catalog, roles);
            trouble.problems.extend(needs);
        }
        trouble.into_result(&blueprint.loaded)?;
        Ok(blueprint)
    }

    /// The same for a server, which hosts encoders that no service needs, too.
    pub(crate) fn hosting(self) -> Self {
        Self {
            hosting: true,
            ..self
        }
    }

    /// The configuration.
    pub(crate) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// A runtime that can compile pipelines but finds no documents.
    ///
    /// # Errors
    /// None that [`Blueprint::draw`] has not found.
    pub(crate) fn runtime(&self) -> anyhow::Result<Runtime> {
        let mut trouble = Trouble::default();
        let runtime = self.assemble_outline(&mut trouble);
        trouble.into_result(&self.loaded)?;
        runtime.context("the configuration makes no runtime")
    }

    /// Asks the servers that are imported what they offer and puts that into `runtime`, so that
    /// pipelines over it compile. Those that do not answer are told, not refused. Blocking.
    pub(crate) fn ask_imports(&self, runtime: &Runtime) {
        if let Some(imports) = &self.imports {
            imports::ask(imports, runtime);
        }
    }

    fn assemble_outline(&self, trouble: &mut Trouble) -> Option<Runtime> {
        let collections = self.outlines.by_name.iter();
        let collections =
            collections.map(|(name, it)| (name.clone(), Arc::clone(it) as Arc<dyn ContentSource>));
        let roles = self.drafts.iter().map(|draft| draft.roles.clone());
        let natives = natives(&self.loaded, roles);
        let extensions = self.extensions.as_ref();
        let around = Around {
            metrics: &self.shared.metrics,
            host: None,
            kept: &Kept::default(),
        };
        assemble(
            &self.loaded,
            &around,
            &natives,
            collections,
            extensions,
            trouble,
        )
    }

    /// Fetches the datasets on a hub that the configuration names, if they are not here yet.
    /// Blocking.
    ///
    /// # Errors
    /// When one cannot be had.
    fn fetch(&mut self) -> anyhow::Result<()> {
        let mut trouble = Trouble::default();
        let hub = self.shared.models.compute().hub();
        if datasets::fetch(&mut self.loaded, hub, &mut trouble) {
            for (i, config) in self.loaded.config.collections.iter().enumerate() {
                let found = CollectionParts::from_config(config, &self.loaded.origin);
                match (found, self.parts.get_mut(i)) {
                    (Ok(found), Some(parts)) => *parts = found,
                    (Ok(_), None) => {}
                    (Err(error), _) => trouble.add(&self.loaded, "", &error),
                }
            }
        }
        trouble.into_result(&self.loaded)
    }

    /// Opens the collections and builds the engines, for as long as that takes. Must be called
    /// within a tokio runtime. Blocking.
    ///
    /// # Errors
    /// Everything that stood in the way.
    pub(crate) fn build(mut self, cache_dir: &Path, progress: &Progress) -> anyhow::Result<Built> {
        self.fetch()?;
        let Self {
            loaded,
            drafts,
            parts,
            shared,
            extensions,
            imports,
            hosting,
            ..
        } = self;
        let mut trouble = Trouble::default();
        let mut open = Open::default();
        for (i, parts) in parts.iter().enumerate() {
            match open_collection(parts, progress) {
                Ok(collection) => {
                    open.0.insert(parts.name.clone(), collection);
                }
                Err(error) => trouble.add(&loaded, &format!("collections[{i}]"), &error),
            }
        }
        trouble.into_result(&loaded)?;
        let mut trouble = Trouble::default();
        let mut roles = Vec::with_capacity(drafts.len());
        let env = BuildEnv {
            purpose: Purpose::Serve,
            models: &shared.models,
            faiss: &shared.faiss,
            devices: &shared.devices,
            host: Some(shared.host.host()),
            peers: &shared.peers,
            cache_dir: cache_dir.to_owned(),
            resolve_path: &|path| loaded.resolve_path(path),
            collections: &open,
            progress: &|now: EngineProgress<'_>| {
                let label = format!("service {}: {}", now.service, now.task);
                progress.tell(&label, now.done, now.total, Unit::Items);
            },
            pool: shared.pool.clone(),
        };
        for (i, (draft, config)) in drafts.into_iter().zip(&loaded.config.services).enumerate() {
            if draft.complete {
                roles.push(draft.roles);
                continue;
            }
            let spec = EngineSpec {
                name: &config.name,
                engine: &config.engine,
                config: &config.config,
            };
            match routir_engines::build(spec, &env) {
                Ok(built) => roles.push(built),
                Err(error) => trouble.add(&loaded, &format!("services[{i}].config"), &error),
            }
        }
        let hosted = loaded.config.rt.worker.models.iter().enumerate();
        for (i, model) in hosted.filter(|_| hosting) {
            if let Err(error) = routir_engines::host(draft::hosted(model), &env) {
                trouble.add(&loaded, &format!("rt.worker.models[{i}].config"), &error);
            }
        }
        progress.finish();
        trouble.into_result(&loaded)?;
        let documents = open.documents();
        let collections = open.0.into_iter();
        let collections =
            collections.map(|(name, it)| (name, Arc::new(it) as Arc<dyn ContentSource>));
        let natives = natives(&loaded, roles.into_iter());
        let mut trouble = Trouble::default();
        let kept = Kept::open(&loaded, &shared.metrics);
        let around = Around {
            metrics: &shared.metrics,
            host: Some(&shared.host),
            kept: &kept,
        };
        let runtime = assemble(
            &loaded,
            &around,
            &natives,
            collections,
            extensions.as_ref(),
            &mut trouble,
        );
        trouble.into_result(&loaded)?;
        let runtime = runtime.context("the configuration makes no runtime")?;
        let documents_kept = kept.relay_content(&loaded.config);
        let importing = imports.map(|it| {
            let backing = documents_kept.as_ref();
            Importing::begin(it, &loaded, &runtime, backing, &shared.metrics)
        });
        Ok(Built {
            runtime,
            documents,
            importing,
            server_id: Arc::clone(shared.peers.id()),
            models: shared.models.hosted(),
            loaded,
            extensions,
            natives,
        })
    }
}

impl Built {
    /// The tenants' registry, put back to where it was, with their directories watched; `None`
    /// without tenants. Blocking, within a tokio runtime.
    ///
    /// # Errors
    /// A state directory that cannot be used.
    pub(crate) fn open_registry(&mut self) -> anyhow::Result<Option<(Registry, Watching)>> {
        let natives = std::mem::take(&mut self.natives);
        match &self.extensions {
            Some(extensions) if !self.loaded.config.tenants.is_empty() => extensions
                .open_registry(&self.loaded, &self.runtime, natives)
                .map(Some),
            _ => Ok(None),
        }
    }
}

/// The engines of all native services by name, those that are always there first. `roles` are those
/// of the configuration's services in turn; an extension has none of its own yet.
fn natives(loaded: &Loaded, roles: impl Iterator<Item = Roles>) -> BTreeMap<String, Roles> {
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
struct Around<'a> {
    metrics: &'a Metrics,
    /// Answers for the runtime once it is there.
    host: Option<&'a LateHost>,
    kept: &'a Kept,
}

/// The runtime of these engines, collections and extensions.
fn assemble(
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
