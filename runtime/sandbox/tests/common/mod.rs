//! What the tests share: guests from WebAssembly text, a house for them, a runtime behind it.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "tests"
)]

pub(crate) mod guest;
pub(crate) mod host;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{
    DecomposeRequest, FuseRequest, FuseSource, Hit, Params, Quotas, Ranking, RequestContext,
    Result, Roles, ScoreRequest, SearchRequest, Tenant,
};
use routir_sandbox::{Admitted, Compiler, ExtensionSpec, Sandbox, SandboxSettings};
use serde_json::Value;

pub(crate) use guest::Guest;
pub(crate) use host::Runtime;

/// What guests are called here.
pub(crate) const IDENTITY: &str = "acme/test";
/// How long anything may take on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Limits with room for a slow machine where time is not what is tested.
pub(crate) fn limits() -> ExtensionLimits {
    ExtensionLimits {
        time_ms: 30_000,
        cpu_ms: 20_000,
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
        Self::with_instances(16)
    }

    pub(crate) fn with_instances(instances: u32) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let settings = SandboxSettings {
            cache_dir: cache.path().to_owned(),
            instances,
            compiler: Compiler::InProcess,
            compile_memory_mb: 1024,
            compile_cpu_s: 60,
            threads: 2,
        };
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

    pub(crate) fn spec(&self, limits: &ExtensionLimits) -> ExtensionSpec {
        ExtensionSpec {
            identity: Arc::from(IDENTITY),
            owner: Some(Arc::from("acme")),
            params: Params::default(),
            trusted: false,
            limits: limits.clone(),
            grants: ExtensionGrants::default(),
            collection: None,
            host: Arc::<Runtime>::clone(&self.runtime),
        }
    }

    /// The engines of a guest under `limits`.
    pub(crate) async fn under(&self, limits: &ExtensionLimits, guest: Guest) -> Roles {
        self.changed(limits, guest, |_| {}).await
    }

    /// The engines of a guest.
    pub(crate) async fn roles(&self, guest: Guest) -> Roles {
        self.under(&limits(), guest).await
    }

    /// The engines of a guest in a service with something changed. The guest is admitted under
    /// generous limits, since some misbehave already there.
    pub(crate) async fn changed(
        &self,
        limits: &ExtensionLimits,
        guest: Guest,
        change: impl FnOnce(&mut ExtensionSpec),
    ) -> Roles {
        let generous = ExtensionLimits {
            fuel: limits.fuel,
            ..self::limits()
        };
        let admitted = self.admit(guest.component(), &generous).await.unwrap();
        let mut spec = self.spec(limits);
        change(&mut spec);
        admitted.component.roles(spec)
    }

    /// Waits until the tenant's account is empty.
    pub(crate) async fn holds_nothing(&self, tenant: Option<&Tenant>) {
        let account = self.sandbox.account(tenant);
        let since = Instant::now();
        while account.memory() > 0 {
            assert!(since.elapsed() < PATIENCE, "holds {}", account.memory());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

pub(crate) fn tenant(name: &str, change: impl FnOnce(&mut Quotas)) -> Tenant {
    let mut quotas = Quotas {
        concurrent_calls: 64,
        memory_bytes: 512 << 20,
        cpu_ms_per_s: 1000,
        host_calls_per_s: 10_000,
        extensions: 20,
    };
    change(&mut quotas);
    Tenant {
        name: Arc::from(name),
        weight: NonZeroU32::MIN,
        quotas,
        services: Vec::new(),
        collections: Vec::new(),
    }
}

pub(crate) fn context() -> Arc<RequestContext> {
    Arc::new(RequestContext::new("r1"))
}

pub(crate) fn paid_by(tenant: &Tenant) -> Arc<RequestContext> {
    let mut context = RequestContext::new("r1");
    context.tenant = Some(Arc::new(tenant.clone()));
    Arc::new(context)
}

pub(crate) fn params(value: Value) -> Params {
    Params::from(value.as_object().unwrap().clone())
}

pub(crate) fn ranking(hits: &[(&str, f64)]) -> Arc<Ranking> {
    let hits = hits.iter().map(|(id, score)| Hit::new(*id, *score));
    Arc::new(Ranking::from_hits(hits.collect()).unwrap())
}

/// Two lists of documents a, b, c and c, a, d.
pub(crate) fn two_lists() -> Vec<Arc<Ranking>> {
    vec![
        ranking(&[("a", 3.0), ("b", 2.0), ("c", 1.0)]),
        ranking(&[("c", 0.9), ("a", 0.5), ("d", 0.1)]),
    ]
}

pub(crate) fn fuse_request(rankings: Vec<Arc<Ranking>>, call: Value) -> FuseRequest {
    let sources = (0..rankings.len()).map(|n| FuseSource {
        stage: Arc::from(format!("s{n}")),
        query: Arc::from("q"),
    });
    FuseRequest {
        query: Arc::from("q"),
        sources: sources.collect(),
        rankings,
        sub_queries: None,
        limit: None,
        params: params(call),
        context: context(),
    }
}

pub(crate) async fn fuse(roles: &Roles) -> Result<Vec<(String, f64)>> {
    fuse_with(roles, fuse_request(two_lists(), serde_json::json!({}))).await
}

pub(crate) async fn fuse_with(roles: &Roles, request: FuseRequest) -> Result<Vec<(String, f64)>> {
    pairs(roles.fuse.as_ref().unwrap().fuse(request).await)
}

pub(crate) async fn search(roles: &Roles, query: &str) -> Result<Vec<(String, f64)>> {
    search_in(roles, query, context()).await
}

pub(crate) async fn search_in(
    roles: &Roles,
    query: &str,
    context: Arc<RequestContext>,
) -> Result<Vec<(String, f64)>> {
    let request = SearchRequest {
        query: Arc::from(query),
        limit: 3,
        params: Params::default(),
        context,
    };
    let engine = roles.search.as_ref().unwrap();
    pairs(engine.search(vec![request]).await.remove(0))
}

pub(crate) async fn score(roles: &Roles, passages: &[&str]) -> Result<Vec<f64>> {
    let request = ScoreRequest {
        query: Arc::from("q"),
        passages: passages.iter().map(|text| Arc::from(*text)).collect(),
        params: Params::default(),
        context: context(),
    };
    let engine = roles.score.as_ref().unwrap();
    engine.score(vec![request]).await.remove(0)
}

pub(crate) async fn decompose(
    roles: &Roles,
    query: &str,
    limit: Option<usize>,
) -> Result<Vec<Arc<str>>> {
    let request = DecomposeRequest {
        query: Arc::from(query),
        limit,
        params: Params::default(),
        context: context(),
    };
    let engine = roles.decompose.as_ref().unwrap();
    engine.decompose(vec![request]).await.remove(0)
}

fn pairs(ranking: Result<Ranking>) -> Result<Vec<(String, f64)>> {
    let hits = ranking?.into_hits().into_iter();
    Ok(hits.map(|hit| (hit.doc.to_string(), hit.score)).collect())
}

/// Ids and scores as `fuse` and `search` give them.
pub(crate) fn owned(pairs: &[(&str, f64)]) -> Vec<(String, f64)> {
    pairs.iter().map(|(id, s)| ((*id).to_owned(), *s)).collect()
}
