//! Bundles and models from directories of YAML.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use routir_core::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Catalog;
use crate::cluster::KnownModel;
use crate::worker::Card;

/// The most files in a directory.
const MAX_FILES: usize = 10_000;
/// The largest file.
const MAX_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
struct Bundle {
    name: Option<String>,
    #[serde(default = "middling")]
    priority: i64,
    #[serde(default)]
    adapters: Vec<String>,
}

/// Lower wins.
fn middling() -> i64 {
    100
}

#[derive(Deserialize)]
struct Model {
    sie_id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Option<Profile>>,
    #[serde(default)]
    inputs: Value,
    #[serde(default)]
    tasks: Value,
    #[serde(default)]
    max_sequence_length: Value,
}

#[derive(Deserialize)]
struct Profile {
    adapter_path: Option<String>,
}

/// The catalogue of these directories; none without a directory of models. Reads files: not for
/// the reactor.
///
/// # Errors
/// For a directory that is not there, and for every file that is wrong, with its name and place.
pub(crate) fn read(bundles: Option<&Path>, models: Option<&Path>) -> Result<Option<Catalog>> {
    let Some(models) = models else {
        return Ok(None);
    };
    let mut ranked = Vec::new();
    for path in files(bundles)? {
        let bundle: Bundle = parse(&path)?;
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let name = bundle.name.or_else(|| stem.map(str::to_owned));
        let name = name.ok_or_else(|| wrong(&path, "the bundle has no name"))?;
        let adapters: BTreeSet<String> = bundle.adapters.into_iter().collect();
        ranked.push((bundle.priority, name.to_lowercase(), adapters));
    }
    ranked.sort();
    let mut found: BTreeMap<String, (KnownModel, Vec<Arc<str>>)> = BTreeMap::new();
    for path in files(Some(models))? {
        let model: Model = parse(&path)?;
        let Some(name) = model.sie_id.as_ref().or(model.name.as_ref()) else {
            return Err(wrong(&path, "`sie_id` is missing"));
        };
        let modules: BTreeSet<&str> = model
            .profiles
            .values()
            .flatten()
            .filter_map(|profile| profile.adapter_path.as_deref()?.split(':').next())
            .collect();
        let serves = |adapters: &BTreeSet<String>| {
            adapters
                .iter()
                .any(|adapter| modules.contains(adapter.as_str()))
        };
        let known = KnownModel {
            name: name.as_str().into(),
            bundles: ranked
                .iter()
                .filter(|(_, _, adapters)| serves(adapters))
                .map(|(_, bundle, _)| Arc::from(bundle.as_str()))
                .collect(),
            card: card(&model),
        };
        let profiles = model.profiles.keys().map(|name| Arc::from(name.as_str()));
        let entry = (known, profiles.collect());
        if found.insert(name.to_lowercase(), entry).is_some() {
            let why = format!(
                "model `{}` is in another file too",
                routir_core::shorten(name)
            );
            return Err(wrong(&path, &why));
        }
    }
    let models = found.into_values().collect();
    Ok(Some(Catalog::new(models, bundles.is_some())))
}

/// What the file says of the model beyond its name, in the form in which workers tell it.
fn card(model: &Model) -> Card {
    let inputs = match &model.inputs {
        Value::Object(map) => {
            let names = map.iter().filter(|(_, on)| **on == Value::Bool(true));
            Some(names.map(|(name, _)| json!(name)).collect())
        }
        Value::Array(_) => Some(model.inputs.clone()),
        _ => None,
    };
    let mut outputs = Vec::new();
    let mut dims = Map::new();
    for (task, settings) in model.tasks.as_object().into_iter().flatten() {
        if settings.is_null() {
            continue;
        }
        let kinds = settings.as_object().filter(|_| task == "encode");
        let Some(kinds) = kinds else {
            outputs.push(json!(task));
            continue;
        };
        for (kind, settings) in kinds.iter().filter(|(_, settings)| !settings.is_null()) {
            outputs.push(json!(kind));
            if let Some(dim) = settings.get("dim").or_else(|| settings.get("dims")) {
                dims.insert(kind.clone(), dim.clone());
            }
        }
    }
    let profiles: Vec<Value> = model.profiles.keys().map(|name| json!(name)).collect();
    Card {
        inputs,
        outputs: (!outputs.is_empty()).then_some(Value::Array(outputs)),
        dims: (!dims.is_empty()).then_some(Value::Object(dims)),
        max_sequence_length: Some(model.max_sequence_length.clone()).filter(|it| !it.is_null()),
        profiles: (!profiles.is_empty()).then_some(Value::Array(profiles)),
    }
}

/// The YAML files of a directory and of the directories in it, in order of their names.
fn files(directory: Option<&Path>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if let Some(directory) = directory {
        gather(directory, 1, &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn gather(directory: &Path, deeper: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let unread = |why: std::io::Error| wrong(directory, &format!("it cannot be read: {why}"));
    for entry in fs::read_dir(directory).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        if path.is_dir() {
            if deeper > 0 {
                gather(&path, deeper - 1, found)?;
            }
            continue;
        }
        let ending = path.extension().and_then(|ending| ending.to_str());
        if matches!(ending, Some("yaml" | "yml")) {
            if found.len() >= MAX_FILES {
                return Err(wrong(directory, "it holds more than 10000 files"));
            }
            found.push(path);
        }
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let unread = |why: std::io::Error| wrong(path, &format!("it cannot be read: {why}"));
    if fs::metadata(path).map_err(unread)?.len() > MAX_BYTES {
        return Err(wrong(path, "it is larger than 1 MiB"));
    }
    let text = fs::read_to_string(path).map_err(unread)?;
    // Its errors name line and column.
    serde_saphyr::from_str(&text).map_err(|why| wrong(path, &why.to_string()))
}

fn wrong(path: &Path, why: &str) -> Error {
    Error::invalid(format!("catalogue: `{}`: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn directory(files: &[(&str, &str)]) -> TempDir {
        let directory = TempDir::new().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    #[test]
    fn models_belong_to_the_bundles_that_have_their_adapters() {
        let bundles = directory(&[
            (
                "late.yaml",
                "name: Late\npriority: 200\nadapters: [a.dense, a.late]\n",
            ),
            ("default.yaml", "adapters:\n  - a.dense\ndefault: true\n"),
        ]);
        let models = directory(&[
            (
                "m3.yaml",
                "sie_id: BAAI/bge-m3\ninputs: {text: true, image: false}\n\
                 tasks: {encode: {dense: {dim: 1024}, sparse: {dim: 250002}}, score: null}\n\
                 max_sequence_length: 8192\n\
                 profiles: {default: {adapter_path: 'a.dense:Dense'}, small: {extends: default}}\n",
            ),
            (
                "deep/config.yml",
                "name: org/late\nprofiles: {default: {adapter_path: 'a.late:L'}}\n",
            ),
            ("notes.txt", "{"),
        ]);
        let catalog = read(Some(bundles.path()), Some(models.path()))
            .unwrap()
            .unwrap();
        let [m3, late] = catalog.known() else {
            panic!("{catalog:?}");
        };
        assert_eq!(
            m3.bundles,
            [Arc::<str>::from("default"), Arc::<str>::from("late")]
        );
        assert_eq!(late.bundles, [Arc::<str>::from("late")]);
        let card = serde_json::to_value(&m3.card).unwrap();
        assert_eq!(
            card,
            json!({
                "inputs": ["text"], "outputs": ["dense", "sparse"],
                "dims": {"dense": 1024, "sparse": 250_002}, "max_sequence_length": 8192,
                "profiles": ["default", "small"],
            })
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_line() {
        let told = |files: &[(&str, &str)]| {
            let models = directory(files);
            let error = read(None, Some(models.path())).unwrap_err();
            error.message().to_owned()
        };
        let message = told(&[("bad.yaml", "sie_id: a\nprofiles: [1]\n")]);
        assert!(
            message.contains("bad.yaml") && message.contains("line 2"),
            "{message}"
        );
        assert!(told(&[("none.yaml", "tasks: {}\n")]).contains("`sie_id` is missing"));
        let twice = told(&[("a.yaml", "sie_id: X\n"), ("b.yaml", "sie_id: x\n")]);
        assert!(twice.contains("in another file too"), "{twice}");
        assert!(read(None, Some(Path::new("/nowhere/at/all"))).is_err());
        assert!(read(None, None).unwrap().is_none());
    }
}
