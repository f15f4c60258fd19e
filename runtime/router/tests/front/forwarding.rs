//! What of a request reaches the worker, and what of its answer the client.

use std::collections::BTreeSet;

use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::fake::{Fake, Mode, until};
use crate::harness::{Front, asked, options, read, request};

#[tokio::test]
async fn a_profile_is_mapped_to_the_workers_own_and_told_to_it() {
    let worker = Fake::start().await;
    let mut options = options(&[&worker]);
    options.configured_gpus = vec!["l4".into(), "l4-spot".into()];
    let front = Front::start(options, 1).await;
    // Of both that can be had, only one is there.
    for asked in ["l4", "L4", "l4-spot", "/l4-spot"] {
        let answer = front.encode(&[("x-sie-machine-profile", asked)]).await;
        let expected = if asked.starts_with('/') { 503 } else { 200 };
        assert_eq!(answer.status, expected, "{asked} {answer:?}");
    }
    let profiles: BTreeSet<_> = worker
        .seen()
        .iter()
        .filter_map(|seen| seen.headers.get("x-sie-machine-profile").cloned())
        .map(|value| value.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(profiles, BTreeSet::from(["l4-spot".to_owned()]));
}

#[tokio::test]
async fn headers_that_concern_the_message_go_on_and_those_of_the_connection_do_not() {
    let worker = Fake::start().await;
    let front = Front::of(&[&worker]).await;
    let answer = front
        .post(
            "/v1/encode/BAAI/bge-m3?debug=1&x=%2F",
            &[
                ("x-many", "1"),
                ("x-many", "2"),
                ("connection", "x-private, X-Request-ID"),
                ("x-private", "1"),
                ("keep-alive", "5"),
                ("te", "trailers"),
                ("authorization", "Bearer mine"),
                ("x-request-id", "req-7"),
                ("x-sie-sdk-version", "0.2.0"),
                ("x-routir-timeout-ms", "5000"),
            ],
            r#"{"items":[{}]}"#,
        )
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-request-id"), Some("req-7"));
    assert_eq!(answer.header("x-sie-worker"), Some("fake"));
    let seen = asked(&worker);
    assert_eq!(seen.path, "/v1/encode/BAAI/bge-m3?debug=1&x=%2F");
    let many: Vec<_> = seen.headers.get_all("x-many").iter().collect();
    assert_eq!(many, ["1", "2"]);
    for gone in [
        "x-private",
        "keep-alive",
        "te",
        "connection",
        "authorization",
        "accept-encoding",
    ] {
        assert!(!seen.headers.contains_key(gone), "{gone} {seen:?}");
    }
    assert_eq!(seen.headers["x-request-id"], "req-7");
    assert_eq!(seen.headers["x-sie-sdk-version"], "0.2.0");
    assert_eq!(seen.headers["content-length"], "14");
    assert_eq!(seen.headers["host"], worker.address.to_string());
    let left: u64 = seen.headers["x-routir-timeout-ms"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=5000).contains(&left), "{left}");
}

#[tokio::test]
async fn repeated_headers_of_an_answer_stay_and_the_version_stands_once() {
    let headers = vec![
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("connection", "x-inner"),
        ("x-inner", "1"),
        ("server", "uvicorn"),
        ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
    ];
    let worker = Fake::with(|it| it.mode = Mode::Raw(StatusCode::CREATED, headers, "made")).await;
    let front = Front::of(&[&worker]).await;
    let answer = front.encode(&[]).await;
    assert_eq!((answer.status, &*answer.body), (201, &b"made"[..]));
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert!(!answer.headers.contains_key("x-inner"));
    for once in [
        "server",
        "date",
        "x-sie-server-version",
        "x-request-id",
        "x-sie-worker",
    ] {
        assert_eq!(answer.headers.get_all(once).iter().count(), 1, "{once}");
    }
    assert_eq!(answer.header("x-sie-server-version"), Some("0.3.0"));
}

#[tokio::test]
async fn a_compressed_answer_is_not_touched() {
    let worker = Fake::with(|it| it.mode = Mode::Gzip).await;
    let front = Front::of(&[&worker]).await;
    let response = front
        .send(request(
            "POST",
            "/v1/encode/BAAI/bge-m3",
            &[("accept-encoding", "gzip")],
            "{}",
        ))
        .await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let announced: usize = response.headers()["content-length"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), announced);
    let mut plain = String::new();
    let mut reader = flate2::read::GzDecoder::new(&body[..]);
    std::io::Read::read_to_string(&mut reader, &mut plain).unwrap();
    assert_eq!(plain, "compressed ".repeat(100));
    assert_eq!(asked(&worker).headers["accept-encoding"], "gzip");
}

#[tokio::test]
async fn connections_to_workers_are_used_again() {
    let worker = Fake::start().await;
    let front = Front::of(&[&worker]).await;
    for _ in 0..50 {
        assert_eq!(front.encode(&[]).await.status, 200);
    }
    let attempts = r#"sie_router_upstream_attempts_total{outcome="answered"}"#;
    assert_eq!(front.metric(attempts).await, 50.0);
    let worker_connections = worker.connections();
    // The status socket, the look at its models, and one or two for the requests.
    assert!(worker_connections <= 6, "{worker_connections}");
}

#[tokio::test]
async fn connections_to_workers_stay_with_the_thread_that_opened_them() {
    let worker = Fake::start().await;
    let front = Front::of(&[&worker]).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let stream = TcpStream::connect(front.address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        clients.push(sender);
    }
    for _ in 0..5 {
        for client in &mut clients {
            let asking = request("POST", "/v1/encode/BAAI/bge-m3", &[], "{}");
            client.ready().await.unwrap();
            let answer = read(client.send_request(asking).await.unwrap()).await;
            assert_eq!(answer.status, 200);
        }
    }
    let mut seen = worker.seen();
    seen.retain(|seen| seen.method == Method::POST);
    let ways: Vec<_> = seen.iter().map(|seen| seen.from).collect();
    // Two threads, each with one of its own, which serves the clients who are dealt to that thread.
    assert_eq!(ways.iter().collect::<BTreeSet<_>>().len(), 2, "{ways:?}");
    for round in ways.chunks(clients.len()) {
        assert_eq!(round, &ways[..clients.len()]);
    }
}

#[tokio::test]
async fn a_worker_that_closes_its_idle_connections_is_not_held_to_have_failed() {
    let mut worker = Fake::start().await;
    let front = Front::of(&[&worker]).await;
    for _ in 0..3 {
        assert_eq!(front.encode(&[]).await.status, 200);
        // All its connections end, the one that the router keeps too.
        let before = worker.handshakes();
        worker.start_again().await;
        until("the router is back", || worker.handshakes() > before).await;
        front.settled(1).await;
    }
    assert_eq!(front.encode(&[]).await.status, 200);
    assert_eq!(front.metric("sie_router_failovers_total").await, 0.0);
    let reset = r#"sie_router_upstream_attempts_total{outcome="reset"}"#;
    assert_eq!(front.metric(reset).await, 0.0);
}

#[tokio::test]
async fn workers_that_ask_for_a_key_get_theirs_and_the_clients_only_if_told_so() {
    let worker = Fake::start().await;
    let mut options = options(&[&worker]);
    options.worker_api_key = Some(routir_router::Secret::new("w0rker"));
    let front = Front::start(options.clone(), 1).await;
    front.encode(&[("authorization", "Bearer mine")]).await;
    let seen = asked(&worker);
    assert_eq!(seen.headers["authorization"], "Bearer w0rker");
    options.worker_api_key = None;
    options.forward_authorization = true;
    let front = Front::start(options, 1).await;
    front.encode(&[("authorization", "Bearer mine")]).await;
    let seen = asked(&worker);
    assert_eq!(seen.headers["authorization"], "Bearer mine");
}
