//! From a configuration to a runtime: the only place where rooms meet.
//!
//! In two steps. [`Blueprint`] builds every engine over collections without documents, which takes
//! a moment whatever their size and finds everything that is wrong with the configuration.
//! [`Blueprint::build`] then opens the collections and builds what needs their documents.

mod aliases;
mod draft;
mod names;
mod open;
mod outline;
pub(crate) mod settings;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use routir_config::{ConfigError, ConfigProblem, Loaded};
use routir_content::CollectionParts;
use routir_core::{ContentSource, Error, Roles};
use routir_engines::{BuildEnv, EnginePool, EngineSpec, Progress as EngineProgress};
use routir_exec::Runtime;

use crate::failure::is_input;
use crate::logging::warnings_only;
use crate::progress::{Progress, Unit};
use draft::{Draft, draft};
use open::{Open, open_collection};
use outline::{Outline, Outlines};

/// A configuration that has been checked as far as is possible without reading documents.
pub(crate) struct Blueprint {
    loaded: Loaded,
    drafts: Vec<Draft>,
    parts: Vec<CollectionParts>,
    outlines: Outlines,
    pool: EnginePool,
}

/// A runtime and how many documents each of its collections holds.
pub(crate) struct Built {
    pub(crate) runtime: Runtime,
    pub(crate) documents: BTreeMap<String, usize>,
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
    pub(crate) fn draw(loaded: Loaded) -> anyhow::Result<Self> {
        let mut trouble = Trouble::default();
        trouble.problems.extend(names::taken_names(&loaded));
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
        let pool = EnginePool::new(loaded.config.rt.engine_threads());
        let drafts = warnings_only(|| draft(&loaded, &outlines, &pool, &mut trouble))?;
        let blueprint = Self {
            drafts,
            parts,
            outlines,
            pool,
            loaded,
        };
        if trouble.problems.is_empty() && trouble.others.is_empty() {
            match blueprint.runtime() {
                Ok(runtime) => {
                    trouble.problems = aliases::problems(&blueprint.loaded, &runtime.catalog());
                }
                Err(error) => trouble.add(&blueprint.loaded, "", &error),
            }
        }
        trouble.into_result(&blueprint.loaded)?;
        Ok(blueprint)
    }

    /// The configuration.
    pub(crate) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// A runtime that can compile pipelines but finds no documents.
    pub(crate) fn runtime(&self) -> Result<Runtime, Error> {
        let collections = self.outlines.by_name.iter();
        let collections =
            collections.map(|(name, it)| (name.clone(), Arc::clone(it) as Arc<dyn ContentSource>));
        let roles = self.drafts.iter().map(|draft| draft.roles.clone());
        assemble(&self.loaded, roles, collections)
    }

    /// Opens the collections and builds the engines, for as long as that takes. Must be called
    /// within a tokio runtime. Blocking.
    ///
    /// # Errors
    /// Everything that stood in the way.
    pub(crate) fn build(self, cache_dir: &Path, progress: &Progress) -> anyhow::Result<Built> {
        let Self {
            loaded,
            drafts,
            parts,
            pool,
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
            cache_dir: cache_dir.to_owned(),
            resolve_path: &|path| loaded.resolve_path(path),
            collections: &open,
            progress: &|now: EngineProgress<'_>| {
                let label = format!("service {}: {}", now.service, now.task);
                progress.tell(&label, now.done, now.total, Unit::Items);
            },
            pool,
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
        progress.finish();
        trouble.into_result(&loaded)?;
        let documents = open.documents()?;
        let collections = open.0.into_iter();
        let collections =
            collections.map(|(name, it)| (name, Arc::new(it) as Arc<dyn ContentSource>));
        let runtime = assemble(&loaded, roles.into_iter(), collections)?;
        Ok(Built { runtime, documents })
    }
}

/// The runtime of these engines, one for each service of the configuration, and collections.
fn assemble(
    loaded: &Loaded,
    roles: impl Iterator<Item = Roles>,
    collections: impl Iterator<Item = (String, Arc<dyn ContentSource>)>,
) -> Result<Runtime, Error> {
    let config = &loaded.config;
    let threads = config.rt.engine_threads();
    let mut builder = Runtime::builder(settings::runtime(config));
    for (name, roles) in routir_engines::builtin_mergers() {
        builder = builder.service(settings::merger(name, roles));
    }
    for (service, roles) in config.services.iter().zip(roles) {
        builder = builder.service(settings::service(service, roles, threads));
    }
    for (name, source) in collections {
        builder = builder.collection(name, source);
    }
    for (name, source) in &config.pipeline_aliases {
        builder = builder.alias(name.as_str(), source.as_str());
    }
    builder.build()
}
