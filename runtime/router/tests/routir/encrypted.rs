//! Workers behind TLS, on both wires.

use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_proto::v1::SearchRequest;
use routir_proto::v1::routir_client::RoutirClient;
use routir_router::{RouterOptions, WorkerTls};
use serde_json::json;
use tonic::transport::Channel;

use super::certificates::Authority;
use super::stand::{Kit, Server, Stand};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_under_tls_are_watched_and_asked_over_both_wires() {
    let authority = Arc::new(Authority::made());
    let framed = Kit::toys(&["s1"]).profile("l4").under(&authority);
    let framed = framed.serve().await;
    let polled = Kit::toys(&["s2"]).under(&authority).serve().await;
    let plain = Kit::toys(&["s3"]).serve().await;
    let workers = [&framed, &polled, &plain];
    let stand = Stand::with(RouterOptions {
        workers: workers.map(|it| it.base()).to_vec(),
        worker_tls: WorkerTls {
            ca: Some(authority.file()),
            ..WorkerTls::default()
        },
        ..RouterOptions::default()
    })
    .await;
    stand.until_ready(3).await;
    let channel = Channel::from_shared(stand.grpc.clone()).unwrap();
    let mut client = RoutirClient::new(channel.connect().await.unwrap());
    for (service, worker) in ["s1", "s2", "s3"].into_iter().zip(workers) {
        let body = json!({"service": service, "query": "q"});
        let (status, told) = stand.post("/search", &body, &[]).await;
        assert_eq!(status, 200, "{told}");
        let call = SearchRequest {
            service: service.to_owned(),
            query: "q".to_owned(),
            ..SearchRequest::default()
        };
        client.search(call).await.unwrap();
        worker.counts([("search", 1), ("grpc_search", 1)]).await;
    }
    // Across all of them.
    assert_eq!(stand.pipeline("{s1, s2, s3}RRF%4").await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_certificate_is_not_believed_serves_nobody() {
    let (authority, other) = (Arc::new(Authority::made()), Arc::new(Authority::made()));
    let stranger = Kit::toys(&["s1"]).profile("l4").under(&other).serve().await;
    let known = Kit::toys(&["s2"]).under(&authority).serve().await;
    let stand = Stand::with(RouterOptions {
        workers: vec![stranger.base(), known.base()],
        worker_tls: WorkerTls {
            ca: Some(authority.file()),
            ..WorkerTls::default()
        },
        ..RouterOptions::default()
    })
    .await;
    stand.until_ready(1).await;
    let ask = async |service: &str| {
        let body = json!({"service": service, "query": "q"});
        stand.post("/search", &body, &[]).await.0
    };
    assert_eq!(ask("s2").await, 200);
    assert_ne!(ask("s1").await, 200);
    assert!(stranger.answered().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_does_not_shake_hands_costs_no_more_than_opening_may_take() {
    let authority = Arc::new(Authority::made());
    let kit = || Kit::toys(&["s1"]).profile("l4").under(&authority);
    let (stalls, good) = (kit().serve().await, kit().serve().await);
    let with = |workers: &[&Server], connect_timeout| {
        Stand::with(RouterOptions {
            workers: workers.iter().map(|it| it.base()).collect(),
            worker_tls: WorkerTls {
                ca: Some(authority.file()),
                ..WorkerTls::default()
            },
            connect_timeout,
            ..RouterOptions::default()
        })
    };
    let both = with(&[&stalls, &good], Duration::from_millis(500)).await;
    let one = with(&[&stalls], Duration::from_secs(60)).await;
    both.until_ready(2).await;
    one.until_ready(1).await;
    stalls.stall();
    for number in 0..20 {
        let body = json!({"service": "s1", "query": format!("q{number}")});
        let (status, told) = both.post("/search", &body, &[]).await;
        assert_eq!(status, 200, "{told}");
    }
    // A client who has less time is told so in that time.
    let began = Instant::now();
    let little = [("x-routir-timeout-ms", "300")];
    let body = json!({"service": "s1", "query": "q"});
    let (status, told) = one.post("/search", &body, &little).await;
    assert_eq!(status, 504, "{told}");
    assert!(began.elapsed() < Duration::from_secs(5));
}
