//! What can be wrong with a configuration that only the wiring sees: names that are taken, files
//! that are not there.

use std::collections::BTreeSet;

use routir_config::{ConfigProblem, Loaded, Remote};
use routir_content::CollectionParts;

use super::extensions::Extensions;

/// Services and aliases with the name of a merger that is always there.
pub(super) fn taken_names(loaded: &Loaded) -> Vec<ConfigProblem> {
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
pub(super) fn missing_files(
    loaded: &Loaded,
    i: usize,
    parts: &CollectionParts,
) -> Vec<ConfigProblem> {
    let effective = loaded.effective();
    let legacy = effective
        .pointer(&format!("/collections/{i}/views"))
        .is_none();
    let documents = parts.views.iter().filter_map(|view| {
        let path = if legacy {
            format!("collections[{i}].doc_path")
        } else {
            format!("collections[{i}].views.{}.source.doc_path", view.name())
        };
        Some((path, view.doc_path()?))
    });
    let languages = parts.languages.iter();
    let languages = languages.map(|path| (format!("collections[{i}].id_to_lang_mapping"), path));
    documents
        .chain(languages)
        .filter(|(_, file)| !file.is_file() && !file.to_str().is_some_and(Remote::is_meant))
        .map(|(path, file)| {
            let message = format!("there is no file `{}`", file.display());
            loaded.problem(&path, message)
        })
        .collect()
}

/// Services and collections that extensions and tenants speak of and that are not there.
pub(super) fn unknown_names(
    loaded: &Loaded,
    extensions: Option<&Extensions>,
) -> Vec<ConfigProblem> {
    let mergers = routir_engines::builtin_mergers().into_iter();
    let mergers: Vec<_> = mergers.map(|(name, _)| name).collect();
    let imported = extensions.map(Extensions::imported).unwrap_or_default();
    let imported: Vec<_> = imported.iter().map(AsRef::as_ref).collect();
    loaded.unknown_names(&mergers, &imported)
}
