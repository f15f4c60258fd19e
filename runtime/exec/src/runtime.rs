//! The way in: every call of every wire becomes a plan and runs here.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use routir_cache::{Cached, Key, KeyBuilder};
use routir_core::{
    Answer, CallStats, Catalog, ContentSource, DocId, Document, Error, ErrorCode, Metrics, Ranking,
    RequestContext, Result, Role, ScoreRequest, SearchRequest, shorten,
};
use routir_dsl::Aliases;
use routir_plan::{Plan, PlanInput};
use serde_json::Value;

use crate::api::{PipelineAnswer, PipelineCall, PlanReport, Readiness, RunOptions};
use crate::builder::{RuntimeBuilder, RuntimeSettings};
use crate::quiet::quietly;
use crate::report;
use crate::run::{Outcome, Run};
use crate::service::Service;

/// How many compiled plans are kept.
const PLANS: u64 = 1024;
/// The longest pipeline source and arguments whose plan is kept, in bytes.
const KEPT_SOURCE: usize = 4096;

/// What exists at one moment, with the handles that the catalog itself does not hold.
pub(crate) struct Snapshot {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) aliases: Aliases,
    pub(crate) services: HashMap<Arc<str>, Arc<Service>>,
    pub(crate) collections: HashMap<Arc<str>, Arc<dyn ContentSource>>,
}

/// What of a pipeline's answer is worth keeping.
#[derive(Clone)]
struct Kept {
    ranking: Arc<Ranking>,
    sub_queries: Option<Arc<[Arc<str>]>>,
}

/// The native runtime: services, collections and aliases, and everything that runs on them.
pub struct Runtime {
    snapshot: ArcSwap<Snapshot>,
    settings: RuntimeSettings,
    metrics: Metrics,
    plans: moka::sync::Cache<Key, Arc<Plan>>,
    answers: Option<Cached<Kept>>,
}

impl Runtime {
    /// Starts putting a runtime together.
    #[must_use]
    pub fn builder(settings: RuntimeSettings) -> RuntimeBuilder {
        RuntimeBuilder::new(settings)
    }

    pub(crate) fn new(snapshot: Snapshot, settings: RuntimeSettings, metrics: Metrics) -> Self {
        let answers = settings.pipeline_cache.map(|(capacity, ttl)| {
            Cached::in_memory(capacity, Some(ttl), metrics.cache("pipeline"))
        });
        let plans = moka::sync::Cache::new(PLANS);
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            settings,
            metrics,
            plans,
            answers,
        }
    }

    /// What exists now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.snapshot.load().catalog)
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether each service and collection can do its work.
    #[must_use]
    pub fn readiness(&self) -> Vec<Readiness> {
        let catalog = self.catalog();
        let services = catalog.services.iter().map(|(name, info)| Readiness {
            name: format!("service {name}"),
            ready: true,
            detail: info.engine.to_string(),
        });
        let collections = catalog.collections.iter().map(|(name, info)| Readiness {
            name: format!("collection {name}"),
            ready: true,
            detail: info
                .views
                .keys()
                .map(AsRef::as_ref)
                .collect::<Vec<_>>()
                .join(", "),
        });
        services.chain(collections).collect()
    }

    /// Finds documents with one service: a pipeline of one stage.
    ///
    /// # Errors
    /// As [`Runtime::pipeline`].
    pub async fn search(
        &self,
        service: &str,
        request: SearchRequest,
        options: RunOptions,
    ) -> Result<PipelineAnswer> {
        let snapshot = self.snapshot.load_full();
        let plan = routir_plan::single_search(
            service,
            request.limit,
            self.settings.max_limit,
            &request.params,
            &snapshot.catalog,
        )?;
        let context = Arc::clone(&request.context);
        let run = self.run(snapshot, Arc::new(plan), request.query, &context, options);
        within(&context, run).await
    }

    /// Scores passages with one service.
    ///
    /// # Errors
    /// An unknown service or argument, the engine's failure, a full queue, the deadline.
    pub async fn score(&self, service: &str, request: ScoreRequest) -> Result<Answer<Arc<[f64]>>> {
        let snapshot = self.snapshot.load_full();
        routir_plan::check_call(service, Role::Score, &request.params, &snapshot.catalog)?;
        let started = Instant::now();
        let scorer = snapshot
            .services
            .get(service)
            .and_then(|service| service.score.as_ref());
        let scorer = scorer.ok_or_else(|| Error::internal("a scorer left the catalog"))?;
        let result = if request.passages.is_empty() {
            Ok(Answer::now(Arc::from([]), CallStats::default()))
        } else {
            let context = Arc::clone(&request.context);
            within(&context, scorer.call(request)).await
        };
        let outcome = result
            .as_ref()
            .map_or_else(|error| error.code().name(), |_| "ok");
        self.metrics
            .stage(service, Role::Score.name(), outcome, started.elapsed());
        result
    }

    /// One document of a collection.
    ///
    /// # Errors
    /// An unknown collection, view or document, a source that cannot be read, the deadline.
    pub async fn content(
        &self,
        context: &RequestContext,
        collection: &str,
        view: Option<&str>,
        id: &DocId,
    ) -> Result<Answer<Arc<Document>>> {
        let snapshot = self.snapshot.load_full();
        let source = snapshot.collections.get(collection).ok_or_else(|| {
            let name = shorten(collection);
            let message = format!("Service '{name}' not found or does not support content");
            Error::new(ErrorCode::UnknownName, message)
        })?;
        let mut found = within(context, source.fetch(view, std::slice::from_ref(id))).await?;
        let document = found
            .pop()
            .unwrap_or_else(|| Err(Error::internal("a collection answered nothing")))?;
        Ok(Answer::now(document, CallStats::default()))
    }

    /// Runs a pipeline.
    ///
    /// # Errors
    /// Everything wrong with the pipeline or its arguments at once; the first stage that fails
    /// (unless partial answers are asked for and a sibling succeeds); a full queue; the deadline.
    pub async fn pipeline(&self, call: PipelineCall) -> Result<PipelineAnswer> {
        let context = Arc::clone(&call.context);
        let snapshot = self.snapshot.load_full();
        let plan = self.plan(&snapshot, &call)?;
        match &self.answers {
            Some(answers) if call.options == RunOptions::default() => {
                within(&context, self.run_cached(answers, snapshot, plan, call)).await
            }
            _ => {
                let run = self.run(snapshot, plan, call.query, &context, call.options);
                within(&context, run).await
            }
        }
    }

    /// The plan that [`Runtime::pipeline`] would run, without running it.
    ///
    /// # Errors
    /// Everything wrong with the pipeline or its arguments at once.
    pub fn explain(&self, call: &PipelineCall) -> Result<PlanReport> {
        let plan = self.plan(&self.snapshot.load_full(), call)?;
        Ok(report::of_plan(&plan))
    }

    fn plan(&self, snapshot: &Snapshot, call: &PipelineCall) -> Result<Arc<Plan>> {
        let input = PlanInput {
            source: &call.pipeline,
            collection: call.collection.as_deref(),
            runtime_kwargs: &call.runtime_kwargs,
            max_limit: self.settings.max_limit,
        };
        let compile =
            || routir_plan::compile(&input, &snapshot.catalog, &snapshot.aliases).map(Arc::new);
        if call.pipeline.len() > KEPT_SOURCE {
            return compile();
        }
        let key = plan_key(&snapshot.catalog, call);
        if let Some(plan) = self.plans.get(&key) {
            return Ok(plan);
        }
        let plan = compile()?;
        self.plans.insert(key, Arc::clone(&plan));
        Ok(plan)
    }

    async fn run_cached(
        &self,
        answers: &Cached<Kept>,
        snapshot: Arc<Snapshot>,
        plan: Arc<Plan>,
        call: PipelineCall,
    ) -> Result<PipelineAnswer> {
        let key = answer_key(&plan, &call);
        let service = Arc::clone(&plan.node(plan.root).service);
        let options = RunOptions::default();
        let run = Run::new(
            plan,
            snapshot,
            Arc::clone(&call.context),
            options,
            &self.settings,
            self.metrics.clone(),
        );
        let answer = answers.get_or_compute(key, move || async move {
            let Outcome {
                ranking,
                sub_queries,
                ..
            } = run.finish(call.query).await?;
            let kept = Kept {
                ranking,
                sub_queries: sub_queries.map(Arc::from),
            };
            Ok(Answer::now(kept, CallStats::default()))
        });
        let answer = answer.await?;
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

    async fn run(
        &self,
        snapshot: Arc<Snapshot>,
        plan: Arc<Plan>,
        query: Arc<str>,
        context: &Arc<RequestContext>,
        options: RunOptions,
    ) -> Result<PipelineAnswer> {
        let started = Instant::now();
        let metrics = self.metrics.clone();
        let run = Run::new(
            Arc::clone(&plan),
            snapshot,
            Arc::clone(context),
            options,
            &self.settings,
            metrics,
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

/// Ends `work` at the request's deadline.
async fn within<T>(context: &RequestContext, work: impl Future<Output = Result<T>>) -> Result<T> {
    let work = quietly(work);
    let Some(deadline) = context.deadline else {
        return work.await;
    };
    tokio::time::timeout_at(deadline.into(), work)
        .await
        .unwrap_or_else(|_| {
            let message = "the deadline passed before the answer was there; \
                       ask for less or allow more time with `timeout`";
            Err(Error::new(ErrorCode::DeadlineExceeded, message))
        })
}

/// Equal for requests with the same plan.
fn plan_key(catalog: &Catalog, call: &PipelineCall) -> Key {
    let key = Key::builder("plan").text("pipeline", &call.pipeline);
    arguments(key, catalog.generation, call).build()
}

/// Equal for requests with the same answer: the canonical pipeline after alias expansion, so that
/// spelling does not matter. A compiled plan has no arguments for stages that it does not have.
fn answer_key(plan: &Plan, call: &PipelineCall) -> Key {
    let key = Key::builder("pipeline")
        .text("pipeline", &plan.canonical)
        .text("query", &call.query);
    arguments(key, plan.generation, call).build()
}

fn arguments(key: KeyBuilder, generation: u64, call: &PipelineCall) -> KeyBuilder {
    let key = key.value("generation", &Value::from(generation));
    let key = key.value("collection", &Value::from(call.collection.as_deref()));
    let stages = call.runtime_kwargs.iter();
    stages.fold(key, |key, (stage, params)| {
        key.object(stage, params.as_map())
    })
}
