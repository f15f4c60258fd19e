//! Who may call over gRPC, how much, and for how long.

use std::time::Duration;

use routir_proto::v1::{AvailRequest, PingRequest, ScoreRequest, SearchRequest};
use tonic::{Code, Request};

use crate::admin::tenant;
use crate::harness::Server;

fn search(query: &str) -> SearchRequest {
    SearchRequest {
        service: "seek".to_owned(),
        query: query.to_owned(),
        ..SearchRequest::default()
    }
}

fn bearing<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {key}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

#[tokio::test]
async fn a_key_is_asked_for_by_all_but_probes() {
    let server = Server::with_grpc(|options| options.api_key = Some("k3y".to_owned())).await;
    let mut client = server.client().await;
    assert!(client.ping(PingRequest {}).await.is_ok());
    assert!(client.ping(bearing("wrong", PingRequest {})).await.is_ok());

    let missing = client.avail(AvailRequest {}).await.unwrap_err();
    assert_eq!(missing.code(), Code::Unauthenticated);
    assert_eq!(missing.message(), "missing or invalid Authorization header");
    let wrong = client
        .search(bearing("k3z", search("q")))
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    assert_eq!(wrong.message(), "invalid API key");
    assert!(client.search(bearing("k3y", search("q"))).await.is_ok());
}

#[tokio::test]
async fn tenants_keys_open_what_is_theirs_and_quotas_hold() {
    let server = Server::with_grpc(|options| {
        options.tenants = vec![
            tenant("acme", &["seek"], 1),
            tenant("other", &["length"], 1),
        ];
    })
    .await;
    let mut client = server.client().await;
    let avail = client.avail(bearing("acme-key", AvailRequest {})).await;
    let services = avail.unwrap().into_inner().services;
    assert_eq!(services["search"].items, ["seek"]);
    assert!(services["score"].items.is_empty());
    let hidden = client.search(bearing("other-key", search("q"))).await;
    assert_eq!(hidden.unwrap_err().code(), Code::NotFound);

    let mut busy = client.clone();
    let slow = tokio::spawn(async move { busy.search(bearing("acme-key", search("slow"))).await });
    server.probe.started.notified().await;
    let full = client.search(bearing("acme-key", search("q"))).await;
    let full = full.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
    assert!(full.message().contains("`concurrent_calls`"), "{full}");
    server.probe.release.notify_one();
    assert!(slow.await.unwrap().is_ok());
}

#[tokio::test]
async fn as_many_calls_as_allowed_are_worked_on_over_both_wires_together() {
    let server = Server::with_grpc(|options| options.max_in_flight = 1).await;
    let mut client = server.client().await;
    let mut rest = server.connect().await;
    let slow = br#"{"service":"seek","query":"slow"}"#;
    rest.request("POST /search", "", slow).await;
    server.probe.started.notified().await;
    let full = client.search(search("q")).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
    server.probe.release.notify_one();
    assert_eq!(rest.read().await.unwrap().status, 200);
    assert!(client.search(search("q")).await.is_ok());
}

/// One call whose request is just this, below tonic's client, which keeps deadlines by itself; the
/// status.
async fn raw(server: &Server, method: &str, timeout: &str, body: axum::body::Body) -> String {
    let socket = tokio::net::TcpStream::connect(server.grpc.unwrap())
        .await
        .unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(socket);
    let handshake = hyper::client::conn::http2::handshake(executor, io);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post(format!("http://test/routir.v1.Routir/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(body)
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response
        .headers()
        .get("grpc-status")
        .expect("a status at once");
    status.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_call_ends_when_its_caller_waits_no_longer() {
    let server = Server::with_grpc(|_| {}).await;
    let message = prost::Message::encode_to_vec(&search("slow"));
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame = || [&[0], &length[..], &message].concat().into();
    assert_eq!(raw(&server, "Search", "50m", frame()).await, "4");
    server.probe.dropped.notified().await;
    assert_eq!(raw(&server, "Search", "soon", frame()).await, "3");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_in_either_direction() {
    let server = Server::with_grpc(|options| options.grpc_max_message_bytes = 400).await;
    let mut client = server.client().await;
    let large = ScoreRequest {
        service: "length".to_owned(),
        query: "q".to_owned(),
        passages: vec!["x".repeat(500).into()],
        ..ScoreRequest::default()
    };
    let refused = client.score(large).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    let mut many = search("q");
    many.limit = Some(50);
    let refused = client.search(many).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    assert!(client.search(search("q")).await.is_ok());
}

#[tokio::test]
async fn a_request_that_never_comes_is_given_up() {
    let patience = Duration::from_millis(100);
    let server = Server::with_grpc(|options| options.io_timeout = patience).await;
    type Never = Result<axum::body::Bytes, std::convert::Infallible>;
    let never = axum::body::Body::from_stream(futures_util::stream::pending::<Never>());
    assert_eq!(raw(&server, "Ping", "1H", never).await, "4");
}

#[tokio::test]
async fn request_ids_are_echoed() {
    let server = Server::with_grpc(|_| {}).await;
    let mut client = server.client().await;
    let named = |id: &'static str, query: &str| {
        let mut request = Request::new(search(query));
        let id = id.parse().unwrap();
        request.metadata_mut().insert("x-request-id", id);
        request
    };
    let answer = client.search(named("mine-7", "q")).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "mine-7");
    let refused = client.search(named("mine-8", "fail")).await.unwrap_err();
    assert_eq!(refused.metadata().get("x-request-id").unwrap(), "mine-8");
    let made = client.search(named("not sane", "q")).await.unwrap();
    assert_ne!(made.metadata().get("x-request-id").unwrap(), "not sane");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_cut_off_and_holds_up_no_end() {
    let server = Server::with_grpc(|options| {
        options.max_connections = 1;
        options.io_timeout = Duration::from_millis(200);
    })
    .await;
    let silent = tokio::net::TcpStream::connect(server.grpc.unwrap());
    let silent = silent.await.unwrap();
    let mut client = server.client().await;
    let answer = tokio::time::timeout(Duration::from_secs(10), client.ping(PingRequest {}));
    assert!(answer.await.expect("the slot is free again").is_ok());
    drop(silent);

    let server = Server::with_grpc(|options| {
        options.io_timeout = Duration::from_secs(60);
        options.shutdown_grace = Duration::from_secs(60);
    })
    .await;
    let _silent = tokio::net::TcpStream::connect(server.grpc.unwrap())
        .await
        .unwrap();
    // Accepted before this one.
    assert!(server.client().await.ping(PingRequest {}).await.is_ok());
    server.stop.send(()).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), server.ended).await;
    assert!(ended.expect("nobody is waited for").unwrap().is_ok());
}

/// A client that lets so much of each answer's body through at once.
async fn taking(
    server: &Server,
    window: u32,
) -> hyper::client::conn::http2::SendRequest<axum::body::Body> {
    let socket = tokio::net::TcpStream::connect(server.grpc.unwrap())
        .await
        .unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(socket);
    let mut builder = hyper::client::conn::http2::Builder::new(executor);
    let handshake = builder.initial_stream_window_size(window).handshake(io);
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

fn call(path: &str, key: &str, message: &impl prost::Message) -> hyper::Request<axum::body::Body> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    hyper::Request::post(format!("http://test/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {key}"))
        .body([&[0], &length[..], &message].concat().into())
        .unwrap()
}

/// Waits until the tenant's one place, which is taken, is free again.
async fn until_free(server: &Server) {
    let mut client = server.client().await;
    let mut ask = async || {
        let answer = client.search(bearing("acme-key", search("q"))).await;
        answer.map_err(|status| status.code())
    };
    assert_eq!(ask().await.unwrap_err(), Code::ResourceExhausted);
    for _ in 0..500 {
        match ask().await {
            Ok(_) => return,
            Err(code) => assert_eq!(code, Code::ResourceExhausted),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the place is still taken");
}

#[tokio::test]
async fn an_answer_that_its_client_does_not_take_in_is_given_up() {
    let server = Server::with_grpc(|options| {
        options.io_timeout = Duration::from_secs(1);
        options.max_in_flight = 1;
        options.tenants = vec![tenant("acme", &["seek", "words", "First"], 1)];
    })
    .await;
    let mut sender = taking(&server, 0).await;
    // The headers come, and nothing can come after them.
    let request = call("routir.v1.Routir/Search", "acme-key", &search("q"));
    let unary = sender.send_request(request).await.unwrap();
    assert_eq!(unary.status(), 200);
    until_free(&server).await;

    let pipeline = routir_proto::rt::PipelineStreamRequest {
        call: Some(routir_proto::v1::PipelineRequest {
            pipeline: "words{seek}First".to_owned(),
            query: "a b".to_owned(),
            ..Default::default()
        }),
        partial: false,
    };
    let path = "routir_rt.v1.Pipelines/PipelineStream";
    let stream = sender.send_request(call(path, "acme-key", &pipeline)).await;
    let stream = stream.unwrap();
    assert_eq!(stream.status(), 200);
    until_free(&server).await;
    drop((unary, stream));
}

#[tokio::test]
async fn a_stream_that_its_client_takes_in_slowly_ends_when_time_is_over() {
    let server = Server::with_grpc(|_| {}).await;
    let mut sender = taking(&server, 65_535).await;
    let (pipeline, query) = crate::events::lengthy();
    let pipeline = routir_proto::rt::PipelineStreamRequest {
        call: Some(routir_proto::v1::PipelineRequest {
            pipeline,
            query,
            collection: Some("shelf".to_owned()),
            ..Default::default()
        }),
        partial: false,
    };
    let path = "routir_rt.v1.Pipelines/PipelineStream";
    let mut request = call(path, "", &pipeline);
    let second = axum::http::HeaderValue::from_static("1S");
    request.headers_mut().insert("grpc-timeout", second);
    let mut body = sender.send_request(request).await.unwrap().into_body();
    let taking = async {
        let mut status = None;
        while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
            if let Ok(trailers) = frame.unwrap().into_trailers() {
                status = trailers.get("grpc-status").cloned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        status
    };
    let status = tokio::time::timeout(Duration::from_secs(20), taking).await;
    assert_eq!(status.expect("it ends").unwrap(), "4");
    let line =
        r#"routir_requests_total{endpoint="grpc_pipeline_stream",code="deadline_exceeded"} 1"#;
    server.until_metric(line).await;
}
