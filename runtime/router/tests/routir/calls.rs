//! The same over gRPC.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use routir_proto::rt::PipelineStreamRequest;
use routir_proto::rt::pipelines_client::PipelinesClient;
use routir_proto::v1::routir_client::RoutirClient;
use routir_proto::v1::{AvailRequest, ContentRequest, PingRequest, PipelineRequest, SearchRequest};
use routir_router::{RouterOptions, Secret};
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::stand::{Kit, Stand, until};
use super::whole::named;

async fn channel(base: &str) -> Channel {
    let endpoint = Channel::from_shared(base.to_owned()).unwrap();
    endpoint.connect().await.unwrap()
}

async fn grpc_base(server: &super::stand::Server) -> String {
    let settings = routir_client::Settings {
        transport: routir_client::Transport::Rest,
        ..routir_client::Settings::new(server.base())
    };
    let client = routir_client::Client::new(settings).unwrap();
    let avail = client.avail(routir_client::CallOptions::default()).await;
    let port = avail.unwrap().grpc_port.unwrap();
    format!("http://127.0.0.1:{port}")
}

fn search(service: &str) -> SearchRequest {
    SearchRequest {
        service: service.to_owned(),
        query: "q".to_owned(),
        limit: Some(3),
        ..SearchRequest::default()
    }
}

fn pipeline(source: &str) -> PipelineRequest {
    PipelineRequest {
        pipeline: source.to_owned(),
        query: "q".to_owned(),
        collection: Some("docs".to_owned()),
        ..PipelineRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_to_a_worker_that_has_all_or_are_spread() {
    let one = Kit::toys(&["s1", "r1"]).docs().serve().await;
    let two = Kit::toys(&["s2"]).serve().await;
    let stand = Stand::before(&[&one, &two]).await;
    let mut client = RoutirClient::new(channel(&stand.grpc).await);
    let found = client.search(search("s2")).await.unwrap();
    assert!(found.metadata().get("x-sie-worker").is_some());
    assert_eq!(found.into_inner().scores.len(), 3);
    two.counts([("grpc_search", 1)]).await;
    let whole = client.pipeline(pipeline("s1%5 >> r1")).await.unwrap();
    assert!(whole.metadata().get("x-sie-worker").is_some());
    one.counts([("grpc_pipeline", 1)]).await;
    // Spread, and the same as over REST.
    let source = "{s1, s2}RRF%6 >> r1";
    let spread = client.pipeline(pipeline(source)).await.unwrap();
    assert!(spread.metadata().get("x-sie-worker").is_none());
    let scores = spread.into_inner().scores;
    let scores: Vec<_> = scores.into_iter().map(|it| (it.key, it.value)).collect();
    assert_eq!(scores, stand.pipeline(source).await.unwrap());
    let content = ContentRequest {
        collection: "docs".to_owned(),
        id: "d1".to_owned(),
        view: None,
    };
    assert!(client.content(content).await.is_ok());
    let avail = client.avail(AvailRequest {}).await.unwrap().into_inner();
    assert_eq!(avail.services["search"].items, ["s1", "s2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_are_a_workers_own() {
    let one = Kit::toys(&["s1", "r1"]).docs().serve().await;
    let two = Kit::toys(&["s1", "r1"]).docs().serve().await;
    let stand = Stand::before(&[&one, &two]).await;
    let mut direct = RoutirClient::new(channel(&grpc_base(&one).await).await);
    let mut routed = RoutirClient::new(channel(&stand.grpc).await);
    for source in ["s1 >>", "s9", "s1 >> r9", "{s1}r1", ""] {
        let there = direct.pipeline(pipeline(source)).await.unwrap_err();
        let here = routed.pipeline(pipeline(source)).await.unwrap_err();
        assert_eq!(
            (here.code(), here.message()),
            (there.code(), there.message())
        );
    }
    let there = direct.search(search("r1")).await.unwrap_err();
    let here = routed.search(search("r1")).await.unwrap_err();
    assert_eq!(
        (here.code(), here.message()),
        (there.code(), there.message())
    );
    let unknown = ContentRequest {
        collection: "docs".to_owned(),
        id: "zz".to_owned(),
        view: None,
    };
    let here = routed.content(unknown).await.unwrap_err();
    assert_eq!(here.message(), "ID zz is not found.");
    assert_eq!(
        here.metadata().get("routir-error-code").unwrap(),
        "unknown_document"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_pass_as_they_come_and_end_when_nobody_reads() {
    let (waiting, slow) = named("slow", Duration::from_millis(1500));
    let (forever, stuck) = named("stuck", Duration::from_secs(60));
    let one = Kit::toys(&["s1", "Fuse"])
        .and("slow", slow)
        .and("stuck", stuck);
    let one = one.serve().await;
    let two = Kit::toys(&["s2"]).serve().await;
    let stand = Stand::before(&[&one, &two]).await;
    let mut client = PipelinesClient::new(channel(&stand.grpc).await);
    let stream = |source: &str| PipelineStreamRequest {
        call: Some(pipeline(source)),
        partial: false,
    };
    for source in ["{s1, slow}Fuse", "{s2, slow}Fuse"] {
        let started = Instant::now();
        let events = client.pipeline_stream(stream(source)).await.unwrap();
        let mut events = events.into_inner();
        assert!(events.message().await.unwrap().is_some());
        assert!(started.elapsed() < Duration::from_millis(1200), "{source}");
        let mut last = None;
        while let Some(event) = events.message().await.unwrap() {
            last = event.event;
        }
        use routir_proto::rt::pipeline_event::Event;
        assert!(matches!(last, Some(Event::Result(_))), "{source}");
    }
    assert_eq!(waiting.load(Ordering::SeqCst), 0);
    for source in ["{s1, stuck}Fuse", "{s2, stuck}Fuse"] {
        let events = client.pipeline_stream(stream(source)).await.unwrap();
        let mut events = events.into_inner();
        assert!(events.message().await.unwrap().is_some());
        until("the other search is under way", || {
            forever.load(Ordering::SeqCst) == 1
        })
        .await;
        drop(events);
        until("nobody works for it", || {
            forever.load(Ordering::SeqCst) == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_travel_and_a_dead_worker_is_passed_over() {
    let (waiting, stuck) = named("stuck", Duration::from_secs(60));
    let mut one = Kit::toys(&["s1"]).serve().await;
    let two = Kit::toys(&["s1"]).and("stuck", stuck).serve().await;
    let stand = Stand::before(&[&one, &two]).await;
    let mut client = RoutirClient::new(channel(&stand.grpc).await);
    let mut request = Request::new(search("stuck"));
    request.set_timeout(Duration::from_millis(400));
    let started = Instant::now();
    let error = client.search(request).await.unwrap_err();
    assert!(
        matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(3));
    until("nobody works for it", || {
        waiting.load(Ordering::SeqCst) == 0
    })
    .await;
    for _ in 0..4 {
        client.search(search("s1")).await.unwrap();
    }
    one.kill().await;
    for _ in 0..20 {
        client.search(search("s1")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_and_tokens_hold_over_grpc_too() {
    let inside = named("inside", Duration::ZERO).1;
    let inside = Kit::toys(&["s1"])
        .and("who", inside)
        .profile("l4")
        .serve()
        .await;
    let outside = named("outside", Duration::ZERO).1;
    let outside = Kit::toys(&["s2"])
        .and("who", outside)
        .profile("a100")
        .serve()
        .await;
    let stand = Stand::with(RouterOptions {
        workers: vec![inside.base(), outside.base()],
        auth_mode: "static".to_owned(),
        auth_tokens: vec![Secret::new("t0ken-one")],
        ..RouterOptions::default()
    });
    let stand = stand.await;
    let mut client = RoutirClient::new(channel(&stand.grpc).await);
    let error = client.search(search("who")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(client.ping(PingRequest {}).await.is_ok());
    let token = [("authorization", "Bearer t0ken-one")];
    let pool = serde_json::json!({"name": "mine", "gpus": {"l4": 1}});
    let mut created = 0;
    while stand.post("/v1/pools", &pool, &token).await.1["status"]["state"] != "active" {
        created += 1;
        assert!(created < 200);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for (pool, expected) in [(Some("mine"), "inside"), (None, "outside")] {
        for _ in 0..5 {
            let mut request = Request::new(search("who"));
            let metadata = request.metadata_mut();
            metadata.insert("authorization", "Bearer t0ken-one".parse().unwrap());
            if let Some(pool) = pool {
                metadata.insert("x-sie-pool", pool.parse().unwrap());
            }
            let found = client.search(request).await.unwrap().into_inner();
            assert_eq!(found.scores[0].key, expected);
        }
    }
}

/// What is asked of `grpc.health.v1.Health`, below any client of it: a head, and then messages.
async fn health(base: &str, method: &str) -> hyper::Response<hyper::body::Incoming> {
    use hyper_util::rt::TokioExecutor;
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    let client = client.clone().http2_only(true).build_http();
    let request = hyper::Request::post(format!("{base}/grpc.health.v1.Health/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(axum::body::Body::from(vec![0; 5]));
    client.request(request.unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_take_nobodys_place_and_need_none() {
    use http_body_util::BodyExt;
    let (working, slow) = named("slow", Duration::from_secs(60));
    let worker = Kit::toys(&["s1"]).and("slow", slow).serve().await;
    let stand = Stand::with(RouterOptions {
        workers: vec![worker.base()],
        max_in_flight: 1,
        ..RouterOptions::default()
    })
    .await;
    stand.until_ready(1).await;
    let mut watching = Vec::new();
    for _ in 0..3 {
        let mut watched = health(&stand.grpc, "Watch").await.into_body();
        assert!(watched.frame().await.unwrap().unwrap().is_data());
        watching.push(watched);
    }
    let mut client = RoutirClient::new(channel(&stand.grpc).await);
    client.search(search("s1")).await.unwrap();
    let mut busy = client.clone();
    let held = tokio::spawn(async move { busy.search(search("slow")).await });
    until("it is served", || working.load(Ordering::SeqCst) == 1).await;
    let full = client.search(search("s1")).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted, "{full}");
    assert!(client.ping(PingRequest {}).await.is_ok());
    assert!(client.avail(AvailRequest {}).await.is_ok());
    let checked = health(&stand.grpc, "Check").await;
    assert!(checked.headers().get("grpc-status").is_none());
    let ping = hyper::Request::get(format!("{}/ping", stand.base)).body(axum::body::Body::empty());
    assert_eq!(super::stand::send(ping.unwrap()).await.status(), 200);
    held.abort();
}
