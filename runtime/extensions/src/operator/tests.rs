//! What a configuration may say of extensions.

use std::path::Path;

use expect_test::expect;
use serde_json::{Value, json};

use super::*;
use crate::audit::{Audit, Rotation};
use crate::fake::{FakeAdmitter, NoHost, ask, native};

/// The extensions of a configuration, or what is wrong with it.
async fn load(dir: &Path, config: Value) -> Result<Operator, String> {
    let loaded = Config::parse(config.to_string(), routir_config::Origin::inline()).unwrap();
    let metrics = Metrics::default();
    let audit = AuditTrail(Arc::new(Audit::new(dir, Rotation::default(), &metrics)));
    let admitter = Arc::new(FakeAdmitter::default());
    let env = load::Env {
        config: &loaded.config,
        resolve_path: &|path| dir.join(path),
        native_engines: &["BM25"],
        metrics: &metrics,
        audit: &audit,
    };
    let loaded = load::load(env, &admitter).await;
    loaded.map_err(|problems| {
        let lines = problems
            .iter()
            .map(|it| format!("{}: {}", it.path, it.error));
        let text = lines.collect::<Vec<_>>().join("\n");
        text.replace(&dir.display().to_string(), "DIR")
    })
}

fn home() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("a.wasm", "component alpha 1.0.0"),
        ("b.wasm", "component beta 2.0.0"),
        ("bm25.wasm", "component BM25 1.0.0"),
        ("go.wasm", "component gopher 1.0.0 wasi"),
        ("bad.wasm", "nonsense"),
        ("crash.wasm", "component crash 1.0.0 crashes"),
    ];
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn service(name: &str, engine: &str, config: impl Into<Value>) -> Value {
    let config = config.into();
    json!({"name": name, "engine": engine, "config": config})
}

fn services(operator: &Operator) -> Result<Vec<OperatorService>, Vec<OperatorProblem>> {
    let host: Arc<dyn Host> = Arc::new(NoHost);
    let natives = [("bm25".to_owned(), native("bm25"))].into();
    operator.services(&host, &natives)
}

#[tokio::test]
async fn services_name_their_component_or_an_import() {
    let dir = home();
    let config = json!({
        "file_imports": ["b.wasm", "a.wasm", "go.wasm"],
        "services": [
            service("native", "BM25", json!({})),
            service("one", "Extension", json!({"component": "a.wasm", "params": {"k": 1}})),
            service("two", "beta", json!({"trusted": true})),
            service("three", "gopher", json!({"grants": {"wasi": true}})),
        ],
    });
    let operator = load(dir.path(), config)
        .await
        .map_err(|it| panic!("{it}"))
        .unwrap();
    assert!(!operator.is_extension(0) && operator.is_extension(2));
    let mut told = Vec::new();
    for it in services(&operator).map_err(|_| ()).unwrap() {
        let version = ask(&it.roles).await.unwrap();
        told.push(format!(
            "{:?} {} ({}) {} {version}",
            it.index, it.name, it.engine, it.identity
        ));
    }
    expect![[r#"
        Some(1) one (Extension) one 1.0.0
        Some(2) two (beta) two 2.0.0
        Some(3) three (gopher) three 1.0.0
        None alpha (alpha) alpha 1.0.0"#]]
    .assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn everything_wrong_is_told_with_its_place() {
    let dir = home();
    let config = json!({
        "file_imports": ["bad.wasm", "absent.wasm", "bm25.wasm", "a.wasm", "a.wasm", "b.wasm"],
        "pipeline_aliases": {"beta": "a{b, c}RRF"},
        "services": [
            service("one", "Extension", json!({"component": "absent.wasm"})),
            service("two", "Extension", json!({"component": "bad.wasm"})),
            service("three", "alpha", json!({"component": "a.wasm"})),
            service("four", "alpha", json!({"params": {"k": "x", "l": 1}})),
            service("five", "alpha", json!({"limit": {}})),
            service("six", "alpha", json!({"limits": {"memory_mb": 0}, "trusted": "maybe"})),
            service("seven", "Extension", json!({"component": "go.wasm"})),
        ],
    });
    let problems = load(dir.path(), config).await.err().unwrap();
    expect![[r#"
        file_imports[0]: the extension is refused; format: not wasm
        file_imports[1]: `DIR/absent.wasm` cannot be read: No such file or directory (os error 2)
        file_imports[2]: the manifest of `bm25.wasm` states the name `BM25`, which is that of a native engine; name the component in a service with the engine `Extension`
        file_imports[4]: the manifest of `a.wasm` states the name `alpha`, as does that of `a.wasm`
        services[2].config.component: `file_imports` names the component already, `a.wasm`; leave it out
        services[4].config.limit: unknown key; did you mean `limits`?
        services[5].config.limits.memory_mb: must be at least 1, not 0
        services[5].config.trusted: must be true or false, not the string "maybe"
        file_imports[5]: the manifest of `b.wasm` states the name `beta`, which a service or an alias has; rename that, or add a service with the engine `beta` under another name
        services[0].config.component: `DIR/absent.wasm` cannot be read: No such file or directory (os error 2)
        services[1].config.component: the extension is refused; format: not wasm
        services[3].config.params: `k` must be a number, not "x"
        services[3].config.params: unknown parameter `l`; did you mean `k`?
        services[6].config.component: the extension is refused; imports: wasi is not granted"#]].assert_eq(&problems);
}

#[tokio::test]
async fn a_service_falls_back_on_a_native_one_that_can_do_the_same() {
    let dir = home();
    let with = |fallback: &str| {
        let config = json!({"component": "crash.wasm", "on_failure": {"fallback": fallback}});
        json!({"services": [service("fragile", "Extension", config)]})
    };
    let operator = load(dir.path(), with("bm25")).await.ok().unwrap();
    let made = services(&operator).map_err(|_| ()).unwrap();
    assert_eq!(ask(&made[0].roles).await.unwrap(), "bm25");
    // Not on itself, and not on what is not there.
    for name in ["fragile", "bm52"] {
        let operator = load(dir.path(), with(name)).await.ok().unwrap();
        let problem = services(&operator).err().unwrap().remove(0);
        assert_eq!(problem.path, "services[0].config.on_failure.fallback");
        assert!(problem.error.message().contains("fall"));
    }
}

#[tokio::test]
async fn fallbacks_may_be_extensions_but_must_end() {
    let dir = home();
    let with = |component: &str, fallback: &str| json!({"component": component, "on_failure": {"fallback": fallback}});
    let config = json!({"services": [
        service("first", "Extension", with("crash.wasm", "second")),
        service("second", "Extension", with("crash.wasm", "third")),
        service("third", "Extension", json!({"component": "b.wasm"})),
    ]});
    let operator = load(dir.path(), config).await.ok().unwrap();
    let made = services(&operator).map_err(|_| ()).unwrap();
    let names: Vec<_> = made.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["first", "second", "third"]);
    assert_eq!(ask(&made[0].roles).await.unwrap(), "2.0.0");
    let config = json!({"services": [
        service("one", "Extension", with("crash.wasm", "other")),
        service("other", "Extension", with("crash.wasm", "one")),
    ]});
    let operator = load(dir.path(), config).await.ok().unwrap();
    let problems = services(&operator).err().unwrap();
    assert_eq!(problems.len(), 2);
    assert!(problems[0].error.message().contains("leads back to `one`"));
}
