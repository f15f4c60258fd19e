//! How far limits may be pushed, settled before any node is made.
//!
//! A stage's own limit goes to its engine: the searcher finds so many, the expander makes so many,
//! the merger selects so many instead of sorting all. What is *not* sound, and so not done: pushing
//! a limit through a merger (a document that is 51st in every branch can be first in the fusion)
//! or through a reranker (it may prefer the last document). What is sound in the other direction
//! is widening: where one scope asks the same searcher with several limits, and the searcher's
//! smaller answers are prefixes of its larger ones, one call with the largest serves all.

use std::collections::HashMap;
use std::sync::Arc;

use routir_core::Params;

/// A scope: the request itself, or the branches of one expander.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope(usize);

/// The largest limit with which each prefix-stable searcher is asked, by scope and arguments.
#[derive(Debug, Default)]
pub(crate) struct Widest {
    limits: HashMap<(Scope, Arc<str>, String), usize>,
}

impl Widest {
    pub(crate) fn note(&mut self, scope: Scope, service: &Arc<str>, params: &Params, limit: usize) {
        let key = (scope, Arc::clone(service), arguments(params));
        let widest = self.limits.entry(key).or_default();
        *widest = limit.max(*widest);
    }

    pub(crate) fn get(&self, scope: Scope, service: &Arc<str>, params: &Params) -> Option<usize> {
        self.limits
            .get(&(scope, Arc::clone(service), arguments(params)))
            .copied()
    }
}

/// Hands out scopes in the order in which a walk meets expanders, so that two walks over one tree
/// agree.
#[derive(Debug, Default)]
pub(crate) struct Scopes(usize);

impl Scopes {
    pub(crate) const ROOT: Scope = Scope(0);

    pub(crate) fn next(&mut self) -> Scope {
        self.0 += 1;
        Scope(self.0)
    }
}

/// Arguments as text that is equal exactly when they are, whatever the order of their names.
pub(crate) fn arguments(params: &Params) -> String {
    let mut sorted: Vec<_> = params.as_map().iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    sorted
        .iter()
        .map(|(name, value)| format!("{name:?}:{value},"))
        .collect()
}
