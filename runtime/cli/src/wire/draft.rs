//! Engines tried but not opened, to find out what is wrong with their configuration.

use std::cell::Cell;
use std::path::PathBuf;

use routir_config::{HostedModelConfig, Loaded};
use routir_core::{ErrorCode, Roles};
use routir_engines::{BuildEnv, EngineSpec, Purpose};

use super::outline::Outlines;
use super::{Shared, Trouble};

/// A service's engine.
pub(super) struct Draft {
    pub(super) roles: Roles,
    /// Whether it is what will serve, as an engine is that needs no collection, model or index.
    pub(super) complete: bool,
}

/// Tries every native engine; nothing is written.
pub(super) fn draft(
    loaded: &Loaded,
    outlines: &Outlines,
    shared: &Shared,
    is_extension: &dyn Fn(usize) -> bool,
    trouble: &mut Trouble,
) -> Vec<Draft> {
    let stood_in = Cell::new(false);
    let env = BuildEnv {
        purpose: Purpose::Check(&stood_in),
        cache_dir: PathBuf::new(),
        resolve_path: &|path| loaded.resolve_path(path),
        collections: outlines,
        progress: &|_| {},
        pool: shared.pool.clone(),
        models: &shared.models,
        faiss: &shared.faiss,
        devices: &shared.devices,
        host: Some(shared.host.host()),
        peers: &shared.peers,
    };
    let mut drafts = Vec::with_capacity(loaded.config.services.len());
    for (i, service) in loaded.config.services.iter().enumerate() {
        if is_extension(i) {
            drafts.push(Draft {
                roles: Roles::default(),
                complete: true,
            });
            continue;
        }
        stood_in.set(false);
        let spec = EngineSpec {
            name: &service.name,
            engine: &service.engine,
            config: &service.config,
        };
        match routir_engines::build(spec, &env) {
            Ok(roles) => drafts.push(Draft {
                roles,
                complete: !stood_in.get(),
            }),
            Err(error) => {
                let known = routir_engines::engine_names().contains(&service.engine.as_str());
                let key = if known { "config" } else { "engine" };
                trouble.add(loaded, &format!("services[{i}].{key}"), &error);
            }
        }
    }
    for (i, model) in loaded.config.rt.worker.models.iter().enumerate() {
        if let Err(error) = routir_engines::host(hosted(model), &env) {
            let key = if error.code() == ErrorCode::Unsupported {
                "engine"
            } else {
                "config"
            };
            trouble.add(loaded, &format!("rt.worker.models[{i}].{key}"), &error);
        }
    }
    drafts
}

/// What the configuration says of an encoder without a service.
pub(super) fn hosted(model: &HostedModelConfig) -> EngineSpec<'_> {
    EngineSpec {
        name: &model.name,
        engine: &model.engine,
        config: &model.config,
    }
}
