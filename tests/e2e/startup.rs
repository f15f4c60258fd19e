//! What a server says before it serves, or instead of it.

use std::fs;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::site::Site;

#[test]
fn wrong_configurations_end_with_their_golden_text() {
    let site = Site::new();
    let wrong = site.files("configs/wrong", ".json");
    assert!(wrong.len() >= 7);
    for file in wrong {
        let golden = fs::read_to_string(file.with_extension("txt")).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        for command in [&["check", name][..], &["serve", name], &[name]] {
            let mut command = site.command(command);
            let output = command
                .current_dir(site.path("configs/wrong"))
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2), "{name}");
            assert_eq!(String::from_utf8(output.stderr).unwrap(), golden, "{name}");
            assert_eq!(output.stdout, b"");
        }
    }
}

/// A configuration in which every other room finds something wrong.
const MANY: &str = r#"{
  "services": [
    {"name": "a", "engine": "BM52", "config": {}},
    {"name": "b", "engine": "BM25", "config": {"collection": "news", "k2": 1}},
    {"name": "c", "engine": "BM25", "config": {"collection": "news"}},
    {"name": "RRF", "engine": "TokenOverlap", "config": {}},
    {"name": "d", "engine": "TrecRun", "config": {"run": "no.run", "topics": "no.tsv"}},
    {"name": "e", "engine": "Fusion", "config": {"upstream_service": {"engine": "LLMEngine", "config": {}}}}
  ],
  "collections": [{"name": "docs", "doc_path": "no.jsonl"}]
}"#;

#[test]
fn all_problems_of_all_rooms_are_told_at_once_with_their_places() {
    let site = Site::new();
    fs::write(site.path("many.json"), MANY).unwrap();
    let ran = site.run(&["many.json"]);
    assert_eq!(ran.status, Some(2));
    expect_test::expect![[r#"
        many.json:3:29: services[0].engine: service `a`: unknown engine `BM52`; did you mean `BM25`?
        many.json:4:47: services[1].config: service `b` (engine BM25): unknown key `k2` in `config`; did you mean `k1`?
        many.json:5:47: services[2].config: service `c` (engine BM25): there is no collection `news`; known: docs
        many.json:6:14: services[3].name: `RRF` is the name of a merger that is always there; rename the service
        many.json:7:50: services[4].config: service `d` (engine TrecRun): cannot open no.tsv: No such file or directory (os error 2)
        many.json:8:49: services[5].config: service `e` (engine Fusion): `upstream_service` 1: service `e` (engine LLMEngine): `model_name_or_path` is missing; RoutIR would run the model itself with vLLM, which is not done here; serve it (`vllm serve MODEL`) and give its address, such as http://localhost:8000/v1; `server_endpoint` is missing
        many.json:10:48: collections[0].doc_path: there is no file `no.jsonl`
    "#]].assert_eq(&ran.stderr);
    assert!(!site.path(".cache").exists(), "nothing was built");
}

#[test]
fn aliases_are_tried_as_a_search_and_as_a_rerank_stage() {
    let site = Site::new();
    let mut config: Value =
        serde_json::from_str(&site.read("configs/quickstart/config.json")).unwrap();
    config["pipeline_aliases"] = json!({
        "stage": "overlap@title%5", "whole": "bm25 >> stage",
        "nowhere": "bm25 >> trigramm", "unseen": "bm25 >> overlap@tilte"
    });
    let check = |config: &Value| {
        fs::write(
            site.path("configs/quickstart/aliases.json"),
            config.to_string(),
        )
        .unwrap();
        site.run(&["check", "configs/quickstart/aliases.json"])
    };
    let ran = check(&config);
    assert_eq!(ran.status, Some(2));
    assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("pipeline_aliases.nowhere: "),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("did you mean `title`?"),
        "{}",
        ran.stderr
    );
    config["pipeline_aliases"]
        .as_object_mut()
        .unwrap()
        .retain(|name, _| name.len() == 5);
    for dynamic in [true, false] {
        config["dynamic_pipeline"] = dynamic.into();
        assert_eq!(
            check(&config).status,
            Some(0),
            "dynamic_pipeline: {dynamic}"
        );
    }
}

#[test]
fn checking_builds_nothing_and_spares_what_is_there() {
    let site = Site::new();
    let mut config: Value = serde_json::from_str(&site.read("configs/minimal.json")).unwrap();
    config["services"][0]["config"]["index_path"] = "my-index".into();
    fs::write(site.path("configs/own.json"), config.to_string()).unwrap();
    site.succeed(&["check", "configs/own.json"]);
    site.succeed(&["explain", "configs/own.json", "bm25%5"]);
    assert!(!site.path("my-index").exists() && !site.path(".cache").exists());
    assert!(site.files("configs", ".routir-offsets").is_empty());

    let server = site.serve("configs/own.json", &[]);
    let ids = server.ids("bm25", "java coffee");
    server.stop();
    assert!(site.path("my-index").exists());
    site.succeed(&["check", "configs/own.json"]);
    assert_eq!(
        site.serve("configs/own.json", &[])
            .ids("bm25", "java coffee"),
        ids
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = site.run(&["{}", "--host", "127.0.0.1", "--port", &port]);
    assert_eq!(ran.status, Some(1));
    assert!(
        ran.stderr
            .contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{}",
        ran.stderr
    );

    let ran = site.run(&["no-such.json"]);
    assert_eq!(ran.status, Some(2));
    assert!(
        ran.stderr
            .contains("cannot read the configuration `no-such.json`"),
        "{}",
        ran.stderr
    );

    let output = site
        .command(&["{}"])
        .env("RUST_LOG", "a=b=c")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_key_is_asked_for_and_never_shown() {
    let site = Site::new();
    let mut command = site.command(&["{}", "--port", "0", "--host", "127.0.0.1"]);
    command.env("ROUTIR_API_KEY", "s3cret");
    let server = site.start(command);
    assert!(
        server.banner.contains("authentication  on"),
        "{}",
        server.banner
    );
    assert!(!server.banner.contains("s3cret"));
    assert_eq!(server.get("/ping").0, 200);
    assert_eq!(server.get("/avail").0, 401);
    let wrong = site.run(&["query", &server.base, "x", "--api_key", "other"]);
    assert_eq!(wrong.status, Some(2));
    assert!(wrong.stderr.contains("invalid API key"), "{}", wrong.stderr);
    let right = site.run(&["query", &server.base, "x", "--api-key", "s3cret"]);
    assert!(
        right.stderr.contains("no service that searches"),
        "{}",
        right.stderr
    );
    let help = site
        .command(&["--help"])
        .env("ROUTIR_API_KEY", "s3cret")
        .output()
        .unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("s3cret"));
}

#[test]
fn a_collection_of_bytes_alone_is_served() {
    let site = Site::new();
    fs::create_dir(site.path("frames")).unwrap();
    fs::write(site.path("frames/a.bin"), [0_u8, 159, 146, 150]).unwrap();
    fs::write(site.path("secret.bin"), "x").unwrap();
    let source = json!({"source": "local_path", "base_dir": site.path("frames"), "path_template": site.path("frames/{id}.bin")});
    let view = json!({"kind": "bytes", "source": source});
    let config =
        json!({"collections": [{"name": "frames", "views": {"raw": view}, "default_view": "raw"}]});
    let server = site.serve(&config.to_string(), &[]);
    let (status, answer) = server.post("/content", &json!({"collection": "frames", "id": "a"}));
    assert_eq!(
        (status, &answer["data"]),
        (200, &json!(["AJ+Slg=="])),
        "{answer}"
    );
    for away in ["../secret", "/etc/passwd", "a\u{0}", "b"] {
        let (status, _) = server.post("/content", &json!({"collection": "frames", "id": away}));
        assert_eq!(status, 400, "{away}");
    }
}
