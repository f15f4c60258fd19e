//! The cluster as it is told: health, readiness, metrics, the feed, the page.

use futures_util::{SinkExt, StreamExt};
use routir_router::{HealthType, ReadyRule};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::fake::Fake;
use crate::harness::{Front, options};

#[tokio::test]
async fn health_says_what_the_client_takes_it_for_and_the_same_twice() {
    let worker = Fake::start().await;
    let mut options = options(&[&worker]);
    options.configured_gpus = vec!["l4-spot".into()];
    let front = Front::start(options.clone(), 1).await;
    for (version, kind) in [("0.2.0", "router"), ("0.3.1", "gateway"), ("", "router")] {
        let answer = front
            .ask("GET", "/health", &[("x-sie-sdk-version", version)])
            .await;
        let body = answer.json();
        assert_eq!(
            (&body["type"], &body["status"]),
            (&json!(kind), &json!("healthy"))
        );
        for key in ["worker_count", "gpu_count", "models_loaded", "total_qps"] {
            assert_eq!(body[key], body["cluster"][key], "{key}");
        }
        assert_eq!(body["worker_count"], 1);
        assert_eq!(body["configured_gpu_types"], json!(["l4-spot"]));
        assert_eq!(body["live_gpu_types"], json!(["l4-spot"]));
        assert_eq!(body["workers"][0]["url"], worker.url);
    }
    options.health_type = Some(HealthType::Router);
    let front = Front::start(options, 1).await;
    let answer = front
        .ask("GET", "/health", &[("x-sie-sdk-version", "0.3.1")])
        .await;
    assert_eq!(answer.json()["type"], "router");
}

#[tokio::test]
async fn readiness_follows_the_rule() {
    for (rule, configured, status) in [
        (ReadyRule::Useful, false, 503),
        (ReadyRule::Useful, true, 200),
        (ReadyRule::Workers, true, 503),
        (ReadyRule::Always, false, 200),
    ] {
        let mut options = options(&[]);
        options.ready_rule = rule;
        if configured {
            options.configured_gpus = vec!["l4".into()];
        }
        let front = Front::start(options, 0).await;
        let answer = front.get("/readyz").await;
        assert_eq!(answer.status, status, "{rule:?} {configured}");
        assert_eq!(answer.json()["healthy_workers"], 0);
    }
}

#[tokio::test]
async fn heads_have_no_body_and_all_else_of_the_answer() {
    let front = Front::start(options(&[]), 0).await;
    for path in [
        "/healthz",
        "/health",
        "/v1/models",
        "/v1/pools",
        "/",
        "/metrics",
    ] {
        let head = front.ask("HEAD", path, &[]).await;
        let get = front.get(path).await;
        assert_eq!(
            (head.status, get.status, head.body.len()),
            (200, 200, 0),
            "{path}"
        );
        assert_eq!(
            head.header("content-type"),
            get.header("content-type"),
            "{path}"
        );
    }
    let page = front.get("/").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.header("content-security-policy").is_some());
    let metrics = front.get("/metrics").await;
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

#[tokio::test]
async fn metrics_have_sies_names() {
    let worker = Fake::start().await;
    let front = Front::of(&[&worker]).await;
    front.encode(&[]).await;
    for series in [
        r#"sie_router_requests_total{endpoint="encode",status="200",machine_profile="l4-spot"}"#,
        r#"sie_router_request_latency_seconds_count{endpoint="encode",machine_profile="l4-spot"}"#,
        r#"sie_router_request_duration_seconds_count{endpoint="encode",machine_profile="l4-spot"}"#,
        r#"sie_router_workers{status="healthy"}"#,
        r#"sie_router_model_workers{model="BAAI/bge-m3"}"#,
    ] {
        assert_eq!(front.metric(series).await, 1.0, "{series}");
    }
}

#[tokio::test]
async fn the_feed_tells_the_cluster_at_once_and_again() {
    let worker = Fake::start().await;
    let mut options = options(&[&worker]);
    options.max_sockets = 2;
    let mut front = Front::start(options, 1).await;
    let open = async |path: &str| {
        let stream = TcpStream::connect(front.address).await.unwrap();
        let url = format!("ws://{}{path}", front.address);
        tokio_tungstenite::client_async(url, stream).await
    };
    let plain = front.get("/ws/status").await;
    assert_eq!((plain.status, plain.code()), (400, "NO_UPGRADE".into()));
    let (mut one, _) = open("/ws/cluster-status").await.unwrap();
    let (mut two, answer) = open("/ws/status").await.unwrap();
    assert_eq!(answer.headers()["x-sie-server-version"], "0.3.0");
    for first in [true, false, true] {
        let socket = if first { &mut one } else { &mut two };
        let Message::Text(text) = socket.next().await.unwrap().unwrap() else {
            panic!("no text");
        };
        let frame: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(frame["cluster"]["worker_count"], 1);
        assert_eq!(frame["workers"][0]["name"], "fake");
        assert!(frame["timestamp"].as_f64().unwrap() > 1e9);
    }
    assert!(open("/ws/status").await.is_err(), "a third socket is fed");
    assert_eq!(front.metric("sie_router_sockets").await, 2.0);
    drop(one);
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while front.metric("sie_router_sockets").await != 1.0 {
        assert!(std::time::Instant::now() < patience);
    }
    front.stop();
    // It is told that the router ends.
    while let Some(Ok(message)) = two.next().await {
        if matches!(message, Message::Close(_)) {
            return;
        }
    }
    panic!("the socket ended without a word");
}

#[tokio::test]
async fn who_floods_the_feed_with_pings_is_fed_no_more() {
    let front = Front::start(options(&[]), 0).await;
    let stream = TcpStream::connect(front.address).await.unwrap();
    let url = format!("ws://{}/ws/cluster-status", front.address);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    for _ in 0..1000 {
        // It may be closed already.
        let _ = socket.feed(Message::Ping("p".into())).await;
    }
    let _ = socket.flush().await;
    let ended = async { while let Some(Ok(_)) = socket.next().await {} };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), ended).await;
    assert!(ended.is_ok(), "it is fed on");
}
