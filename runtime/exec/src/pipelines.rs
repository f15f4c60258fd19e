//! From a pipeline call to its answer: the plan, kept or compiled; the answer, kept or run.

use std::sync::Arc;
use std::time::Instant;

use routir_cache::{Backing, Cached, Codec, Key, KeyBuilder, Reader, Writer, codecs};
use routir_core::{Answer, CacheMetrics, CallStats, Metrics, Ranking, RequestContext, Result};
use routir_plan::{Plan, PlanInput};
use serde_json::Value;

use crate::answers::{Asker, Times, shared};
use crate::api::{PipelineAnswer, PipelineCall, RunOptions};
use crate::report;
use crate::run::{Outcome, Run};
use crate::runtime::{Runtime, within};
use crate::scope::Scope;
use crate::stream::Told;

/// What of a pipeline's answer is worth keeping.
#[derive(Clone)]
pub(crate) struct Kept {
    ranking: Arc<Ranking>,
    sub_queries: Option<Arc<[Arc<str>]>>,
}

/// How it is written where other servers read it.
struct KeptCodec;

impl Codec<Kept> for KeptCodec {
    fn kind(&self) -> &'static str {
        "pipeline"
    }

    fn encode(&self, value: &Kept, out: &mut Writer) {
        codecs::Rankings.encode(&value.ranking, out);
        out.count(u64::from(value.sub_queries.is_some()));
        if let Some(sub_queries) = &value.sub_queries {
            codecs::Texts.encode(sub_queries, out);
        }
    }

    fn decode(&self, from: &mut Reader<'_>) -> Option<Kept> {
        Some(Kept {
            ranking: codecs::Rankings.decode(from)?,
            sub_queries: match from.count()? {
                0 => None,
                1 => Some(codecs::Texts.decode(from)?),
                _ => return None,
            },
        })
    }
}

/// The cache of whole answers.
pub(crate) struct PipelineCache {
    cached: Cached<Kept>,
    times: Times,
    /// Whether other servers see what is kept.
    shared: bool,
}

impl PipelineCache {
    pub(crate) fn new(backing: &Backing, metrics: CacheMetrics) -> Self {
        Self {
            cached: Cached::new(Some(backing.open(KeptCodec)), metrics),
            times: Times::default(),
            shared: backing.is_shared(),
        }
    }
}

impl Runtime {
    /// Runs a pipeline for at most `limit` documents, if that is said.
    pub(crate) async fn answer(
        &self,
        call: PipelineCall,
        limit: Option<usize>,
    ) -> Result<PipelineAnswer> {
        let (scope, plan, call) = self.compiled(call, limit)?;
        let context = Arc::clone(&call.context);
        let extended = scope.has_extension(&plan);
        match &self.inner.answers {
            // Of extensions, generations tell answers apart, and those are this server's own.
            Some(answers)
                if call.options == RunOptions::default() && !(answers.shared && extended) =>
            {
                within(&context, self.run_cached(answers, scope, plan, call)).await
            }
            _ => {
                let run = self.run(scope, plan, call.query, &context, call.options, None);
                within(&context, run).await
            }
        }
    }

    /// The plan of `call`, which may run, with what it is to run on and the context to run it in.
    pub(crate) fn compiled(
        &self,
        mut call: PipelineCall,
        limit: Option<usize>,
    ) -> Result<(Arc<Scope>, Arc<Plan>, PipelineCall)> {
        let scope = self.scope(&call.context)?;
        let plan = self.plan(&scope, &call, limit)?;
        scope.check_circle(&plan, &call.context)?;
        call.context = self.admitted(call.context);
        Ok((scope, plan, call))
    }

    /// The plan of `call`: the kept one, if the same was compiled in the same catalog before.
    pub(crate) fn plan(
        &self,
        scope: &Scope,
        call: &PipelineCall,
        limit: Option<usize>,
    ) -> Result<Arc<Plan>> {
        let input = PlanInput {
            source: &call.pipeline,
            collection: call.collection.as_deref(),
            runtime_kwargs: &call.runtime_kwargs,
            limit,
            max_limit: self.inner.settings.max_limit,
        };
        let compile = || routir_plan::compile(&input, &scope.catalog, &scope.aliases).map(Arc::new);
        let key = plan_key(scope.catalog.generation, call, limit);
        // A plan holds all that its key is made of.
        if key.is_digest() {
            return compile();
        }
        if let Some(plan) = self.inner.plans.get(&key) {
            return Ok(plan);
        }
        let plan = compile()?;
        self.inner.plans.insert(key, Arc::clone(&plan));
        Ok(plan)
    }

    async fn run_cached(
        &self,
        answers: &PipelineCache,
        scope: Arc<Scope>,
        plan: Arc<Plan>,
        call: PipelineCall,
    ) -> Result<PipelineAnswer> {
        let extended = scope.has_extension(&plan);
        let key = answer_key(&plan, &call, extended, answers.shared);
        let service = Arc::clone(&plan.node(plan.root).service);
        let (settings, metrics) = (self.inner.settings.clone(), self.inner.metrics.clone());
        let compute = move || {
            let run = Run::new(
                Arc::clone(&plan),
                Arc::clone(&scope),
                Arc::clone(&call.context),
                RunOptions::default(),
                &settings,
                Metrics::clone(&metrics),
                None,
            );
            let query = Arc::clone(&call.query);
            async move {
                let Outcome {
                    ranking,
                    sub_queries,
                    ..
                } = run.finish(query).await?;
                let kept = Kept {
                    ranking,
                    sub_queries: sub_queries.map(Arc::from),
                };
                Ok(Answer::now(kept, CallStats::default()))
            }
        };
        let answer = shared(&answers.cached, &answers.times, key, true, None, compute).await?;
        Ok(PipelineAnswer {
            ranking: answer.value.ranking,
            service,
            expanded_queries: answer.value.sub_queries.map(|found| found.to_vec()),
            cached: answer.stats.cached,
            timestamp: answer.timestamp,
            failures: Vec::new(),
            explain: None,
            provenance: None,
        })
    }

    /// Runs a plan, whatever is kept of earlier runs; what its stages find is `told` as it comes.
    pub(crate) async fn run(
        &self,
        scope: Arc<Scope>,
        plan: Arc<Plan>,
        query: Arc<str>,
        context: &Arc<RequestContext>,
        options: RunOptions,
        told: Option<Told>,
    ) -> Result<PipelineAnswer> {
        let started = Instant::now();
        let run = Run::new(
            Arc::clone(&plan),
            scope,
            Arc::clone(context),
            options,
            &self.inner.settings,
            self.inner.metrics.clone(),
            told,
        );
        let outcome = run.finish(query).await?;
        let records = &outcome.records;
        let explain = options
            .explain
            .then(|| report::of_run(&plan, records, started.elapsed()));
        let provenance = options
            .provenance
            .then(|| report::provenance(&plan, records, &outcome.ranking));
        Ok(PipelineAnswer {
            ranking: outcome.ranking,
            service: Arc::clone(&plan.node(plan.root).service),
            expanded_queries: outcome.sub_queries,
            cached: outcome.cached,
            timestamp: outcome.timestamp,
            failures: outcome.failures,
            explain,
            provenance,
        })
    }
}

/// Equal for requests with the same plan: generations are of one scope each.
fn plan_key(generation: u64, call: &PipelineCall, limit: Option<usize>) -> Key {
    let key = Key::builder("plan")
        .text("pipeline", &call.pipeline)
        .value("limit", &Value::from(limit));
    arguments(key, Some(generation), call).build()
}

/// Equal for requests with the same answer: the canonical pipeline after alias expansion, so that
/// spelling does not matter. A compiled plan has no arguments for stages that it does not have. What
/// other servers share knows no generation of this one: what its services are is in the cache's
/// identity.
fn answer_key(plan: &Plan, call: &PipelineCall, extended: bool, shared: bool) -> Key {
    let asker = Asker {
        context: &call.context,
        extended: extended.then_some(plan.generation),
    };
    let key = asker
        .add_to(Key::builder("pipeline"))
        .text("pipeline", &plan.canonical)
        .text("query", &call.query);
    let generation = (!shared).then_some(plan.generation);
    arguments(key, generation, call).build()
}

fn arguments(key: KeyBuilder, generation: Option<u64>, call: &PipelineCall) -> KeyBuilder {
    let key = key.value("generation", &Value::from(generation));
    let key = key.value("collection", &Value::from(call.collection.as_deref()));
    let stages = call.runtime_kwargs.iter();
    stages.fold(key, |key, (stage, params)| {
        key.object(stage, params.as_map())
    })
}

#[cfg(test)]
mod tests {
    use routir_batch::{BatchSettings, Policy};
    use routir_core::{BoxFuture, Params, ParamsSpec, Ranking, Roles, SearchEngine, SearchRequest};

    use super::*;
    use crate::ServiceSpec;

    struct Nothing;

    impl SearchEngine for Nothing {
        fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
            let answers = batch.iter().map(|_| Ok(Ranking::default())).collect();
            Box::pin(async move { answers })
        }

        fn params(&self) -> ParamsSpec {
            ParamsSpec::Open
        }
    }

    #[tokio::test]
    async fn a_plan_with_long_arguments_is_not_kept() {
        let name: Arc<str> = Arc::from("s");
        let service = ServiceSpec {
            name: Arc::clone(&name),
            engine: Arc::from("test"),
            roles: Roles {
                search: Some(Arc::new(Nothing)),
                ..Roles::default()
            },
            batch: BatchSettings {
                name,
                policy: Policy {
                    max_requests: 1,
                    max_tokens: None,
                    max_wait: std::time::Duration::ZERO,
                },
                capacity: 1,
                concurrency: 1,
            },
            at_once: 1,
            inside: 1,
            cache: None,
            identity: None,
            public: false,
        };
        let builder = Runtime::builder(crate::RuntimeSettings::default());
        let runtime = builder.service(service).build().unwrap();
        let long = "x".repeat(4096);
        let call = || PipelineCall {
            pipeline: "s".to_owned(),
            query: Arc::from("q"),
            ..PipelineCall::default()
        };
        let params = Params::from(serde_json::Map::from_iter([(
            "x".to_owned(),
            long.clone().into(),
        )]));
        let large = [
            PipelineCall {
                collection: Some(long),
                ..call()
            },
            PipelineCall {
                runtime_kwargs: [("s".to_owned(), params)].into(),
                ..call()
            },
        ];
        for large in large {
            let scope = runtime.scope(&large.context).unwrap();
            runtime.plan(&scope, &large, None).unwrap();
            runtime.inner.plans.run_pending_tasks();
            assert_eq!(runtime.inner.plans.entry_count(), 0);
        }
        let scope = runtime.scope(&call().context).unwrap();
        let first = runtime.plan(&scope, &call(), None).unwrap();
        assert!(Arc::ptr_eq(
            &first,
            &runtime.plan(&scope, &call(), None).unwrap()
        ));
    }
}
