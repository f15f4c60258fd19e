//! Callers that leave, code that breaks, the end of the server, and what tools ask.

use std::time::Duration;

use routir_proto::v1::{ContentRequest, PingRequest, SearchRequest};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::Server;

fn search(query: &str) -> SearchRequest {
    SearchRequest {
        service: "seek".to_owned(),
        query: query.to_owned(),
        ..SearchRequest::default()
    }
}

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_engine_call_along() {
    let server = Server::with_grpc(|_| {}).await;
    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.search(search("slow")).await });
    server.probe.started.notified().await;
    call.abort();
    server.probe.dropped.notified().await;
    let line = r#"routir_requests_total{endpoint="grpc_search",code="cancelled"} 1"#;
    server.until_metric(line).await;
}

#[tokio::test]
async fn a_panic_is_a_status_and_the_connection_lives() {
    let server = Server::with_grpc(|_| {}).await;
    let mut client = server.client().await;
    let content = |id: &str| ContentRequest {
        collection: "shelf".to_owned(),
        id: id.to_owned(),
        view: None,
    };
    let broken = client.content(content("boom")).await.unwrap_err();
    assert_eq!(broken.code(), Code::Internal);
    assert_eq!(
        broken.message(),
        "the server made a mistake; its log says which"
    );
    assert!(client.content(content("d1")).await.is_ok());
    for (code, count) in [("internal", 1), ("ok", 1)] {
        let line =
            format!(r#"routir_requests_total{{endpoint="grpc_content",code="{code}"}} {count}"#);
        server.until_metric(&line).await;
    }
}

#[tokio::test]
async fn shutdown_lets_calls_in_flight_end_and_those_who_watch_know() {
    let server = Server::with_grpc(|_| {}).await;
    let mut client = server.client().await;
    let mut health = HealthClient::new(server.channel().await);
    let mut watched = health.watch(check("")).await.unwrap().into_inner();
    let status = |message: Option<tonic_health::pb::HealthCheckResponse>| message.unwrap().status();
    let serving = status(watched.message().await.unwrap());
    assert_eq!(serving, ServingStatus::Serving);

    let busy = tokio::spawn(async move { client.search(search("slow")).await });
    server.probe.started.notified().await;
    let address = server.grpc.unwrap();
    server.stop.send(()).unwrap();
    let stopping = status(watched.message().await.unwrap());
    assert_eq!(stopping, ServingStatus::NotServing);
    assert!(watched.message().await.unwrap().is_none(), "the watch ends");
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "a new connection is refused"
    );
    server.probe.release.notify_one();
    assert!(busy.await.unwrap().is_ok());
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_cuts_off_what_outlives_the_grace_period() {
    let grace = Duration::from_millis(50);
    let server = Server::with_grpc(|options| options.shutdown_grace = grace).await;
    let mut client = server.client().await;
    let busy = tokio::spawn(async move { client.search(search("slow")).await });
    server.probe.started.notified().await;
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
    server.probe.dropped.notified().await;
    assert!(busy.await.unwrap().is_err());
}

/// One other server, required, which is away.
struct Away;

impl routir_core::Imports for Away {
    fn status(&self) -> Vec<routir_core::ImportStatus> {
        vec![routir_core::ImportStatus {
            endpoint: "http://other".into(),
            ready: false,
            required: true,
            detail: "connection refused".to_owned(),
            services: vec![],
            collections: vec![],
        }]
    }

    fn services(&self) -> std::sync::Arc<routir_core::Ways> {
        std::sync::Arc::default()
    }

    fn collections(&self) -> std::sync::Arc<routir_core::Ways> {
        std::sync::Arc::default()
    }
}

#[tokio::test]
async fn health_and_readyz_say_the_same_while_a_required_server_is_away() {
    let server = Server::with_grpc(|options| {
        options.imports = Some(std::sync::Arc::new(Away));
    })
    .await;
    assert_eq!(server.get("/readyz").await.status, 503);
    let mut health = HealthClient::new(server.channel().await);
    let told = health.check(check("")).await.unwrap().into_inner();
    assert_eq!(told.status(), ServingStatus::NotServing);
}

#[tokio::test]
async fn health_is_told_without_a_key_and_by_name() {
    let server = Server::with_grpc(|options| options.api_key = Some("k3y".to_owned())).await;
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", "routir.v1.Routir", "routir_rt.v1.Pipelines"] {
        let told = health.check(check(service)).await.unwrap().into_inner();
        assert_eq!(told.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(check("nobody")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn so_many_watch_and_checks_are_answered_all_the_same() {
    let server = Server::with_grpc(|_| {}).await;
    let mut watching = Vec::new();
    // A connection carries 256 calls.
    for _ in 0..8 {
        let mut health = HealthClient::new(server.channel().await);
        for _ in 0..128 {
            let watched = health.watch(check("")).await.unwrap();
            watching.push(watched.into_inner());
        }
    }
    let mut health = HealthClient::new(server.channel().await);
    let full = health.watch(check("")).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted, "{full}");
    assert!(health.check(check("")).await.is_ok());
    // Who leaves makes place.
    watching.truncate(512);
    let patience = tokio::time::Instant::now() + Duration::from_secs(10);
    while health.watch(check("")).await.is_err() {
        assert!(tokio::time::Instant::now() < patience);
    }
}

#[tokio::test]
async fn reflection_lists_the_services_and_shows_the_contract() {
    let server = Server::with_grpc(|_| {}).await;
    let mut client = ServerReflectionClient::new(server.channel().await);
    let asked = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol("routir.v1.SearchRequest".to_owned()),
    ];
    let asked = asked.map(|message| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    });
    let mut answers = client
        .server_reflection_info(futures_util::stream::iter(asked))
        .await
        .unwrap()
        .into_inner();
    let mut next = async || {
        let answer = answers.message().await.unwrap().unwrap();
        answer.message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) = next().await else {
        panic!("not a list");
    };
    let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
    for name in [
        "routir.v1.Routir",
        "routir_rt.v1.Pipelines",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(matches!(
        next().await,
        MessageResponse::FileDescriptorResponse(_)
    ));
}

#[tokio::test]
async fn what_there_is_not_is_unimplemented() {
    let server = Server::with_grpc(|_| {}).await;
    for path in ["/routir.v1.Routir/ScoreStream", "/nowhere.v1.Other/Call"] {
        let mut grpc = tonic::client::Grpc::new(server.channel().await);
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<PingRequest, PingRequest>::default();
        let request = tonic::Request::new(PingRequest {});
        let path = path.parse().unwrap();
        let refused = grpc.unary(request, path, codec).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
    }
}
