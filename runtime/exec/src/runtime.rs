//! The way in: every call of every wire, and of every extension, becomes a plan and runs here.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use routir_cache::Key;
use routir_core::{
    Answer, CallBudget, CallStats, Catalog, ContentSource, DocId, Document, Error, ErrorCode,
    Metrics, RequestContext, Result, Role, ScoreRequest, SearchRequest,
};
use routir_plan::Plan;

use crate::api::{PipelineAnswer, PipelineCall, PlanReport, Readiness, RunOptions};
use crate::builder::RuntimeBuilder;
use crate::pipelines::PipelineCache;
use crate::quiet::quietly;
use crate::report;
use crate::scope::Scope;
use crate::snapshot::{Generations, Snapshot};
use crate::spec::RuntimeSettings;

/// How many compiled plans are kept.
const PLANS: u64 = 1024;

/// The native runtime: services, collections and aliases, and everything that runs on them. Clones
/// are one.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Held by whoever makes a new snapshot.
    pub(crate) generations: Mutex<Generations>,
    pub(crate) settings: RuntimeSettings,
    pub(crate) metrics: Metrics,
    pub(crate) plans: moka::sync::Cache<Key, Arc<Plan>>,
    pub(crate) answers: Option<PipelineCache>,
    /// Runs what extensions ask, whose own threads are none of tokio's.
    pub(crate) tokio: tokio::runtime::Handle,
}

impl Runtime {
    /// Starts putting a runtime together.
    #[must_use]
    pub fn builder(settings: RuntimeSettings) -> RuntimeBuilder {
        RuntimeBuilder::new(settings)
    }

    /// Must be called within a tokio runtime.
    pub(crate) fn new(
        snapshot: Snapshot,
        generations: Generations,
        settings: RuntimeSettings,
        metrics: Metrics,
    ) -> Self {
        let backing = settings.pipeline_cache.as_ref();
        let answers = backing.map(|it| PipelineCache::new(it, metrics.cache("pipeline")));
        let inner = Inner {
            snapshot: ArcSwap::from_pointee(snapshot),
            generations: Mutex::new(generations),
            settings,
            metrics,
            plans: moka::sync::Cache::new(PLANS),
            answers,
            tokio: tokio::runtime::Handle::current(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    /// What exists now for the operator.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.inner.snapshot.load().operator().catalog)
    }

    /// What exists now for those who ask in `context`.
    ///
    /// # Errors
    /// [`ErrorCode::Internal`] when the context's scope is no tenant of this runtime.
    pub fn catalog_for(&self, context: &RequestContext) -> Result<Arc<Catalog>> {
        Ok(Arc::clone(&self.scope(context)?.catalog))
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Whether each service and collection of the operator can do its work.
    #[must_use]
    pub fn readiness(&self) -> Vec<Readiness> {
        let snapshot = self.inner.snapshot.load();
        let operator = snapshot.operator();
        let catalog = &operator.catalog;
        let services = operator.services.iter().map(|(name, service)| {
            let wrong = service.health.iter().find_map(|it| it.check().err());
            Readiness {
                name: format!("service {name}"),
                ready: wrong.is_none(),
                detail: match wrong {
                    Some(error) => error.message().to_owned(),
                    None => service.info.engine.to_string(),
                },
            }
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
        let scope = self.scope(&request.context)?;
        let plan = routir_plan::single_search(
            service,
            request.limit,
            self.inner.settings.max_limit,
            &request.params,
            &scope.catalog,
        )?;
        scope.check_circle(&plan, &request.context)?;
        let context = self.admitted(request.context);
        let run = self.run(
            scope,
            Arc::new(plan),
            request.query,
            &context,
            options,
            None,
        );
        within(&context, run).await
    }

    /// Scores passages with one service.
    ///
    /// # Errors
    /// An unknown service or argument, the engine's failure, a full queue, the deadline.
    pub async fn score(
        &self,
        service: &str,
        mut request: ScoreRequest,
    ) -> Result<Answer<Arc<[f64]>>> {
        let scope = self.scope(&request.context)?;
        routir_plan::check_call(service, Role::Score, &request.params, &scope.catalog)?;
        let started = Instant::now();
        let gone = || Error::internal("a scorer left the catalog");
        let found = scope.services.get(service).ok_or_else(gone)?;
        let scorer = found.score.as_ref().ok_or_else(gone)?;
        found.check_kind(&request.passages)?;
        found.check_circle(&request.context)?;
        request.context = self.admitted(request.context);
        let context = Arc::clone(&request.context);
        let result = if request.passages.is_empty() {
            Ok(Answer::now(Arc::from([]), CallStats::default()))
        } else {
            let generation = scope.catalog.generation;
            let call = async {
                spend(&request.context)?;
                scorer.call(request, generation).await
            };
            within(&context, call).await
        };
        let outcome = result
            .as_ref()
            .map_or_else(|error| error.code().name(), |_| "ok");
        let role = Role::Score.name();
        self.metrics()
            .stage(&found.label, role, outcome, started.elapsed());
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
        let source = self.collection(context, collection)?;
        let mut found = within(
            context,
            source.fetch_for(context, view, std::slice::from_ref(id)),
        )
        .await?;
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
        self.answer(call, None).await
    }

    /// The plan that [`Runtime::pipeline`] would run, without running it.
    ///
    /// # Errors
    /// Everything wrong with the pipeline or its arguments at once.
    pub fn explain(&self, call: &PipelineCall) -> Result<PlanReport> {
        let scope = self.scope(&call.context)?;
        let plan = self.plan(&scope, call, None)?;
        Ok(report::of_plan(&plan))
    }

    /// What those who ask in `context` can name now.
    pub(crate) fn scope(&self, context: &RequestContext) -> Result<Arc<Scope>> {
        let snapshot = self.inner.snapshot.load();
        snapshot.scope(context.scope.as_deref()).map(Arc::clone)
    }

    /// A collection that those who ask in `context` can name.
    pub(crate) fn collection(
        &self,
        context: &RequestContext,
        name: &str,
    ) -> Result<Arc<dyn ContentSource>> {
        self.scope(context)?.collection(name).map(Arc::clone)
    }

    /// The context with a budget: its own, if an extension asks, else a new one.
    pub(crate) fn admitted(&self, context: Arc<RequestContext>) -> Arc<RequestContext> {
        if context.budget.is_some() {
            return context;
        }
        let mut context = Arc::unwrap_or_clone(context);
        let budget = CallBudget::new(self.inner.settings.max_calls);
        context.budget = Some(Arc::new(budget));
        Arc::new(context)
    }
}

/// Takes one of the calls that the request may cause.
pub(crate) fn spend(context: &RequestContext) -> Result<()> {
    let budget = context.budget.as_ref();
    budget.map_or(Ok(()), |budget| budget.take())
}

/// Ends `work` at the request's deadline.
pub(crate) async fn within<T>(
    context: &RequestContext,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
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
