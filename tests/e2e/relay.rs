//! Servers that offer what other servers have.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::site::{Server, Site};

/// Serves `config` out of a file of its own.
fn serve(site: &Site, name: &str, config: &Value) -> Server {
    let file = format!("{name}.json");
    fs::write(site.path(&file), config.to_string()).unwrap();
    site.serve(&file, &["--cache_dir", name])
}

/// What `/readyz` says once `check` is content with it.
fn ready_when(server: &Server, check: impl Fn(u16, &Value) -> bool) -> (u16, Value) {
    for _ in 0..400 {
        let (status, ready) = server.get("/readyz");
        if check(status, &ready) {
            return (status, ready);
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("{:?}", server.get("/readyz"));
}

#[test]
fn a_pipeline_over_what_another_server_has_is_explained() {
    let site = Site::new();
    let back = site.serve("configs/quickstart/config.json", &[]);
    let other = Site::new();
    let config = json!({"server_imports": [back.base]}).to_string();
    let plan = other.succeed(&["explain", &config, "bm25%20 >> overlap%5"]);
    assert!(plan.contains("#1 rerank overlap %5"), "{plan}");
    back.stop();
    let ran = other.run(&["explain", &config, "bm25%20"]);
    assert_eq!(ran.status, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("does not answer"), "{}", ran.stderr);
}

#[test]
fn a_server_offers_what_another_has_and_says_when_that_is_gone() {
    let site = Site::new();
    let mut back = site.serve("configs/quickstart/config.json", &["--api_key", "k3y"]);
    back.key = Some("k3y");
    let import = json!({"endpoint": back.base, "api_key": "k3y", "refresh": 0.3, "retries": 0});
    let front = json!({
        "server_imports": [import],
        "relay_content_cache": 100,
        "pipeline_aliases": {"both": "bm25%20 >> overlap%5"},
        "services": [{"name": "theirs", "engine": "Relay",
            "config": {"service": "bm25", "endpoint": back.base, "api_key": "k3y", "retries": 0}}],
    });
    let other = Site::new();
    let server = serve(&other, "front", &front);
    assert!(server.banner.contains("imports"), "{}", server.banner);
    for pipeline in [
        "bm25%7",
        "bm25%20 >> overlap%5",
        "both",
        "{bm25%9, theirs%9}RRF%4",
    ] {
        let (status, answer) = server.post(
            "/pipeline",
            &json!(
            {"pipeline": pipeline, "query": "java coffee", "collection": "quickstart"}),
        );
        assert_eq!(status, 200, "{pipeline}: {answer}");
        assert!(
            !answer["scores"].as_object().unwrap().is_empty(),
            "{pipeline}"
        );
    }
    let ask = json!({"service": "bm25", "query": "java coffee", "limit": 5});
    let (_, relayed) = server.post("/search", &ask);
    let (_, direct) = back.post("/search", &ask);
    assert_eq!(relayed["scores"].to_string(), direct["scores"].to_string());

    let (_, avail) = server.get("/avail");
    assert_eq!(avail["imports"][0]["ready"], true, "{avail}");
    let id = &back.get("/avail").1["server"]["id"];
    assert_eq!(&avail["server"]["relayed"]["bm25"][0], id, "{avail}");
    let (status, ready) = server.get("/readyz");
    assert_eq!((status, &ready["degraded"]), (200, &Value::Null), "{ready}");

    drop(back);
    // Ready all the same, since that server is not required; and it says what is missing.
    let (status, ready) = ready_when(&server, |_, ready| ready["degraded"] == true);
    assert_eq!(status, 200);
    let checks = ready["checks"].as_array().unwrap();
    let import = checks
        .iter()
        .find(|it| it["name"].as_str().unwrap().starts_with("import "));
    assert_eq!(import.unwrap()["ready"], false, "{ready}");
    let (status, answer) = server.post("/search", &ask);
    assert_eq!(
        (status, &answer["code"]),
        (503, &json!("unavailable")),
        "{answer}"
    );
}

#[test]
fn a_server_that_is_required_holds_readiness_back_until_it_comes() {
    let site = Site::new();
    let quickstart = "configs/quickstart/config.json";
    let back = site.serve(quickstart, &[]);
    let base = back.base.clone();
    let port = base.rsplit(':').next().unwrap().to_owned();
    drop(back);
    let other = Site::new();
    let import = json!({"endpoint": base, "required": true, "refresh": 0.3});
    let server = serve(&other, "front", &json!({"server_imports": [import]}));
    assert_eq!(server.get("/readyz").0, 503);
    assert_eq!(
        server
            .post("/search", &json!({"service": "bm25", "query": "x"}))
            .0,
        400
    );
    let args = [quickstart, "--port", &port, "--host", "127.0.0.1"];
    let _back = site.start(site.command(&args));
    ready_when(&server, |status, _| status == 200);
    assert_eq!(
        server
            .post("/search", &json!({"service": "bm25", "query": "x"}))
            .0,
        200
    );
}

#[test]
fn relays_that_cannot_work_are_told_at_start() {
    let site = Site::new();
    let config = json!({
        "server_imports": ["http://"],
        "services": [
            {"name": "a", "engine": "Relay", "config": {}},
            {"name": "b", "engine": "Relay", "config": {"service": "b", "endpoint": "http://h",
                "transport": "udp", "retries": 0.5, "other_request_kwargs": {"query": "x"}}},
        ],
    });
    let ran = site.run(&["check", &config.to_string()]);
    assert_ne!(ran.status, Some(0));
    for words in [
        "server_imports[0]",
        "`service` is missing",
        "`endpoint` is missing",
        "`transport` must be one of",
        "`retries` must be a whole number",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
}

#[test]
fn what_is_relayed_over_grpc_is_what_the_other_server_answers() {
    let (far, near) = (Site::new(), Site::new());
    let back = far.serve(
        "configs/quickstart/config.json",
        &["--grpc", "--grpc-port", "0"],
    );
    let address = crate::clients::grpc(&back);
    let front = json!({"server_imports": [{"endpoint": back.base, "grpc_endpoint": address,
        "transport": "grpc", "retries": 0}]});
    let server = serve(&near, "front", &front);
    for pipeline in [
        "bm25%7",
        "bm25%20 >> overlap%5",
        "{bm25%9, title%9}RRF%4",
        "{bm25, title}RRF%20 >> overlap%10",
    ] {
        let body =
            json!({"pipeline": pipeline, "query": "java coffee", "collection": "quickstart"});
        let (status, here) = server.post("/pipeline", &body);
        assert_eq!(status, 200, "{pipeline}: {here}");
        let (_, there) = back.post("/pipeline", &body);
        // As text: best first, and scores to the last digit.
        let scores = |answer: &Value| answer["scores"].to_string();
        assert_eq!(scores(&here), scores(&there), "{pipeline}");
    }
    back.stop();
    let search = json!({"service": "bm25", "query": "java coffee"});
    assert_eq!(server.post("/search", &search).0, 503);
}
