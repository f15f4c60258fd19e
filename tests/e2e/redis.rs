//! Servers that share a Redis: what one has answered the other has too, and a Redis that goes away is
//! not noticed.

use serde_json::{Value, json};

use crate::redis_server::{Redis, is_here};
use crate::site::{Server, Site};

/// Services, a pipeline cache and whatever else in the same Redis.
fn config(url: &str, k1: f64) -> Value {
    json!({
        "services": [{
            "name": "bm25", "engine": "BM25", "config": {"collection": "quickstart", "k1": k1},
            "cache": -1, "cache_redis_url": url, "cache_redis_kwargs": {"password": "sesame"},
        }, {"name": "overlap", "engine": "TokenOverlap", "config": {}}],
        "collections": [{
            "name": "quickstart", "doc_path": "configs/quickstart/passages.jsonl",
            "id_field": "id", "content_field": ["title", "text"],
        }],
        "pipeline_cache_redis_url": url,
        "pipeline_cache_redis_kwargs": {"password": "sesame"},
    })
}

fn serve(site: &Site, config: &Value) -> Server {
    let server = site.serve(&config.to_string(), &[]);
    // Connecting is nobody's wait, so a test has to.
    until(|| metric(&server, "redis_connected{").is_some_and(|it| it == 1));
    server
}

fn until(mut done: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !done() {
        assert!(std::time::Instant::now() < end, "it never came");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn metric(server: &Server, name: &str) -> Option<u64> {
    let (_, text) = server.get("/metrics");
    let text = text.as_str().unwrap_or_default().to_owned();
    let line = text.lines().find(|line| line.contains(name))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

fn stored(server: &Server) -> u64 {
    metric(server, "operation=\"put\",outcome=\"stored\"").unwrap_or(0)
}

#[test]
fn two_servers_agree_and_a_lost_redis_is_only_a_miss() {
    if !is_here("servers that share a Redis") {
        return;
    }
    let mut redis = Redis::start(&["--requirepass", "sesame"]);
    let site = Site::new();
    let same = config(&redis.url(), 0.9);
    let (one, two) = (serve(&site, &same), serve(&site, &same));
    let search = json!({"service": "bm25", "query": "java coffee", "limit": 5});
    let pipeline = json!({"pipeline": "bm25%5 >> overlap", "query": "coffee beans",
        "collection": "quickstart"});
    for (path, body) in [("/search", &search), ("/pipeline", &pipeline)] {
        let before = stored(&one);
        let (status, first) = one.post(path, body);
        assert_eq!((status, &first["cached"]), (200, &json!(false)), "{first}");
        until(|| stored(&one) > before);
        let (_, mut second) = two.post(path, body);
        assert_eq!(second["cached"], true, "{path}: {second}");
        assert_eq!(second["timestamp"], first["timestamp"]);
        second["cached"] = json!(false);
        assert_eq!(second, first);
    }
    // Another configuration under the same name is another service.
    let other = serve(&site, &config(&redis.url(), 1.5));
    for (path, body) in [("/search", &search), ("/pipeline", &pipeline)] {
        assert_eq!(other.post(path, body).1["cached"], false, "{path}");
    }
    redis.kill();
    for query in ["java coffee", "something else", "java coffee"] {
        let (status, answer) = two.post("/search", &json!({"service": "bm25", "query": query}));
        assert_eq!(status, 200, "{answer}");
    }
    until(|| metric(&two, "redis_connected{") == Some(0));
    let (_, answer) = two.post("/search", &search);
    assert_eq!(answer["cached"], false);
    redis.restart();
    until(|| metric(&two, "redis_connected{") == Some(1));
    let before = stored(&two);
    two.post("/search", &search);
    until(|| stored(&two) > before);
    assert_eq!(two.post("/search", &search).1["cached"], true);
    let log = site.read("server.log");
    assert!(
        log.contains("connected") && !log.contains("sesame"),
        "{log}"
    );
}

#[test]
fn a_server_starts_without_its_redis() {
    let site = Site::new();
    // Nothing listens there.
    let server = site.serve(&config("redis://127.0.0.1:1", 0.9).to_string(), &[]);
    let search = json!({"service": "bm25", "query": "java coffee", "limit": 5});
    for _ in 0..3 {
        let (status, answer) = server.post("/search", &search);
        assert_eq!((status, &answer["cached"]), (200, &json!(false)));
    }
    assert_eq!(metric(&server, "redis_connected{"), Some(0));
}

#[test]
fn wrong_settings_are_told_with_their_places_and_without_secrets() {
    let site = Site::new();
    let service = |name: &str, url: &str, kwargs: Value| {
        json!({"name": name, "engine": "TokenOverlap", "config": {}, "cache_redis_url": url,
            "cache_redis_kwargs": kwargs})
    };
    let config = json!({
        "services": [
            service("a", "localhost:6379", json!({})),
            service("b", "rediss://localhost", json!({"pasword": "hunter22", "db": 1})),
            service("c", "redis://localhost?ssl_cert_reqs=perhaps", json!({})),
        ],
        "pipeline_cache_redis_url": "http://user:hunter22@localhost",
    });
    let ran = site.run(&["check", &config.to_string()]);
    assert_eq!(ran.status, Some(2), "{}", ran.stderr);
    for place in [
        "services[0].cache_redis_url: this is no URL of a Redis",
        "services[1].cache_redis_kwargs.pasword: `pasword` is not understood (did you mean `password`?)",
        "services[2].cache_redis_url: `ssl_cert_reqs` is `required` or `none`",
        "pipeline_cache_redis_url: this is no URL of a Redis",
    ] {
        assert!(ran.stderr.contains(place), "{place}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("hunter22"), "{}", ran.stderr);
}

#[test]
fn documents_of_an_imported_collection_outlive_their_server_in_a_redis() {
    if !is_here("imported documents in a Redis") {
        return;
    }
    let redis = Redis::start(&[]);
    let (far, near) = (Site::new(), Site::new());
    let back = far.serve("configs/quickstart/config.json", &[]);
    let front = json!({
        "server_imports": [{"endpoint": back.base, "retries": 0}],
        "relay_content_cache_redis_url": redis.url(),
    });
    let (one, two) = (serve(&near, &front), serve(&near, &front));
    let bees = json!({"collection": "quickstart", "id": "bees-01"});
    let (status, first) = one.post("/content", &bees);
    assert_eq!(status, 200, "{first}");
    until(|| stored(&one) > 0);
    back.stop();
    let (status, kept) = two.post("/content", &bees);
    assert_eq!((status, &kept["text"]), (200, &first["text"]), "{kept}");
    let (status, _) = two.post(
        "/content",
        &json!({"collection": "quickstart", "id": "bees-02"}),
    );
    assert!(status >= 500, "{status}");
}
