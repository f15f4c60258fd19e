//! Engines built over collections without documents, to find out what is wrong with them.

use std::path::Path;

use anyhow::Context;
use routir_config::Loaded;
use routir_core::Roles;
use routir_engines::{BuildEnv, EnginePool, EngineSpec};
use serde_json::{Map, Value};

use super::Trouble;
use super::outline::Outlines;

/// A service's engine.
pub(super) struct Draft {
    pub(super) roles: Roles,
    /// Whether it needs no collection and so is what will serve.
    pub(super) complete: bool,
}

/// Builds every native engine over collections without documents, in a directory that is then removed.
pub(super) fn draft(
    loaded: &Loaded,
    outlines: &Outlines,
    pool: &EnginePool,
    is_extension: &dyn Fn(usize) -> bool,
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
        if is_extension(i) {
            drafts.push(Draft {
                roles: Roles::default(),
                complete: true,
            });
            continue;
        }
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
            let place = scratch.join(format!("index-{moved}"));
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
