//! What an engine searches with before it does its own work: an engine of its own, a service of this
//! server, or one of another.
//!
//! | `upstream_service` | is |
//! |---|---|
//! | `{"engine", "config"}` | an engine that only this one uses, as in RoutIR |
//! | `"name"`, or `{"service", "collection"}` | a service or pipeline of this server, with its queue and cache; the collection is for pipelines that rerank |
//! | `{"endpoint", "service", …}` | a service of another server: the engine `Relay` with these keys |

use std::sync::Arc;

use futures_util::future::join_all;
use routir_core::{
    Batching, BoxFuture, Error, ErrorCode, Health, Host, HostNeed, HostSearch, ParamSpec,
    ParamsSpec, Ranking, Result, SearchEngine, SearchRequest,
};
use serde_json::{Map, Value};

use crate::build::{self, BuildEnv, EngineSpec};
use crate::options::Options;

/// A searcher that belongs to another engine.
pub(crate) struct Upstream {
    pub(crate) engine: Arc<dyn SearchEngine>,
    /// What it asks of the host.
    pub(crate) needs: Vec<HostNeed>,
    /// What it cannot do without.
    pub(crate) health: Vec<Arc<dyn Health>>,
}

impl Upstream {
    /// Opens what `given` describes, for the engine of `spec`.
    ///
    /// # Errors
    /// When it describes nothing, or that cannot be built, or does not search.
    pub(crate) fn open(given: &Value, spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Self> {
        match given {
            Value::String(pipeline) => Self::local(pipeline, None, spec, env),
            Value::Object(map)
                if map.contains_key("endpoint") || map.contains_key("grpc_endpoint") =>
            {
                Self::engine("Relay", map, spec, env)
            }
            Value::Object(map) if map.contains_key("service") => {
                let mut options = Options::new(map);
                let service = options.text("service").unwrap_or_default();
                let collection = options.text("collection");
                options.finish()?;
                Self::local(service, collection, spec, env)
            }
            Value::Object(map) => {
                let empty = Map::new();
                let mut options = Options::new(map);
                let engine = options.text("engine");
                let engine = options.require("engine", engine).unwrap_or_default();
                options.take("name");
                let config = options.object("config").unwrap_or(&empty);
                options.finish()?;
                Self::engine(engine, config, spec, env)
            }
            _ => Err(Error::invalid(
                "it must be {\"engine\", \"config\"}, the name of a service of this server, or \
                 {\"endpoint\", \"service\"} of another",
            )),
        }
    }

    fn engine(
        engine: &str,
        config: &Map<String, Value>,
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
    ) -> Result<Self> {
        let name = spec.name;
        let roles = build::build(
            EngineSpec {
                name,
                engine,
                config,
            },
            env,
        )?;
        let search = roles
            .search
            .ok_or_else(|| Error::invalid(format!("the engine `{engine}` does not search")))?;
        Ok(Self {
            engine: search,
            needs: roles.needs,
            health: roles.health,
        })
    }

    fn local(
        pipeline: &str,
        collection: Option<&str>,
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
    ) -> Result<Self> {
        if pipeline.trim() == spec.name {
            return Err(Error::invalid(format!(
                "service `{}` cannot search with itself",
                spec.name
            )));
        }
        let engine = Local {
            host: env.host.clone(),
            identity: Arc::from(spec.name),
            pipeline: pipeline.to_owned(),
            collection: collection.map(str::to_owned),
        };
        Ok(Self {
            engine: Arc::new(engine),
            needs: vec![HostNeed::Search {
                pipeline: Arc::from(pipeline),
                collection: collection.map(Arc::from),
            }],
            health: Vec::new(),
        })
    }
}

/// A service or pipeline of this server.
struct Local {
    host: Option<Arc<dyn Host>>,
    /// Who asks, in chains of calls.
    identity: Arc<str>,
    pipeline: String,
    collection: Option<String>,
}

impl Local {
    async fn answer(&self, request: SearchRequest) -> Result<Ranking> {
        let host = self.host.as_ref().ok_or_else(no_host)?;
        let context = request.context.called_by(&self.identity, None);
        let asked = HostSearch {
            pipeline: self.pipeline.clone(),
            query: request.query,
            collection: self.collection.clone(),
            limit: request.limit,
            params: request.params,
        };
        let answers = host.search(Arc::new(context), vec![asked]).await;
        let answer = answers.into_iter().next();
        let ranking = answer.ok_or_else(|| Error::internal("the host did not answer"))??;
        Ok(Arc::unwrap_or_clone(ranking))
    }
}

/// Engines that are used without a runtime have nobody to ask.
pub(crate) fn no_host() -> Error {
    Error::new(ErrorCode::Unavailable, "there is no runtime to ask")
}

impl SearchEngine for Local {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(join_all(
            batch.into_iter().map(|request| self.answer(request)),
        ))
    }

    /// What it does not know is told when it is asked.
    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }

    fn batching(&self) -> Batching {
        Batching::Inside
    }
}

/// The parameters of an engine with its `own` and those of the engines that it asks: all that one of
/// them knows.
pub(crate) fn together(
    own: Vec<ParamSpec>,
    others: impl IntoIterator<Item = ParamsSpec>,
) -> ParamsSpec {
    let mut all = own;
    for params in others {
        let ParamsSpec::Known(specs) = params else {
            return ParamsSpec::Open;
        };
        for spec in specs {
            if all.iter().all(|known| known.name != spec.name) {
                all.push(spec);
            }
        }
    }
    ParamsSpec::Known(all)
}

/// A request with those of its arguments that an engine knows.
pub(crate) fn known_to(spec: &ParamsSpec, request: &SearchRequest) -> SearchRequest {
    let mut request = request.clone();
    if let ParamsSpec::Known(specs) = spec
        && !request.params.is_empty()
    {
        let known = |name: &str| specs.iter().any(|spec| spec.name == name);
        let all = request.params.as_map().iter();
        let kept: Map<_, _> = all
            .filter(|(name, _)| known(name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        request.params = kept.into();
    }
    request
}
