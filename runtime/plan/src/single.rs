//! Calls of one service without a pipeline around them: `/search` and `/score`.

use std::collections::BTreeSet;
use std::sync::Arc;

use routir_core::{Catalog, Error, ErrorCode, Params, Problem, Result, Role, nearest, shorten};

use crate::graph::{Node, NodeId, NodeKind, Plan};

/// The plan of one search call: what `/search` asks for.
///
/// # Errors
/// RoutIR's own message when there is no such service, and every argument that the engine does not
/// understand.
pub fn single_search(
    service: &str,
    limit: usize,
    max_limit: usize,
    params: &Params,
    catalog: &Catalog,
) -> Result<Plan> {
    check_call(service, Role::Search, params, catalog)?;
    if limit > max_limit {
        return Err(Error::invalid(format!(
            "limit {limit} is larger than this server allows ({max_limit})"
        )));
    }
    let name: Arc<str> = Arc::from(service);
    let node = Node {
        kind: NodeKind::Search,
        service: Arc::clone(&name),
        stage: Arc::clone(&name),
        limit: Some(limit),
        params: params.clone(),
        depends: BTreeSet::from([0]),
    };
    Ok(Plan {
        source: Arc::clone(&name),
        canonical: Arc::from(format!("{name}%{limit}")),
        collection: None,
        generation: catalog.generation,
        root: NodeId(0),
        nodes: vec![node],
    })
}

/// Checks a call of one service: that it plays the role and understands the arguments.
///
/// # Errors
/// RoutIR's own message when there is no such service, and every argument that it does not know.
pub fn check_call(service: &str, role: Role, params: &Params, catalog: &Catalog) -> Result<()> {
    let known = catalog
        .services
        .get(service)
        .and_then(|info| info.params(role))
        .ok_or_else(|| {
            // RoutIR's own words, which its clients may look for; the hint travels beside them.
            let name = shorten(service);
            let message = format!("Service '{name}' not found or does not support {role}");
            let near = nearest(service, catalog.names(role).map(AsRef::as_ref));
            let problem = near.map(|near| Problem {
                message: message.clone(),
                start: 0,
                end: name.chars().count(),
                expected: Vec::new(),
                help: Some(format!("did you mean `{near}`?")),
            });
            Error::new(ErrorCode::UnknownName, message).with_problems(problem.into_iter().collect())
        })?;
    match known.check(params) {
        wrong if wrong.is_empty() => Ok(()),
        wrong => Err(Error::invalid(format!(
            "service `{service}`: {}",
            wrong.join("; ")
        ))),
    }
}
