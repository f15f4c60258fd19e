//! Datasets on a hub that the configuration names in place of files and folders.

use std::path::PathBuf;

use routir_config::{ConfigProblem, Loaded, Remote, Source};
use routir_core::Error;
use routir_hub::{Dataset, Hub};
use serde_json::Value;

use super::Trouble;

/// How the files of the segmented MS MARCO end.
const SEGMENTS: &str = ".json.gz";

/// A dataset, where it is named and for what.
struct Named {
    /// Its place in the configuration.
    place: String,
    what: Remote,
    path: String,
}

fn of_collection(loaded: &Loaded, i: usize) -> Vec<Named> {
    let Some(config) = loaded.config.collections.get(i) else {
        return Vec::new();
    };
    let views = config.views.iter();
    let views = views.filter_map(|(name, view)| match &view.source {
        Source::TextJsonl(text) if Remote::is_meant(&text.doc_path) => Some(Named {
            // The legacy keys stand where the view's source would.
            place: if config.is_legacy() {
                format!("collections[{i}].doc_path")
            } else {
                format!("collections[{i}].views.{name}.source.doc_path")
            },
            what: text.remote(),
            path: text.doc_path.clone(),
        }),
        _ => None,
    });
    views.collect()
}

fn of_services(loaded: &Loaded) -> Vec<Named> {
    let services = loaded.config.services.iter().enumerate();
    let named = services.filter_map(|(i, service)| match service.config.get("index_path") {
        Some(Value::String(path)) if Remote::is_meant(path) => Some(Named {
            place: format!("services[{i}].config.index_path"),
            what: Remote::Index,
            path: path.clone(),
        }),
        _ => None,
    });
    named.collect()
}

fn all(loaded: &Loaded) -> Vec<Named> {
    let collections = 0..loaded.config.collections.len();
    let of_collections = collections.flat_map(|i| of_collection(loaded, i));
    of_collections.chain(of_services(loaded)).collect()
}

/// Paths that begin as those of datasets and name none.
pub(super) fn problems(loaded: &Loaded) -> Vec<ConfigProblem> {
    let named = all(loaded).into_iter();
    let problems = named.filter_map(|it| {
        let error = Dataset::parse(&it.path)?.err()?;
        Some(loaded.problem(&it.place, error.message()))
    });
    problems.collect()
}

/// Fetches all datasets that are not in the cache yet; from then on their paths lead there. `false`
/// when there are none. Blocking.
pub(super) fn fetch(loaded: &mut Loaded, hub: &Hub, trouble: &mut Trouble) -> bool {
    let named = all(loaded);
    for it in &named {
        match fetched(it, hub) {
            Ok(path) => loaded.origin.lead(it.what, &it.path, path),
            Err(error) => trouble.add(loaded, &it.place, &error),
        }
    }
    !named.is_empty()
}

/// Fetches those of the `i`th collection.
///
/// # Errors
/// When one cannot be had.
pub(crate) fn fetch_collection(loaded: &mut Loaded, i: usize, hub: &Hub) -> Result<(), Error> {
    for it in of_collection(loaded, i) {
        let path = fetched(&it, hub)?;
        loaded.origin.lead(it.what, &it.path, path);
    }
    Ok(())
}

fn fetched(named: &Named, hub: &Hub) -> Result<PathBuf, Error> {
    let dataset = Dataset::parse(&named.path)
        .unwrap_or_else(|| Err(Error::internal("a local path is no dataset")))?;
    match named.what {
        Remote::Index => dataset.index(hub),
        Remote::Documents => dataset.documents(hub),
        Remote::Segments => dataset.files(hub, SEGMENTS),
    }
}
