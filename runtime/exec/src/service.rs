//! A service: an engine behind its cache, its single flight and its queue, one request at a time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use routir_batch::{BatchSettings, Batcher, Flow, Policy};
use routir_core::{
    Answer, Batching, BoxFuture, CacheMetrics, DecomposeRequest, Error, Health, Metrics, Passages,
    QueueMetrics, RequestContext, Result, Role, Roles, ScoreRequest, SearchRequest, ServiceInfo,
};

use crate::answers::{Answers, Asker, PassagesDigest, shared};
use crate::fuse::FuseService;
use crate::role::Request;
use crate::spec::{CacheSpec, ServiceSpec};

/// One service with the roles that it plays.
pub(crate) struct Service {
    /// Whose it is; `None` is the operator.
    pub(crate) owner: Option<Arc<str>>,
    /// What it is called in chains, if it is an extension or asks the host as one does.
    pub(crate) identity: Option<Arc<str>>,
    /// Whether every tenant sees it.
    pub(crate) public: bool,
    /// The engines of a service that another server plays, by which an import that stays as it was
    /// is known.
    pub(crate) imported: Option<Roles>,
    /// What it is called in reports.
    pub(crate) shown: Arc<str>,
    /// What it is counted as. The extensions of one tenant count as one, so that no tenant makes
    /// labels without end.
    pub(crate) label: Arc<str>,
    pub(crate) info: ServiceInfo,
    /// What it cannot do without.
    pub(crate) health: Vec<Arc<dyn Health>>,
    pub(crate) search: Option<RoleService<SearchRequest>>,
    pub(crate) score: Option<RoleService<ScoreRequest>>,
    pub(crate) decompose: Option<RoleService<DecomposeRequest>>,
    pub(crate) fuse: Option<FuseService>,
}

impl Service {
    /// A scorer reads what it says that it reads, and nothing else.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for passages of the other kind.
    pub(crate) fn check_kind(&self, passages: &Passages) -> Result<()> {
        let reads = self.info.score.as_ref().map(|info| info.view_kind);
        if passages.is_empty() || reads == Some(passages.kind()) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "service `{}` scores {}, and these passages are {}",
            self.shown,
            reads.unwrap_or_default(),
            passages.kind()
        )))
    }

    /// The service that `spec` describes, owned by `owner`. An extension may be called at
    /// `max_depth` in chains.
    pub(crate) fn new(
        spec: ServiceSpec,
        owner: Option<&str>,
        max_depth: usize,
        metrics: &Metrics,
    ) -> Self {
        let info = spec.info();
        let ServiceSpec {
            name,
            roles,
            batch,
            at_once,
            inside,
            cache,
            identity,
            public,
            ..
        } = spec;
        let label: Arc<str> = match owner {
            Some(owner) => Arc::from(format!("{owner}/*")),
            None => Arc::clone(&name),
        };
        let setup = Setup {
            batched: BatchSettings {
                name: Arc::clone(&name),
                ..batch
            },
            at_once,
            inside,
            max_depth: identity.as_ref().map(|_| max_depth),
        };
        // Made for roles that have them, since a series exists from when it is made.
        let counted = |role: Role| Counters {
            queue: metrics.queue(&label, role.name()),
            cache: metrics.cache(&label),
        };
        let search = roles.search.map(|engine| {
            let batching = engine.batching();
            let ask = move |requests| {
                let engine = Arc::clone(&engine);
                async move { engine.search(requests).await }.boxed()
            };
            RoleService::new(&setup, batching, counted(Role::Search), cache.as_ref(), ask)
        });
        let score = roles.score.map(|engine| {
            let batching = engine.batching();
            let ask = move |requests| {
                let engine = Arc::clone(&engine);
                async move { engine.score(requests).await }.boxed()
            };
            let cache = cache.as_ref().filter(|cache| cache.scores);
            RoleService::new(&setup, batching, counted(Role::Score), cache, ask)
        });
        let decompose = roles.decompose.map(|engine| {
            let batching = engine.batching();
            let ask = move |requests| {
                let engine = Arc::clone(&engine);
                async move { engine.decompose(requests).await }.boxed()
            };
            let counted = counted(Role::DecomposeQuery);
            RoleService::new(&setup, batching, counted, cache.as_ref(), ask)
        });
        let fuse = roles.fuse.map(|engine| FuseService {
            name: Arc::clone(&name),
            engine,
        });
        Self {
            owner: owner.map(Arc::from),
            shown: Arc::clone(identity.as_ref().unwrap_or(&name)),
            identity,
            public,
            imported: None,
            label,
            info,
            health: roles.health,
            search,
            score,
            decompose,
            fuse,
        }
    }

    /// Refuses a call that the service itself waits for.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::EngineFailure`], naming the circle.
    pub(crate) fn check_circle(&self, context: &RequestContext) -> Result<()> {
        let Some(identity) = &self.identity else {
            return Ok(());
        };
        let Some(at) = context.chain.iter().position(|waits| waits == identity) else {
            return Ok(());
        };
        let circle = context.chain.iter().skip(at).chain([identity]);
        let circle: Vec<_> = circle.map(AsRef::as_ref).collect();
        let what = match &*self.info.engine {
            "Extension" => "extension",
            _ => "service",
        };
        Err(Error::engine(format!(
            "{what} `{identity}` calls itself: {}",
            circle.join(" > ")
        )))
    }
}

/// What the roles of one service share.
struct Setup {
    batched: BatchSettings,
    at_once: usize,
    inside: usize,
    /// How many extensions may wait for it, if it is one itself.
    max_depth: Option<usize>,
}

/// What a role is counted in.
struct Counters {
    queue: QueueMetrics,
    cache: CacheMetrics,
}

type Ask<R> =
    dyn Fn(Vec<R>) -> BoxFuture<'static, Vec<Result<<R as Request>::Raw>>> + Send + Sync + 'static;

/// A service in one role.
pub(crate) struct RoleService<R: Request> {
    name: Arc<str>,
    extension: bool,
    queues: Queues<R>,
    answers: Answers<R::Value>,
}

impl<R: Request> RoleService<R> {
    fn new(
        setup: &Setup,
        batching: Batching,
        counters: Counters,
        cache: Option<&CacheSpec>,
        ask: impl Fn(Vec<R>) -> BoxFuture<'static, Vec<Result<R::Raw>>> + Send + Sync + 'static,
    ) -> Self {
        let extension = setup.max_depth.is_some();
        let mut settings = setup.batched.clone();
        let alone = match batching {
            Batching::Alone => Some(setup.at_once),
            Batching::Inside => Some(setup.inside),
            Batching::Together => extension.then_some(setup.at_once),
        };
        if let Some(at_once) = alone {
            settings.concurrency = at_once;
            settings.policy = Policy {
                max_requests: 1,
                max_tokens: None,
                max_wait: Duration::ZERO,
            };
        }
        let shallow = (0..setup.max_depth.unwrap_or(0)).map(|_| OnceLock::new());
        Self {
            name: Arc::clone(&setup.batched.name),
            extension,
            queues: Queues {
                settings,
                metrics: counters.queue,
                ask: Arc::new(ask),
                shallow: shallow.collect(),
                deepest: OnceLock::new(),
            },
            answers: Answers::new(cache, R::codec(), counters.cache),
        }
    }

    /// Asks the engine, unless the answer is kept or on its way. `generation` is that of the
    /// catalog in which the caller found the service.
    ///
    /// # Errors
    /// The engine's own, a full queue, an answer that makes no sense.
    pub(crate) async fn call(&self, request: R, generation: u64) -> Result<Answer<R::Value>> {
        let asker = Asker {
            context: request.context(),
            extended: self.extension.then_some(generation),
        };
        let passages = match request.passages() {
            Some(passages) => PassagesDigest::of(passages).await?,
            None => None,
        };
        let identity = request.identity(asker, passages.as_ref());
        let (cached, key) = self.answers.place(&identity);
        let queue = Arc::clone(self.queues.of(request.context()));
        let (times, deadline) = (self.answers.times(), request.context().deadline);
        let compute = move || {
            let (queue, request) = (Arc::clone(&queue), request.clone());
            async move {
                let (count, tokens) = (request.count(), request.tokens());
                // A tenant's guests' calls are its own.
                let flow = Flow::of(request.context().tenant.as_ref());
                let (raw, stats) = queue.submit(flow, request, tokens).await?;
                Ok(Answer::now(R::accept(raw, count)?, stats))
            }
        };
        let answer = shared(cached, times, key, self.extension, deadline, compute).await;
        answer.map_err(|error| at_service(error, &self.name))
    }
}

/// The queues before one engine.
///
/// A native engine waits for nobody's queue and has one. An extension's call holds its place while
/// it waits for host calls, so if all calls of an extension `a` wait for `b` and all of `b` for
/// `a`, one queue each would be a deadlock. Therefore an extension has one queue for each depth of
/// host calls, and a call waits only for places that are deeper than its own.
struct Queues<R: Request> {
    settings: BatchSettings,
    metrics: QueueMetrics,
    ask: Arc<Ask<R>>,
    /// By depth. Made when somebody comes: most extensions are called by nobody else.
    shallow: Box<[Lazy<R>]>,
    deepest: Lazy<R>,
}

type Lazy<R> = OnceLock<Arc<Batcher<R, <R as Request>::Raw>>>;

impl<R: Request> Queues<R> {
    fn of(&self, context: &RequestContext) -> &Arc<Batcher<R, R::Raw>> {
        let queue = self.shallow.get(context.chain.len());
        queue.unwrap_or(&self.deepest).get_or_init(|| {
            let ask = Arc::clone(&self.ask);
            let run = move |requests| ask(requests);
            let (settings, metrics) = (self.settings.clone(), self.metrics.clone());
            Arc::new(Batcher::new(settings, metrics, run))
        })
    }
}

/// Says where an error happened, unless it says so already.
pub(crate) fn at_service(error: Error, name: &str) -> Error {
    let place = format!("service `{name}`");
    if error.message().starts_with(&place) {
        error
    } else {
        error.at(place)
    }
}
