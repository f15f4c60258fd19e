//! A sandbox with a hostile guest in it, and what must hold after each evil.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{
    DecomposeRequest, Error, ErrorCode, FuseRequest, FuseSource, Hit, Params, Ranking,
    RequestContext, Result, Roles, ScoreRequest, SearchRequest, Tenant,
};
use routir_sandbox::{Admitted, Compiler, ExtensionSpec, Sandbox, SandboxSettings};

use crate::host::Runtime;
use crate::wrap;

/// When a call that was stopped must be over, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// What the guests here are called in errors.
pub(crate) const IDENTITY: &str = "mallory/evil";

/// Limits that end a test soon: by processor time, of which a busy machine gives little.
pub(crate) fn limits() -> ExtensionLimits {
    ExtensionLimits {
        cpu_ms: 100,
        time_ms: 60_000,
        ..ExtensionLimits::default()
    }
}

/// Limits that end a test soon whose guest waits.
pub(crate) fn short() -> ExtensionLimits {
    ExtensionLimits {
        time_ms: 1_000,
        ..ExtensionLimits::default()
    }
}

/// A sandbox of its own for each test, so that its accounts say something.
pub(crate) struct House {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) runtime: Arc<Runtime>,
    _cache: tempfile::TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut SandboxSettings)) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let mut settings = SandboxSettings {
            cache_dir: cache.path().to_owned(),
            instances: 16,
            compiler: Compiler::InProcess,
            compile_memory_mb: 1024,
            compile_cpu_s: 60,
            threads: 1,
        };
        change(&mut settings);
        Self {
            sandbox: Sandbox::new(settings).unwrap(),
            runtime: Arc::new(Runtime::default()),
            _cache: cache,
        }
    }

    pub(crate) async fn admit(
        &self,
        component: Vec<u8>,
        limits: &ExtensionLimits,
    ) -> Result<Admitted> {
        let grants = ExtensionGrants::default();
        self.sandbox
            .admit(None, component.into(), limits, &grants)
            .await
    }

    /// The engines of a component, as a service of tenant `mallory`.
    pub(crate) async fn roles(
        &self,
        component: Vec<u8>,
        limits: &ExtensionLimits,
    ) -> Result<Roles> {
        let admitted = self.admit(component, limits).await?;
        Ok(admitted.component.roles(self.spec(limits)))
    }

    pub(crate) fn spec(&self, limits: &ExtensionLimits) -> ExtensionSpec {
        ExtensionSpec {
            identity: Arc::from(IDENTITY),
            owner: Some(Arc::from("mallory")),
            params: Params::default(),
            trusted: false,
            limits: limits.clone(),
            grants: ExtensionGrants::default(),
            collection: None,
            host: Arc::<Runtime>::clone(&self.runtime),
        }
    }

    /// What must hold whatever happened before: no memory is held, and a good extension answers.
    pub(crate) async fn is_sound(&self) {
        let limits = ExtensionLimits::default();
        let good = self.roles(wrap::evil("good"), &limits).await.unwrap();
        let ranking = fuse(&good, context(None)).await.unwrap();
        let ids: Vec<_> = ranking
            .hits()
            .iter()
            .map(|hit| hit.doc.to_string())
            .collect();
        assert_eq!(ids, ["d1", "d2", "d3"]);
        self.holds_nothing(None).await;
    }

    /// Waits until the tenant's account is empty, and fails when that takes long.
    pub(crate) async fn holds_nothing(&self, tenant: Option<&Tenant>) {
        let account = self.sandbox.account(tenant);
        let since = Instant::now();
        while account.memory() > 0 {
            assert!(
                since.elapsed() < PATIENCE,
                "still holds {} bytes",
                account.memory()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// How an evil ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It is not let in; the error says this.
    Refused(&'static str),
    /// Its call fails; the error says this. A fusion that shows it when it is tried out is not let
    /// in at all.
    Fails(&'static str),
    /// It may do that much.
    Answers,
}

/// Lets `guests/evil/<name>.wat` do its worst.
pub(crate) async fn try_evil(name: &str, end: End) {
    try_guest(&wrap::text(name), end, &limits()).await;
}

/// Lets a guest do its worst, at once and when it has been let in.
pub(crate) async fn try_guest(text: &str, end: End, limits: &ExtensionLimits) {
    let component = match end {
        End::Refused(_) => wrap::component_of(text),
        End::Fails(reason) => {
            let house = House::new();
            match house.roles(wrap::component_of(text), limits).await {
                Err(error) => refused(&error, reason),
                Ok(roles) => failed(call(&roles, context(None)).await, reason),
            }
            house.is_sound().await;
            wrap::sleeper(text)
        }
        End::Answers => wrap::sleeper(text),
    };
    try_component(component, end, limits).await;
}

/// Lets a component do its worst, in whichever role it plays, within `limits`.
pub(crate) async fn try_component(component: Vec<u8>, end: End, limits: &ExtensionLimits) {
    let house = House::new();
    let started = Instant::now();
    match (house.roles(component, limits).await, end) {
        (Err(error), End::Refused(reason)) => refused(&error, reason),
        (Ok(roles), End::Fails(reason)) => failed(call(&roles, context(None)).await, reason),
        (Ok(roles), End::Answers) => call(&roles, context(None)).await.unwrap(),
        (admitted, end) => panic!("{end:?}, but {:?}", admitted.err()),
    }
    let took = started.elapsed();
    assert!(took < PATIENCE, "took {took:?}");
    // Admission and the call have the limit each. A tick is a millisecond; what it may be late by,
    // on top, is one bulk instruction and taking the memory down.
    let used = house.sandbox.account(None).cpu_used();
    let most = Duration::from_millis(u64::from(limits.cpu_ms) * 2 + 150);
    assert!(used < most, "used {used:?} of processor time");
    house.is_sound().await;
}

/// Checks an admission that was refused.
pub(crate) fn refused(error: &Error, reason: &str) {
    let codes = [ErrorCode::InvalidArgument, ErrorCode::TooLarge];
    assert!(codes.contains(&error.code()), "{error:?}");
    let problems = error.problems().iter().map(|p| p.message.as_str());
    let said = problems.fold(error.message().to_owned(), |all, one| all + "\n" + one);
    assert!(said.contains(reason), "{said}");
    assert!(said.len() < 20_000, "{} bytes of refusal", said.len());
}

/// Checks a call that failed by the extension's own fault.
pub(crate) fn failed<T: Debug>(answer: Result<T>, reason: &str) {
    let error = answer.expect_err("the call must fail");
    let said = error.message();
    assert_eq!(error.code(), ErrorCode::EngineFailure, "{error:?}");
    assert!(said.contains(&format!("extension `{IDENTITY}`")), "{said}");
    assert!(said.contains(reason), "expected `{reason}`: {said}");
    assert!(said.len() < 8_000, "{} bytes of error", said.len());
    let control = said.chars().find(|c| c.is_control());
    assert_eq!(control, None, "{said:?}");
}

/// The context of a request, of a tenant's or the operator's.
pub(crate) fn context(tenant: Option<&Arc<Tenant>>) -> Arc<RequestContext> {
    Arc::new(RequestContext {
        tenant: tenant.cloned(),
        ..RequestContext::new("r1")
    })
}

/// Calls the one role that a component plays.
pub(crate) async fn call(roles: &Roles, context: Arc<RequestContext>) -> Result<()> {
    if roles.fuse.is_some() {
        fuse(roles, context).await.map(drop)
    } else if roles.search.is_some() {
        search(roles, context, "a query").await.map(drop)
    } else if roles.score.is_some() {
        score(roles, context).await.map(drop)
    } else {
        decompose(roles, context).await.map(drop)
    }
}

/// Fuses two lists of three documents.
pub(crate) async fn fuse(roles: &Roles, context: Arc<RequestContext>) -> Result<Ranking> {
    let ranking = |ids: [&str; 2]| {
        let hits = ids
            .iter()
            .zip([2.0, 1.0])
            .map(|(id, score)| Hit::new(*id, score));
        Arc::new(Ranking::from_hits(hits.collect()).unwrap())
    };
    let query: Arc<str> = Arc::from("a query");
    let source = |stage: &str| FuseSource {
        stage: Arc::from(stage),
        query: Arc::clone(&query),
    };
    let engine = roles.fuse.as_ref().unwrap();
    engine
        .fuse(FuseRequest {
            query: Arc::clone(&query),
            rankings: vec![ranking(["d1", "d2"]), ranking(["d2", "d3"])],
            sources: vec![source("one"), source("two")],
            sub_queries: None,
            limit: None,
            params: Params::default(),
            context,
        })
        .await
}

/// Searches for ten documents.
pub(crate) async fn search(
    roles: &Roles,
    context: Arc<RequestContext>,
    query: &str,
) -> Result<Ranking> {
    let engine = roles.search.as_ref().unwrap();
    let request = SearchRequest {
        query: Arc::from(query),
        limit: 10,
        params: Params::default(),
        context,
    };
    engine.search(vec![request]).await.remove(0)
}

/// Scores three texts.
pub(crate) async fn score(roles: &Roles, context: Arc<RequestContext>) -> Result<Vec<f64>> {
    let engine = roles.score.as_ref().unwrap();
    let request = ScoreRequest {
        query: Arc::from("a query"),
        passages: ["one", "two", "three"].map(Arc::from).to_vec().into(),
        params: Params::default(),
        context,
    };
    engine.score(vec![request]).await.remove(0)
}

/// Asks for as many sub-queries as it likes.
pub(crate) async fn decompose(
    roles: &Roles,
    context: Arc<RequestContext>,
) -> Result<Vec<Arc<str>>> {
    let engine = roles.decompose.as_ref().unwrap();
    let request = DecomposeRequest {
        query: Arc::from("a query"),
        limit: None,
        params: Params::default(),
        context,
    };
    engine.decompose(vec![request]).await.remove(0)
}
