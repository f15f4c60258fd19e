//! Rerankers that search: RoutIR's `Reranker`. The candidates of an upstream are read in a collection
//! and put in the order of the engine's own scores.
//!
//! | key | means | default |
//! |---|---|---|
//! | `upstream_service` | with what candidates are found: see [`crate::upstream`] | none: the engine only scores |
//! | `text_service` | where they are read: a collection of this server, `"name"` or `{"collection", "view"}`, or of another, `{"endpoint", "collection", …}` | the only collection of this server |
//! | `rerank_topk_max` | how many candidates are asked for at most | 100 |
//! | `rerank_multiplier` | how many times as many candidates as documents are wanted | 5 |

mod engine;
mod texts;

use routir_core::{Error, Result, Roles};
use serde_json::Value;

use crate::build::{BuildEnv, EngineSpec};
use crate::options::Options;
use crate::upstream::Upstream;
use engine::SearchReranker;
use texts::Texts;

/// RoutIR's bounds.
const MOST: usize = 100;
const MULTIPLIER: f64 = 5.0;

/// What a configuration says of searching by a reranker.
pub(crate) struct SearchKeys<'a> {
    upstream: Option<&'a Value>,
    texts: Option<&'a Value>,
    most: usize,
    multiplier: f64,
}

impl<'a> SearchKeys<'a> {
    pub(crate) fn read(options: &mut Options<'a>) -> Self {
        let keys = Self {
            upstream: options.value("upstream_service"),
            texts: options.value("text_service"),
            most: options.count("rerank_topk_max").unwrap_or(MOST),
            multiplier: options.number("rerank_multiplier").unwrap_or(MULTIPLIER),
        };
        if !engine::is_multiplier(keys.multiplier) {
            options.problem(format!(
                "`rerank_multiplier` must be above 0, not {}",
                keys.multiplier
            ));
        }
        keys
    }

    /// The roles of a reranker, with the role `search` if it has an upstream.
    ///
    /// # Errors
    /// When the upstream or the texts are described wrongly or cannot be opened.
    pub(crate) fn add_to(
        self,
        mut roles: Roles,
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
    ) -> Result<Roles> {
        let Some(upstream) = self.upstream else {
            if self.texts.is_some() {
                // RoutIR takes it, too, and does nothing with it.
                tracing::warn!(
                    service = spec.name,
                    "`text_service` does nothing without `upstream_service`"
                );
            }
            return Ok(roles);
        };
        let Some(scorer) = roles.score.clone() else {
            return Ok(roles);
        };
        let upstream = Upstream::open(upstream, spec, env);
        let upstream = upstream.map_err(|why| why.at("`upstream_service`"))?;
        let texts = match self.texts {
            Some(given) => Texts::open(given, spec, env),
            None => only_collection(env).map(|name| Texts::local(&name, None, spec, env)),
        };
        let texts = texts.map_err(|why| why.at("`text_service`"))?;
        roles.needs.extend(upstream.needs);
        roles.health.extend(upstream.health);
        roles.needs.extend(texts.need());
        roles.search = Some(std::sync::Arc::new(SearchReranker {
            upstream: upstream.engine,
            texts,
            scorer,
            most: self.most,
            multiplier: self.multiplier,
        }));
        Ok(roles)
    }
}

/// The collection where there is no choice.
fn only_collection(env: &BuildEnv<'_>) -> Result<String> {
    let mut names = env.collections.names();
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        (None, _) => Err(Error::invalid(
            "it is missing, and this server has no collection; say where candidates are read",
        )),
        (Some(_), false) => Err(Error::invalid(
            "it is missing, and this server has several collections; say in which one candidates \
             are read",
        )),
    }
}
