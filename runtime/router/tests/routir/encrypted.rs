//! Workers behind TLS, on both wires.

use std::sync::Arc;

use routir_proto::v1::SearchRequest;
use routir_proto::v1::routir_client::RoutirClient;
use routir_router::{RouterOptions, WorkerTls};
use serde_json::json;
use tonic::transport::Channel;

use super::certificates::Authority;
use super::stand::{Kit, Stand};

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
