//! From a configuration to a runtime: the only place where rooms meet.
//!
//! In two steps. [`Blueprint`] tries every engine without opening collections, models or indices,
//! which takes a moment whatever their size and finds everything that is wrong with the
//! configuration. [`Blueprint::build`] then opens the collections and builds what needs them.

mod aliases;
mod assemble;
mod build;
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
mod trouble;
mod warm;

use std::sync::Arc;

use anyhow::Context;
use assemble::{Around, assemble, natives};
use routir_config::{ConfigError, Loaded};
use routir_content::CollectionParts;
use routir_core::{ContentSource, Metrics};
use routir_engines::{EnginePool, SharedDevices, SharedFaiss, SharedModels};
use routir_exec::{LateHost, Runtime};
use routir_remote::relay::{Imports, Peers};

use crate::logging::warnings_only;
pub(crate) use datasets::fetch_collection;
use draft::{Draft, draft};
use extensions::Extensions;
pub(crate) use extensions::{COMPILE, Places};
pub(crate) use imports::Importing;
use kept::Kept;
pub(crate) use open::open_collection;
use outline::{Outline, Outlines};
use trouble::Trouble;
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
}
