//! The second step: what a blueprint becomes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use routir_config::Loaded;
use routir_content::CollectionParts;
use routir_core::{ContentSource, HostedModel, Roles};
use routir_engines::{BuildEnv, EngineSpec, Progress as EngineProgress, Purpose};
use routir_exec::Runtime;
use routir_extensions::{Registry, Watching};

use super::assemble::{Around, assemble, natives};
use super::extensions::Extensions;
use super::imports::Importing;
use super::kept::Kept;
use super::open::{Open, open_collection};
use super::trouble::Trouble;
use super::{Blueprint, datasets, draft};
use crate::progress::{Progress, Unit};

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

impl Blueprint {
    /// Fetches the datasets on a hub that the configuration names, if they are not here yet.
    /// Blocking.
    ///
    /// # Errors
    /// When one cannot be had.
    pub(super) fn fetch(&mut self) -> anyhow::Result<()> {
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
