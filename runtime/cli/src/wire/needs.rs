//! Checks that what engines ask of the server itself is there, and that no service waits for itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use routir_config::{ConfigProblem, Loaded};
use routir_core::{Catalog, HostNeed, Roles, nearest};
use routir_dsl::Aliases;
use routir_plan::PlanInput;

/// Which services a service waits for.
type Waits = BTreeMap<Arc<str>, Vec<Arc<str>>>;

/// What is wrong with the upstreams of services, whose engines are `roles` in turn.
pub(crate) fn problems<'a>(
    loaded: &Loaded,
    catalog: &Catalog,
    roles: impl Iterator<Item = &'a Roles>,
) -> Vec<ConfigProblem> {
    // An upstream may be a pipeline where requests may not compose any.
    let catalog = Catalog {
        dynamic_pipeline: true,
        ..catalog.clone()
    };
    let definitions = catalog.aliases.iter();
    let definitions = definitions.map(|(name, source)| (name.as_ref(), source.as_ref()));
    // What makes this fail was found when the configuration was loaded.
    let Ok(aliases) = Aliases::new(definitions, |name| catalog.services.contains_key(name)) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    let mut waits = Waits::new();
    for (i, (service, roles)) in loaded.config.services.iter().zip(roles).enumerate() {
        let name: Arc<str> = Arc::from(service.name.as_str());
        for need in &roles.needs {
            match services(need, loaded.config.rt.max_limit, &catalog, &aliases) {
                Ok(found) => waits.entry(Arc::clone(&name)).or_default().extend(found),
                Err((key, messages)) => {
                    let path = format!("services[{i}].config.{key}");
                    problems.extend(messages.iter().map(|why| loaded.problem(&path, why)));
                }
            }
        }
    }
    for (i, service) in loaded.config.services.iter().enumerate() {
        if let Some(circle) = circle(&service.name, &waits) {
            let message = format!("the service waits for itself: {}", circle.join(" > "));
            let path = format!("services[{i}].config.upstream_service");
            problems.push(loaded.problem(&path, &message));
        }
    }
    problems
}

/// The services that `need` asks; else what is wrong with it, and under which key.
fn services(
    need: &HostNeed,
    max_limit: usize,
    catalog: &Catalog,
    aliases: &Aliases,
) -> Result<Vec<Arc<str>>, (&'static str, Vec<String>)> {
    match need {
        HostNeed::Search {
            pipeline,
            collection,
        } => {
            let input = PlanInput {
                source: pipeline,
                collection: collection.as_deref(),
                runtime_kwargs: &BTreeMap::new(),
                limit: None,
                max_limit,
            };
            let plan = routir_plan::compile(&input, catalog, aliases);
            let plan = plan.map_err(|why| {
                let told = super::aliases::messages(&why).collect();
                ("upstream_service", told)
            })?;
            Ok(plan
                .nodes
                .iter()
                .map(|node| Arc::clone(&node.service))
                .collect())
        }
        HostNeed::Content { collection, view } => {
            let wrong = |message: String| ("text_service", vec![message]);
            let Some(info) = catalog.collections.get(collection) else {
                let names = catalog.collections.keys().map(AsRef::as_ref);
                let hint = match nearest(collection, names) {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None => String::new(),
                };
                return Err(wrong(format!(
                    "there is no collection `{collection}`{hint}"
                )));
            };
            match view {
                Some(view) if !info.views.contains_key(view) => Err(wrong(format!(
                    "collection `{collection}` has no view `{view}`"
                ))),
                _ => Ok(Vec::new()),
            }
        }
    }
}

/// The way from a service back to itself, if there is one.
fn circle(start: &str, waits: &Waits) -> Option<Vec<String>> {
    let mut ways: Vec<Vec<&str>> = vec![vec![start]];
    let mut seen: Vec<&str> = Vec::new();
    while let Some(way) = ways.pop() {
        let last = way.last()?;
        for next in waits.get(*last).into_iter().flatten() {
            if &**next == start {
                let way = way.iter().chain([&start]);
                return Some(way.map(ToString::to_string).collect());
            }
            if !seen.contains(&&**next) {
                seen.push(next);
                ways.push(way.iter().copied().chain([&**next]).collect());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_from_each_of_its_members_and_nowhere_else() {
        let edges = [("a", "b"), ("b", "c"), ("b", "d"), ("c", "a"), ("x", "a")];
        let mut waits = Waits::new();
        for (from, to) in edges {
            waits.entry(from.into()).or_default().push(to.into());
        }
        assert_eq!(circle("a", &waits).unwrap(), ["a", "b", "c", "a"]);
        assert_eq!(circle("c", &waits).unwrap(), ["c", "a", "b", "c"]);
        assert_eq!(circle("d", &waits), None);
        assert_eq!(circle("x", &waits), None);
    }
}
