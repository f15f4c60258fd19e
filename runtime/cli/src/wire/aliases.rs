//! Checks that every pipeline alias can run somewhere.

use std::collections::BTreeMap;

use routir_config::{ConfigProblem, Loaded};
use routir_core::{Catalog, Error, Role};
use routir_dsl::Aliases;
use routir_plan::PlanInput;

/// What is wrong with the aliases: those that compile neither as a search nor as a rerank stage,
/// with any collection.
pub(crate) fn problems(loaded: &Loaded, catalog: &Catalog) -> Vec<ConfigProblem> {
    // An alias that only other aliases use is fit even where requests may not compose pipelines.
    let catalog = Catalog {
        dynamic_pipeline: true,
        ..catalog.clone()
    };
    let definitions = catalog
        .aliases
        .iter()
        .map(|(name, source)| (name.as_ref(), source.as_ref()));
    // What makes this fail was found when the configuration was loaded.
    let Ok(aliases) = Aliases::new(definitions, |name| catalog.services.contains_key(name)) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for name in catalog.aliases.keys() {
        if let Err(error) = check(name, &loaded.config.rt.max_limit, &catalog, &aliases) {
            let path = format!("pipeline_aliases.{name}");
            problems.extend(messages(&error).map(|message| loaded.problem(&path, message)));
        }
    }
    problems
}

fn check(name: &str, max_limit: &usize, catalog: &Catalog, aliases: &Aliases) -> Result<(), Error> {
    let no_arguments = BTreeMap::new();
    let compile = |source: &str, collection: Option<&str>| {
        let input = PlanInput {
            source,
            collection,
            runtime_kwargs: &no_arguments,
            limit: None,
            max_limit: *max_limit,
        };
        routir_plan::compile(&input, catalog, aliases).map(drop)
    };
    // Whether a collection is named is up to each request.
    let mut collections: Vec<_> = catalog
        .collections
        .keys()
        .map(|name| Some(&**name))
        .collect();
    if collections.is_empty() {
        collections.push(None);
    }
    let any = |source: &str| {
        let mut tries = collections
            .iter()
            .map(|collection| compile(source, *collection));
        let first = tries.next().unwrap_or(Ok(()));
        if first.is_ok() || tries.any(|tried| tried.is_ok()) {
            Ok(())
        } else {
            first
        }
    };
    let as_search = any(name);
    if as_search.is_ok() {
        return Ok(());
    }
    let searcher = catalog.names(Role::Search).next();
    let as_rerank = searcher.map(|searcher| any(&format!("{searcher} >> {name}")));
    if as_rerank.is_some_and(|tried| tried.is_ok()) {
        Ok(())
    } else {
        as_search
    }
}

/// One line for each thing wrong.
pub(super) fn messages(error: &Error) -> impl Iterator<Item = String> {
    let problems = error.problems();
    let whole = problems.is_empty().then(|| error.message().to_owned());
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| match &problem.help {
            Some(help) => format!("{}; {help}", problem.message),
            None => problem.message.clone(),
        })
        .collect();
    whole.into_iter().chain(lines)
}
