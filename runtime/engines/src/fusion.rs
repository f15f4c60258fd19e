//! `Fusion`: searches several engines and fuses what they find.
//!
//! | key | means | default |
//! |---|---|---|
//! | `upstream_service` | one or a list: see [`crate::upstream`] | required |
//! | `fusion_method` | a merger's name; `score` is `ScoreFusion` | `RRF` |
//! | `fusion_args` | the merger's parameters | none |
//!
//! Each upstream is asked for as many documents as are wanted, as in RoutIR. RoutIR's name for the
//! parameter of `RRF`, `smoothing_k`, is understood too.

use std::sync::Arc;

use futures_util::future::join_all;
use routir_core::{
    Batching, BoxFuture, Error, Params, ParamsSpec, Ranking, Result, Roles, SearchEngine,
    SearchRequest, nearest,
};
use routir_fusion::{Method, methods};
use serde_json::{Map, Value};

use crate::build::{BuildEnv, EngineSpec};
use crate::options::Options;
use crate::upstream::{Upstream, known_to, together};

struct Fusion {
    upstreams: Vec<Arc<dyn SearchEngine>>,
    method: Method,
    args: Params,
}

impl SearchEngine for Fusion {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(async move {
            let asked = self.upstreams.iter().map(|upstream| {
                let params = upstream.params();
                let ask = |request: &SearchRequest| known_to(&params, request);
                upstream.search(batch.iter().map(ask).collect())
            });
            let mut answers: Vec<_> = join_all(asked)
                .await
                .into_iter()
                .map(Vec::into_iter)
                .collect();
            let fuse = |request: &SearchRequest| -> Result<Ranking> {
                // Every upstream's answer is taken before one that failed is reported, so that the
                // answers of different requests stay apart.
                let rankings: Vec<Result<Ranking>> = answers
                    .iter_mut()
                    .map(|answers| answers.next().unwrap_or_else(|| Err(too_few())))
                    .collect();
                let rankings: Vec<_> = rankings
                    .into_iter()
                    .map(|ranking| ranking.map(Arc::new))
                    .collect::<Result<_>>()?;
                self.method
                    .fuse(&rankings, false, Some(request.limit), &self.args)
            };
            batch.iter().map(fuse).collect()
        })
    }

    /// What its upstreams understand; each gets what it knows.
    fn params(&self) -> ParamsSpec {
        let upstreams = self.upstreams.iter();
        together(Vec::new(), upstreams.map(|upstream| upstream.params()))
    }

    /// As the most demanding of its upstreams.
    fn batching(&self) -> Batching {
        let upstreams = self.upstreams.iter();
        upstreams
            .map(|upstream| upstream.batching())
            .max()
            .unwrap_or_default()
    }
}

fn too_few() -> Error {
    Error::engine("an upstream answered fewer requests than it was asked")
}

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let mut options = Options::new(spec.config);
    let upstreams = options.value("upstream_service");
    let upstreams = options.require("upstream_service", upstreams);
    let upstreams = match upstreams {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    if matches!(spec.config.get("upstream_service"), Some(Value::Array(list)) if list.is_empty()) {
        options.problem("`upstream_service` must have at least one upstream");
    }
    let name = options.text("fusion_method").unwrap_or("RRF");
    let args = options.object("fusion_args").cloned().unwrap_or_default();
    let method = method(name).map_err(|e| options.problem(e)).ok();
    options.finish()?;
    let method = method.unwrap_or(Method::Rrf);
    let args = method_args(method, args, upstreams.len())?;
    let open = |(number, upstream): (usize, &Value)| {
        Upstream::open(upstream, spec, env)
            .map_err(|e| e.at(format!("`upstream_service` {}", number + 1)))
    };
    let upstreams: Vec<Upstream> = upstreams
        .iter()
        .enumerate()
        .map(open)
        .collect::<Result<_>>()?;
    let needs = upstreams.iter().flat_map(|it| it.needs.clone()).collect();
    let health = upstreams.iter().flat_map(|it| it.health.clone()).collect();
    let upstreams = upstreams.into_iter().map(|it| it.engine).collect();
    let engine = Fusion {
        upstreams,
        method,
        args,
    };
    Ok(Roles {
        search: Some(Arc::new(engine)),
        needs,
        health,
        ..Roles::default()
    })
}

fn method(name: &str) -> Result<Method, String> {
    if name == "score" {
        return Ok(Method::ScoreFusion);
    }
    Method::by_name(name).ok_or_else(|| {
        let names: Vec<_> = methods()
            .iter()
            .map(|info| info.name)
            .chain(["score"])
            .collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", names.join(", ")),
        };
        format!("unknown `fusion_method` `{name}`; {hint}")
    })
}

/// The merger's arguments, tried on as many empty rankings as there will be.
fn method_args(method: Method, mut args: Map<String, Value>, lists: usize) -> Result<Params> {
    if method == Method::Rrf
        && !args.contains_key("rrf_k")
        && let Some(k) = args.remove("smoothing_k")
    {
        args.insert("rrf_k".to_owned(), k);
    }
    let args = Params::from(args);
    let problems = ParamsSpec::known(method.params()).check(&args);
    if !problems.is_empty() {
        return Err(Error::invalid(problems.join("; ")).at("`fusion_args`"));
    }
    let lists = vec![Arc::default(); lists];
    method
        .fuse(&lists, false, None, &args)
        .map_err(|e| e.at("`fusion_args`"))?;
    Ok(args)
}
