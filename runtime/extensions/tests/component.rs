//! Real components, published by real means into a real runtime.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "outside a test function clippy does not see that this is a test"
)]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_config::{Config, ExtensionGrants, ExtensionLimits, OnFailure, Origin};
use routir_core::{
    BoxFuture, ErrorCode, ExtensionAdmin, Hit, Metrics, ParamsSpec, Quotas, Ranking,
    RequestContext, Result, Role, Roles, SearchEngine, SearchRequest, Tenant,
};
use routir_exec::{PipelineCall, Runtime, RuntimeBuilder, RuntimeSettings, ServiceSpec};
use routir_extensions::{
    AuditTrail, Operator, OperatorEnv, Registry, RegistrySettings, TenantExtensions,
};
use routir_sandbox::{Compiler, Sandbox, SandboxSettings};

#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../../../tests/evil/wrap.rs"]
mod wrap;

/// Finds three documents whose ids begin with its name.
struct Finder(&'static str);

impl SearchEngine for Finder {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        let one = |_: SearchRequest| {
            let hits = (1..=3).map(|n| Hit::new(format!("{}{n}", self.0), 1.0 / f64::from(n)));
            Ranking::from_hits(hits.collect())
        };
        let answers = batch.into_iter().map(one).collect();
        Box::pin(async move { answers })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }
}

fn native(name: &'static str) -> ServiceSpec {
    let roles = Roles {
        search: Some(Arc::new(Finder(name))),
        ..Roles::default()
    };
    ServiceSpec {
        engine: Arc::from("Finder"),
        identity: None,
        ..ServiceSpec::extension(None, name, roles)
    }
}

fn builder() -> RuntimeBuilder {
    let builder = Runtime::builder(RuntimeSettings::default());
    builder.service(native("a")).service(native("b"))
}

fn sandbox(dir: &Path) -> Arc<Sandbox> {
    let settings = SandboxSettings {
        cache_dir: dir.join("code"),
        instances: 4,
        compiler: Compiler::InProcess,
        compile_memory_mb: 0,
        compile_cpu_s: 0,
        threads: 1,
    };
    Sandbox::new(settings).unwrap()
}

fn acme(dirs: &[&Path]) -> TenantExtensions {
    TenantExtensions {
        tenant: Arc::new(Tenant {
            name: Arc::from("acme"),
            weight: NonZeroU32::MIN,
            quotas: Quotas {
                concurrent_calls: 10,
                memory_bytes: 256 << 20,
                cpu_ms_per_s: 1000,
                host_calls_per_s: 1000,
                extensions: 10,
            },
            services: vec!["*".to_owned()],
            collections: Vec::new(),
        }),
        limits: ExtensionLimits::default(),
        grants: ExtensionGrants::default(),
        on_failure: OnFailure {
            trip_after: NonZeroU32::new(3),
            retry_after: 3600.0,
            fallback: None,
        },
        dirs: dirs.iter().map(|dir| dir.to_path_buf()).collect(),
    }
}

/// A server with one tenant.
struct Server {
    runtime: Runtime,
    registry: Registry,
}

impl Server {
    async fn start(state: &Path, dirs: &[&Path]) -> Self {
        let tenant = acme(dirs);
        let runtime = builder()
            .tenant(Arc::clone(&tenant.tenant))
            .build()
            .unwrap();
        let audit = AuditTrail::new(state, runtime.metrics());
        let settings = RegistrySettings {
            state_dir: state.to_owned(),
            keep_versions: 5,
            tenants: vec![tenant],
        };
        let registry = Registry::open(
            settings,
            sandbox(state),
            runtime.clone(),
            BTreeMap::new(),
            &audit,
        );
        let registry = registry.unwrap();
        registry.restore().await.unwrap();
        Self { runtime, registry }
    }

    async fn put(&self, name: &str, component: Vec<u8>) -> Result<routir_core::ExtensionReport> {
        let put = self
            .registry
            .put(Arc::from("acme"), name.to_owned(), component);
        put.await
    }
}

/// The documents that a pipeline finds for the tenant, or for the operator.
async fn run(runtime: &Runtime, tenant: Option<&Tenant>, pipeline: &str) -> Result<Vec<String>> {
    let context = RequestContext {
        tenant: tenant.map(|tenant| Arc::new(tenant.clone())),
        scope: tenant.map(|tenant| Arc::clone(&tenant.name)),
        ..RequestContext::new("test")
    };
    let call = PipelineCall {
        pipeline: pipeline.to_owned(),
        query: Arc::from("a question"),
        context: Arc::new(context),
        ..PipelineCall::default()
    };
    let answer = runtime.pipeline(call).await?;
    let hits = answer.ranking.hits().iter();
    Ok(hits.map(|hit| hit.doc.to_string()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_serves_its_tenant_survives_a_restart_and_trips_when_it_crashes() {
    let state = tempfile::tempdir().unwrap();
    let server = Server::start(state.path(), &[]).await;
    let tenant = acme(&[]).tenant;
    let report = server.put("mine", wrap::evil("good")).await.unwrap();
    assert_eq!(report.roles, [Role::Fuse]);
    assert_eq!((report.version.as_str(), report.source), ("0.1.0", "api"));
    assert!(report.checks.iter().all(|check| check.passed));
    let found = run(&server.runtime, Some(&tenant), "{a, b}mine").await;
    assert_eq!(found.unwrap().len(), 6);
    let none = run(&server.runtime, None, "{a, b}mine").await;
    assert_eq!(none.unwrap_err().code(), ErrorCode::UnknownName);
    let refused = server.put("mine", b"no component".to_vec()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    assert!(!refused.problems().is_empty());
    let native = server.put("a", wrap::evil("good")).await.unwrap_err();
    assert_eq!(native.code(), ErrorCode::InvalidArgument);
    drop(server);

    let server = Server::start(state.path(), &[]).await;
    let found = run(&server.runtime, Some(&tenant), "{a, b}mine").await;
    assert_eq!(found.unwrap().len(), 6);
    let report = server.registry.get("acme", "mine").unwrap();
    let compile = report.checks.iter().find(|check| check.name == "compile");
    let detail = &compile.unwrap().detail;
    assert!(detail.starts_with("compiled before"), "{detail}");

    server.put("mine", wrap::asleep("trap")).await.unwrap();
    for _ in 0..3 {
        let error = run(&server.runtime, Some(&tenant), "{a, b}mine").await;
        let error = error.unwrap_err();
        assert_eq!(error.code(), ErrorCode::EngineFailure);
        assert!(error.message().contains("extension `acme/mine`"), "{error}");
    }
    let error = run(&server.runtime, Some(&tenant), "{a, b}mine").await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    assert_eq!(
        server.registry.get("acme", "mine").unwrap().state,
        "tripped"
    );
    let rolled = server
        .registry
        .roll_back(Arc::from("acme"), "mine".to_owned());
    rolled.await.unwrap();
    let found = run(&server.runtime, Some(&tenant), "{a, b}mine").await;
    assert_eq!(found.unwrap().len(), 6);
    let remove = server.registry.remove(Arc::from("acme"), "mine".to_owned());
    remove.await.unwrap();
    let gone = run(&server.runtime, Some(&tenant), "{a, b}mine").await;
    assert_eq!(gone.unwrap_err().code(), ErrorCode::UnknownName);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_put_into_a_watched_directory_serves() {
    let (state, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(state.path(), &[dir.path()]).await;
    let _watching = server.registry.watch();
    let tenant = acme(&[]).tenant;
    std::fs::write(dir.path().join("mine.wasm"), wrap::evil("good")).unwrap();
    let since = Instant::now();
    loop {
        match run(&server.runtime, Some(&tenant), "{a, b}mine").await {
            Ok(found) => break assert_eq!(found.len(), 6),
            Err(error) => assert_eq!(error.code(), ErrorCode::UnknownName),
        }
        assert!(since.elapsed() < Duration::from_secs(120));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_components_are_services() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("good.wasm"), wrap::evil("good")).unwrap();
    let text = r#"{
        "services": [{"name": "mine", "engine": "Extension", "config": {"component": "good.wasm"}}],
        "file_imports": ["good.wasm"]
    }"#;
    let loaded = Config::parse(text.to_owned(), Origin::inline()).unwrap();
    let (metrics, sandbox) = (Metrics::default(), sandbox(dir.path()));
    let audit = AuditTrail::new(dir.path(), &metrics);
    let resolve_path = |path: &str| dir.path().join(path);
    let operator = Operator::load(OperatorEnv {
        config: &loaded.config,
        resolve_path: &resolve_path,
        native_engines: &[],
        sandbox: &sandbox,
        metrics: &metrics,
        audit: &audit,
    });
    let operator = operator.await.map_err(|it| panic!("{it:?}")).unwrap();
    let mut builder = builder();
    let services = operator.services(&builder.host(), &BTreeMap::new());
    for service in services.map_err(|it| panic!("{it:?}")).unwrap() {
        builder = builder.service(service.into_spec());
    }
    let runtime = builder.build().unwrap();
    // `evil` is the name that its manifest states.
    for service in ["mine", "evil"] {
        let found = run(&runtime, None, &format!("{{a, b}}{service}%4")).await;
        assert_eq!(found.unwrap().len(), 4);
    }
}
