//! What a configuration says is what is read: every key of RoutIR, every default, RoutIR's
//! leniency, and the places of everything that is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers may fail loudly"
)]

use std::time::Duration;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use routir_config::{
    Config, Loaded, Matcher, OffsetSource, Origin, Secret, ServiceConfig, ServiceProcessor,
    ShardResolver, Source, TextJsonlSource, Transport, ViewKind,
};
use serde_json::{Map, Value, json};

fn load(config: &Value) -> Loaded {
    Config::load(&config.to_string()).unwrap_or_else(|error| panic!("{error}"))
}

fn problems(text: &str, expected: &Expect) {
    expected.assert_eq(&Config::load(text).unwrap_err().to_string());
}

#[test]
fn nothing_is_the_default() {
    let config = load(&json!({})).config;
    assert_eq!(config, Config::default());
    assert!(config.dynamic_pipeline);
    assert_eq!(config.pipeline_cache_capacity(), None);
    assert_eq!(config.rt.request_timeout(), Duration::from_secs(600));
    assert_eq!(config.rt.shutdown_grace(), Duration::from_secs(30));
    assert!(config.rt.engine_threads() >= 1);
}

#[test]
fn a_service_has_routirs_defaults() {
    let service = json!({"name": "a", "engine": "BM25", "config": {}});
    let loaded = load(&json!({"services": [service]}));
    let service = &loaded.config.services[0];
    assert_eq!(*service, ServiceConfig::new("a", "BM25", Map::new()));
    assert_eq!(service.batch_size, 32);
    assert_eq!(service.max_wait(), Duration::from_millis(50));
    assert_eq!(service.cache_capacity(), None);
    assert_eq!(service.cache_ttl(), Duration::from_secs(600));
    assert_eq!(service.cache_key_fields, ["query", "limit"]);
    assert_eq!(
        (service.rt.queue_capacity, service.rt.concurrency),
        (1024, None)
    );
}

#[test]
fn every_key_of_routir_is_read() {
    let text = include_str!("routir.json");
    let loaded = Config::parse(text.to_owned(), Origin::inline()).unwrap();
    let config = &loaded.config;

    let service = &config.services[0];
    assert_eq!(service.processor, ServiceProcessor::AsyncQueryProcessor);
    assert_eq!(service.cache_capacity(), Some(4096));
    assert_eq!(service.cache_ttl(), Duration::from_secs(1_024_000));
    assert_eq!(service.max_wait(), Duration::from_millis(20));
    assert_eq!(service.cache_key_fields, ["query", "limit", "subset"]);
    assert_eq!(service.cache_redis_kwargs.as_ref().unwrap()["db"], 1);
    assert!(service.scoring_disabled);
    assert_eq!(service.config["k_scale"], 5);

    let [views, legacy] = config.collections.as_slice() else {
        panic!()
    };
    assert_eq!(views.default_view(), Some("ocr"));
    assert_eq!(
        (views.cache_capacity(), views.cache_ttl()),
        (None, Duration::from_secs(60))
    );
    assert!(views.force_load_all_documents);
    assert_eq!(views.id_to_lang_mapping.as_deref(), Some("langs.pkl"));
    let Source::TextJsonl(text) = &views.views["ocr"].source else {
        panic!()
    };
    assert_eq!(text.content_fields, ["title", "ocr"]);
    assert_eq!(
        (&*text.sep, text.cache_dir.as_deref()),
        (" ", Some("/scratch"))
    );
    let Source::LocalPath(files) = &views.views["frames"].source else {
        panic!()
    };
    assert_eq!(files.path_glob.as_deref(), Some("/data/kf/{id}_*.jpg"));
    assert_eq!(files.base_dir.as_deref(), Some("/data/kf"));
    let Source::Tar(tar) = &views.views["audio"].source else {
        panic!()
    };
    assert_eq!(
        tar.matcher,
        Matcher::Regex {
            pattern: "{id}_[0-9]+\\.wav".to_owned()
        }
    );
    let Some(ShardResolver::Manifest(manifest)) = &tar.shard_resolver else {
        panic!()
    };
    assert_eq!(
        (&*manifest.id_column, &*manifest.shard_column),
        ("id", "part")
    );
    assert_eq!(views.views["audio"].kind, ViewKind::Bytes);
    let Source::Tar(tar) = &views.views["video"].source else {
        panic!()
    };
    let Some(ShardResolver::Modulo(modulo)) = &tar.shard_resolver else {
        panic!()
    };
    assert_eq!((modulo.n, modulo.width), (64, 4));

    // The legacy keys are one text view named `text`, and `cache_path` is the sidecar itself.
    assert_eq!(legacy.default_view(), Some("text"));
    let mut source = TextJsonlSource::new("/data/corpus.jsonl");
    source.id_field = "docid".to_owned();
    source.content_fields = vec!["body".to_owned()];
    source.offset_source = OffsetSource::MsmarcoSeg;
    source.cache_path = Some("/tmp/corpus.offsetmap".to_owned());
    assert_eq!(legacy.views["text"].source, Source::TextJsonl(source));

    let [plain, full] = config.server_imports.as_slice() else {
        panic!()
    };
    assert_eq!(
        (&*plain.endpoint, plain.retries, plain.timeout),
        ("http://c1:5000", 10, 600.0)
    );
    assert_eq!(
        (full.transport, full.retries, full.tls),
        (Transport::Grpc, 2, Some(true))
    );
    assert_eq!(full.other_request_kwargs["subset"], "zho");

    assert!(!config.dynamic_pipeline);
    assert_eq!(config.pipeline_aliases["both"], "{qwen3, qwen3%50}RRF");
    assert_eq!(config.pipeline_cache_capacity(), Some(100));
    assert_eq!(config.relay_content_cache, 500);
    assert_eq!(config.bytes_content_cache_max_bytes, Some(1_000_000));
}

#[test]
fn reads_as_leniently_as_routir() {
    let loaded = load(&json!({
        "services": [{
            "name": "a", "engine": "BM25", "config": {},
            "batch_size": "16", "cache": 4096.0, "cache_ttl": " 60 ", "max_wait_time": "0.5",
            "scoring_disabled": 1, "cache_redis_url": null, "cache_redis_kwargs": null,
        }],
        "dynamic_pipeline": "false",
    }));
    let service = &loaded.config.services[0];
    assert_eq!(
        (service.batch_size, service.cache, service.cache_ttl),
        (16, 4096, 60)
    );
    assert_eq!(service.max_wait_time, 0.5);
    assert!(service.scoring_disabled && !loaded.config.dynamic_pipeline);
}

#[test]
fn an_engines_own_keys_are_its_own() {
    let text = r#"{"services": [{"name": "a", "engine": "E",
 "config": {"anything": {"at": ["all"]}}}]}"#;
    let loaded = Config::load(text).unwrap();
    assert_eq!(loaded.config.services[0].config["anything"]["at"][0], "all");
    let problem = loaded.problem("services[0].config.anything.at[0]", "unknown");
    assert_eq!(
        problem.to_string(),
        "2:33: services[0].config.anything.at[0]: unknown"
    );
    // What is not there is placed where it would be.
    let problem = loaded.problem("services[0].config.run", "missing");
    assert_eq!((problem.line, problem.column), (2, 12));
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_text() {
    problems(
        r#"{
  "pipeline_aliases": {"é": "bm25", "x": "a >>", "y": "\u0061 >>"},
  "services": [
    {"name": "a", "engine": "E", "config": {"deep": [{"k": 1, "k": 2}]}, "cache": 1e30},
    7
  ],
  "collections": [{"name": "c", "views": {"my view": {"source": {"source": "tar", "tar_template": "x{shard}.tar", "matcher": {"kind": "glob", "pattern": "*"}}}}},
                  {"name": "d", "cache_path": "x"}],
  "server_imports": [5, {"endpoint": "http://x", "grpc": 1}],
  "rt": {"request_timeout": 0, "engine_threads": 0, "max_in_flight": -1}
}"#,
        &expect![[r#"
            <json>:2:29: pipeline_aliases.é: `é` is not a name; a name is a letter, then letters, digits, `_` or `-`
            <json>:2:45: pipeline_aliases.x: no stage after `>>`; expected a name or `{`
            <json>:2:55: pipeline_aliases.y: no stage after `>>`; expected a name or `{`
            <json>:4:63: services[0].config.deep[0].k: the key stands here twice, before on line 4
            <json>:4:83: services[0].cache: must be a whole number, not 1e+30
            <json>:5:5: services[1]: must be an object, not 7
            <json>:7:54: collections[0].views["my view"]: `my view` is not a name; a name is a letter, then letters, digits, `_` or `-`
            <json>:7:99: collections[0].views["my view"].source.tar_template: nothing says what `{shard}` is; add `shard_resolver`, which says which shard holds an id
            <json>:7:154: collections[0].views["my view"].source.matcher.pattern: there is no `{id}` in "*", so every id would lead to the same; put `{id}` where the id belongs
            <json>:8:47: collections[1].cache_path: `cache_path` says how to read documents, but nothing says which; add `doc_path`, or use `views`
            <json>:9:22: server_imports[0]: must be a string or an object, not 5
            <json>:9:50: server_imports[1].grpc: unknown key; did you mean `grpc_endpoint`?
            <json>:10:29: rt.request_timeout: must be at least 0.001, not 0
            <json>:10:50: rt.engine_threads: must be at least 1, not 0
            <json>:10:70: rt.max_in_flight: must be at least 1, not -1"#]],
    );
}

#[test]
fn one_mistake_is_one_problem() {
    let text = r#"{
  "services": [{"engine": "E", "config": {}}, {"engine": "E", "config": {}}, 1, 2],
  "collections": [{"name": "a", "vews": {}}, {"name": "b", "default_view": "x", "views": 3},
                  {"name": "c", "views": {"v": {"source": {}}}, "default_view": "v"}],
  "pipeline_aliases": {"loop": 1}
}"#;
    problems(
        text,
        &expect![[r#"
        <json>:2:16: services[0].name: the key is missing
        <json>:2:47: services[1].name: the key is missing
        <json>:2:78: services[2]: must be an object, not 1
        <json>:2:81: services[3]: must be an object, not 2
        <json>:3:33: collections[0].vews: unknown key; did you mean `views`?
        <json>:3:90: collections[1].views: must be an object, not 3
        <json>:4:59: collections[2].views.v.source.source: the key is missing; it is one of `text_jsonl`, `local_path`, `tar`
        <json>:5:32: pipeline_aliases.loop: must be a string, not 1"#]],
    );
}

#[test]
fn text_that_is_no_json_object_is_told_so() {
    problems("{\"services\": [}", &expect!["<json>:1:15: expected value"]);
    let error = Config::parse("[]".to_owned(), Origin::inline()).unwrap_err();
    expect!["<json>:1:1: must be an object, not a list"].assert_eq(&error.to_string());
    let error = Config::load("no/such/file.json").unwrap_err();
    expect!["cannot read the configuration `no/such/file.json`: No such file or directory (os error 2); give the path of a JSON file, or the JSON itself"].assert_eq(&error.to_string());
}

#[test]
fn the_effective_configuration_has_no_secrets_and_loads_again() {
    let mut text: Value = serde_json::from_str(include_str!("routir.json")).unwrap();
    let shown = load(&text).effective().to_string();
    for secret in ["sk-1", "hunter2", "letmein"] {
        assert!(
            text.to_string().contains(secret) && !shown.contains(secret),
            "{secret}: {shown}"
        );
    }
    // Without secrets nothing is lost.
    text["services"][0]["config"]
        .as_object_mut()
        .unwrap()
        .remove("api_key");
    text["services"][0]["cache_redis_kwargs"] = json!({"db": 1});
    text["services"][0]["cache_redis_url"] = json!("redis://cache:6379");
    text["server_imports"][1]["api_key"] = json!(null);
    let loaded = load(&text);
    assert_eq!(load(&loaded.effective()).config, loaded.config);
}

#[test]
fn an_extension_is_read_with_its_defaults() {
    let config = json!({"component": "f.wasm", "params": {"k": 20, "api_key": "hunter2"},
        "limits": {"memory_mb": "32"}, "on_failure": {"trip_after": null}});
    let loaded = load(&json!({"services": [
        {"name": "f", "engine": "Extension", "config": config},
        {"name": "b", "engine": "BM25", "config": {"component": 1}},
    ]}));
    let [extension, other] = loaded.config.services.as_slice() else {
        panic!()
    };
    assert_eq!(other.extension().unwrap(), None);
    let extension = extension.extension().unwrap().unwrap();
    assert_eq!(extension.component, "f.wasm");
    assert_eq!(extension.limits.memory_mb, 32);
    assert_eq!(extension.limits.component_bytes(), 32 << 20);
    assert_eq!(extension.on_failure.trip_after, None);
    assert!(!extension.trusted && !extension.grants.wasi);
    let shown = loaded.effective();
    let config = &shown["services"][0]["config"];
    assert_eq!(config["limits"]["time_ms"], 2000);
    assert_eq!(config["params"], json!({"k": 20, "api_key": "[redacted]"}));
}

#[test]
fn a_tenant_is_read_with_its_defaults() {
    let loaded = load(
        &json!({"tenants": [{"name": "acme", "keys": ["acme-key-0123456789"],
        "grants": {"services": ["bm*"]}, "weight": 3}]}),
    );
    let config = &loaded.config.tenants[0];
    let tenant = config.tenant();
    assert_eq!((&*tenant.name, tenant.weight.get()), ("acme", 3));
    assert_eq!(tenant.services, ["bm*"]);
    assert_eq!(tenant.collections, [""; 0]);
    let quotas = &tenant.quotas;
    assert_eq!(
        (quotas.concurrent_calls, quotas.memory_bytes),
        (64, 512 << 20)
    );
    assert_eq!(config.limits.memory_mb, 64);
}

#[test]
fn keys_come_from_the_file_and_the_environment_and_are_never_shown() {
    let tenant = |name: &str, keys: Value, variables: Value| json!({"name": name, "keys": keys, "keys_env": variables});
    let loaded = load(&json!({"tenants": [
        tenant("a", json!(["hunter2-hunter2-a"]), json!(["A"])),
        tenant("b", json!([]), json!(["B"])),
    ]}));
    let keys = |variable: &dyn Fn(&str) -> Option<String>| {
        loaded.tenant_keys(variable).map(|all| {
            let reveal =
                |own: &Vec<Secret>| own.iter().map(|key| key.reveal().to_owned()).collect();
            all.iter().map(reveal).collect::<Vec<Vec<_>>>()
        })
    };
    let found = keys(&|name| Some(format!("letmein-letmein-{name}")));
    assert_eq!(
        found.unwrap(),
        [
            vec!["hunter2-hunter2-a", "letmein-letmein-A"],
            vec!["letmein-letmein-B"]
        ]
    );
    // Unset, weak, and another one's.
    for (value, why) in [(None, "is not set"), (Some("letmein"), "7 bytes")] {
        let problems = keys(&|_| value.map(str::to_owned)).unwrap_err();
        assert!(
            problems.len() == 2 && problems[0].message.contains(why),
            "{problems:?}"
        );
    }
    let problems = keys(&|_| Some("hunter2-hunter2-a".to_owned())).unwrap_err();
    assert_eq!(problems[1].path, "tenants[1].keys_env[0]");
    assert!(
        problems[0].message.contains("tenants[0].keys[0]"),
        "{problems:?}"
    );
    // Neither as printed, nor as told, nor in what is wrong.
    let shown = format!("{:?} {} {problems:?}", loaded.config, loaded.effective());
    assert!(
        shown.contains("[redacted]") && !shown.contains("hunter2"),
        "{shown}"
    );
    for tenants in [
        json!([{"name": "a", "keys": "hunter2-hunter2"}]),
        json!([{"name": "a", "keys": ["hunter2"]}]),
        json!([{"name": "a", "keys": [{"hunter": 2}], "key": "hunter2"}]),
        json!({"name": "a", "keys": ["hunter2-hunter2"]}),
        json!([{"name": "a", "keys": ["hunter2-hunter2-a", "hunter2-hunter2-a"]}]),
        json!(["hunter2-hunter2-a"]),
    ] {
        let error = Config::load(&json!({"tenants": tenants}).to_string()).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn a_path_starts_here_or_beside_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    std::fs::write(&file, "{}").unwrap();
    std::fs::write(directory.path().join("beside.jsonl"), "").unwrap();
    let loaded = Config::load(file.to_str().unwrap()).unwrap();
    assert_eq!(
        loaded.resolve_path("beside.jsonl"),
        directory.path().join("beside.jsonl")
    );
    assert_eq!(
        loaded.resolve_path("Cargo.toml"),
        std::path::Path::new("Cargo.toml")
    );
    assert_eq!(
        loaded.resolve_path("nowhere"),
        std::path::Path::new("nowhere")
    );
    assert_eq!(loaded.resolve_path("/a/b"), std::path::Path::new("/a/b"));
}

/// JSON with the file's own keys in all the wrong places.
fn json_value() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "services",
        "collections",
        "name",
        "engine",
        "config",
        "views",
        "source",
        "kind",
        "rt",
        "text",
        "tar",
        "matcher",
        "shard_resolver",
        "pipeline_aliases",
        "doc_path",
        "batch_size",
        "server_imports",
        "endpoint",
        "content_field",
        "tenants",
        "keys",
        "extension_dirs",
        "grants",
        "quotas",
        "limits",
        "Extension",
        "component",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        key.clone().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|pairs| {
                pairs
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_breaks_it_and_what_loads_loads_again(value in json_value()) {
        match Config::parse(value.to_string(), Origin::inline()) {
            Ok(loaded) => {
                let _ = loaded.refusals();
                let again = Config::parse(loaded.effective().to_string(), Origin::inline());
                prop_assert_eq!(again.unwrap().config, loaded.config);
            }
            Err(error) => prop_assert!(!error.problems().is_empty()),
        }
    }

    #[test]
    fn no_text_breaks_it(text in any::<String>(), cut in 0..2000usize) {
        let _ = Config::parse(text, Origin::inline());
        let sample = include_str!("routir.json");
        if let Some(cut) = sample.get(..cut) {
            prop_assert!(Config::parse(cut.to_owned(), Origin::inline()).is_err());
        }
    }
}
