//! From a configuration to a runtime: the only place where rooms meet.
//!
//! In two steps. [`Blueprint`] builds every engine over collections without documents, which takes
//! a moment whatever their size and finds everything that is wrong with the configuration.
//! [`Blueprint::build`] then opens the collections and builds what needs their documents.

mod aliases;
mod outline;
pub(crate) mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use routir_config::{ConfigError, ConfigProblem, Loaded};
use routir_content::{Collection, CollectionParts, OpenOptions, Phase};
use routir_core::{ContentSource, DocumentScan, Error, Roles};
use routir_engines::{BuildEnv, Collections, EnginePool, EngineSpec, Progress as EngineProgress};
use routir_exec::Runtime;
use serde_json::{Map, Value};

use crate::failure::is_input;
use crate::logging::warnings_only;
use crate::progress::{Progress, Unit};
use outline::{Outline, Outlines, no_collection};

/// A configuration that has been checked as far as is possible without reading documents.
pub(crate) struct Blueprint {
    loaded: Loaded,
    drafts: Vec<Draft>,
    parts: Vec<CollectionParts>,
    outlines: Outlines,
    pool: EnginePool,
}

/// A service's engine.
struct Draft {
    roles: Roles,
    /// Whether it needs no collection and so is what will serve.
    complete: bool,
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
        trouble.problems.extend(taken_names(&loaded));
        let mut outlines = Outlines::default();
        let mut parts = Vec::new();
        for (i, config) in loaded.config.collections.iter().enumerate() {
            match CollectionParts::from_config(config, &loaded.origin) {
                Ok(found) => {
                    trouble.problems.extend(missing_files(&loaded, i, &found));
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
    let mut builder = Runtime::builder(settings::runtime(config));
    for (name, roles) in routir_engines::builtin_mergers() {
        builder = builder.service(settings::merger(name, roles));
    }
    for (service, roles) in config.services.iter().zip(roles) {
        builder = builder.service(settings::service(service, roles));
    }
    for (name, source) in collections {
        builder = builder.collection(name, source);
    }
    for (name, source) in &config.pipeline_aliases {
        builder = builder.alias(name.as_str(), source.as_str());
    }
    builder.build()
}

/// Builds every engine over collections without documents, in a directory that is then removed.
fn draft(
    loaded: &Loaded,
    outlines: &Outlines,
    pool: &EnginePool,
    trouble: &mut Trouble,
) -> anyhow::Result<Vec<Draft>> {
    let scratch = tempfile::Builder::new()
        .prefix("routir-rt-check-")
        .tempdir();
    let scratch = scratch.context("a temporary directory cannot be made")?;
    let env = BuildEnv {
        cache_dir: scratch.path().to_owned(),
        resolve_path: &|path| loaded.resolve_path(path),
        collections: outlines,
        progress: &|_| {},
        pool: pool.clone(),
    };
    let mut drafts = Vec::with_capacity(loaded.config.services.len());
    for (i, service) in loaded.config.services.iter().enumerate() {
        outlines.looked_at.set(false);
        let mut moved = 0;
        let config = away_from_real_indices(&service.config, scratch.path(), &mut moved);
        let spec = EngineSpec {
            name: &service.name,
            engine: &service.engine,
            config: &config,
        };
        match routir_engines::build(spec, &env) {
            Ok(roles) => {
                let complete = !outlines.looked_at.get() && moved == 0;
                drafts.push(Draft { roles, complete });
            }
            Err(error) => {
                let known = routir_engines::engine_names().contains(&service.engine.as_str());
                let key = if known { "config" } else { "engine" };
                trouble.add(loaded, &format!("services[{i}].{key}"), &error);
            }
        }
    }
    Ok(drafts)
}

/// The same configuration with every `index_path` moved into `scratch`: an index of no documents
/// must not take a real one's place.
fn away_from_real_indices(
    config: &Map<String, Value>,
    scratch: &Path,
    moved: &mut usize,
) -> Map<String, Value> {
    let mut config = config.clone();
    for (key, value) in &mut config {
        if key == "index_path" && value.is_string() {
            *moved += 1;
            let place: PathBuf = scratch.join(format!("index-{moved}"));
            *value = place.to_string_lossy().into();
        } else {
            each_object(value, &mut |map| {
                *map = away_from_real_indices(map, scratch, moved)
            });
        }
    }
    config
}

fn each_object(value: &mut Value, change: &mut dyn FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(map) => change(map),
        Value::Array(items) => items.iter_mut().for_each(|item| each_object(item, change)),
        _ => {}
    }
}

/// Services and aliases with the name of a merger that is always there.
fn taken_names(loaded: &Loaded) -> Vec<ConfigProblem> {
    let taken: BTreeSet<_> = routir_engines::builtin_mergers()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let says = |what: &str, name: &str| {
        format!("`{name}` is the name of a merger that is always there; rename the {what}")
    };
    let config = &loaded.config;
    let services = config.services.iter().enumerate();
    let services = services.filter(|(_, service)| taken.contains(service.name.as_str()));
    let services = services.map(|(i, service)| {
        loaded.problem(
            &format!("services[{i}].name"),
            says("service", &service.name),
        )
    });
    let aliases = config
        .pipeline_aliases
        .keys()
        .filter(|name| taken.contains(name.as_str()));
    let aliases = aliases
        .map(|name| loaded.problem(&format!("pipeline_aliases.{name}"), says("alias", name)));
    services.chain(aliases).collect()
}

/// Files of the `i`th collection that are not there.
fn missing_files(loaded: &Loaded, i: usize, parts: &CollectionParts) -> Vec<ConfigProblem> {
    let effective = loaded.effective();
    let legacy = effective
        .pointer(&format!("/collections/{i}/views"))
        .is_none();
    let documents = parts.views.iter().map(|view| {
        let path = if legacy {
            format!("collections[{i}].doc_path")
        } else {
            format!("collections[{i}].views.{}.source.doc_path", view.name)
        };
        (path, &view.doc_path)
    });
    let languages = parts.languages.iter();
    let languages = languages.map(|path| (format!("collections[{i}].id_to_lang_mapping"), path));
    documents
        .chain(languages)
        .filter(|(_, file)| !file.is_file())
        .map(|(path, file)| {
            let message = format!("there is no file `{}`", file.display());
            loaded.problem(&path, message)
        })
        .collect()
}

fn open_collection(parts: &CollectionParts, progress: &Progress) -> Result<Collection, Error> {
    let tell = |now: routir_content::Progress<'_>| {
        let doing = match now.phase {
            Phase::Unpacking => "unpacking",
            Phase::Indexing => "indexing",
            Phase::Loading => "loading",
        };
        let label = format!("collection {}: {doing} {}", parts.name, now.path.display());
        progress.tell(&label, now.bytes_done, now.bytes_total, Unit::Bytes);
    };
    let options = OpenOptions {
        progress: Some(&tell),
        ..OpenOptions::default()
    };
    let collection = Collection::open_parts(parts, &options);
    progress.finish();
    collection
}

/// Collections that are open.
#[derive(Default)]
struct Open(BTreeMap<String, Collection>);

impl Open {
    fn documents(&self) -> Result<BTreeMap<String, usize>, Error> {
        let count = |(name, it): (&String, &Collection)| Ok((name.clone(), it.scan(None)?.len()));
        self.0.iter().map(count).collect()
    }
}

impl Collections for Open {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn scan(&self, collection: &str, view: Option<&str>) -> Result<Arc<dyn DocumentScan>, Error> {
        let names = self.0.keys().map(String::as_str);
        self.0
            .get(collection)
            .ok_or_else(|| no_collection(collection, names))?
            .scan(view)
    }
}
