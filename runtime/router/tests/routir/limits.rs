//! How much a worker is asked over gRPC, and what is done when it does not answer there.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use routir_core::{BoxFuture, Error, ErrorCode, ParamsSpec, Ranking, Result, Roles, SearchEngine};
use routir_proto::v1::SearchRequest;
use routir_proto::v1::routir_client::RoutirClient;
use routir_router::RouterOptions;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use tonic::transport::Channel;

use super::stand::{Kit, Stand, until};
use super::whole::named;

type Found = Vec<Result<Ranking>>;

/// Those with the same query share an answer.
fn search(service: &str, query: &str) -> SearchRequest {
    SearchRequest {
        service: service.to_owned(),
        query: query.to_owned(),
        ..SearchRequest::default()
    }
}

async fn client(stand: &Stand) -> RoutirClient<Channel> {
    let endpoint = Channel::from_shared(stand.grpc.clone()).unwrap();
    RoutirClient::new(endpoint.connect().await.unwrap())
}

async fn metric(stand: &Stand, series: &str) -> f64 {
    let request = Request::get(format!("{}/metrics", stand.base)).body(Body::empty());
    let told = super::stand::send(request.unwrap()).await.into_body();
    let told = http_body_util::BodyExt::collect(told).await.unwrap();
    let told = String::from_utf8(told.to_bytes().to_vec()).unwrap();
    let line = told.lines().find(|line| line.starts_with(series)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_at_a_worker_are_those_of_both_wires() {
    let (working, slow) = named("slow", Duration::from_secs(60));
    let worker = Kit::toys(&[]).and("slow", slow).serve().await;
    let stand = Stand::with(RouterOptions {
        workers: vec![worker.base()],
        worker_requests: 2,
        ..RouterOptions::default()
    })
    .await;
    stand.until_ready(1).await;
    let client = client(&stand).await;
    let call = |query: &'static str| {
        let mut client = client.clone();
        tokio::spawn(async move { client.search(search("slow", query)).await })
    };
    // One over each wire is served, two wait, and the next is refused.
    let mut held = Vec::new();
    let base = stand.base.clone();
    let over_rest = async move {
        let body = json!({"service": "slow", "query": "q"}).to_string();
        super::stand::post(&base, "/search", body, &[]).await;
    };
    held.push(call("one"));
    until("one is served", || working.load(Ordering::SeqCst) == 1).await;
    let rest = tokio::spawn(over_rest);
    until("both are served", || working.load(Ordering::SeqCst) == 2).await;
    held.extend([call("two"), call("three")]);
    for _ in 0..400 {
        if metric(&stand, "sie_router_waiting").await == 2.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let refused = call("four").await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(working.load(Ordering::SeqCst), 2);
    // Who leaves makes place.
    rest.abort();
    for call in held {
        call.abort();
    }
    until("nobody is served", || working.load(Ordering::SeqCst) == 0).await;
    let mut client = client.clone();
    let mut request = tonic::Request::new(search("slow", "five"));
    request.set_timeout(Duration::from_millis(300));
    let late = client.search(request).await.unwrap_err();
    assert_ne!(late.code(), Code::ResourceExhausted, "{late}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_takes_no_longer_than_a_request_may() {
    let (working, slow) = named("slow", Duration::from_secs(60));
    let worker = Kit::toys(&[]).and("slow", slow).serve().await;
    let stand = Stand::with(RouterOptions {
        workers: vec![worker.base()],
        request_timeout: Duration::from_millis(300),
        ..RouterOptions::default()
    })
    .await;
    stand.until_ready(1).await;
    let late = client(&stand).await.search(search("slow", "q")).await;
    let late = late.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    until("nobody is served", || working.load(Ordering::SeqCst) == 0).await;
}

/// Calls, lets the head of the answer through and nothing after it, and answers pings.
async fn takes_nothing(stand: &Stand, timeout: Option<&'static str>) -> impl Sized {
    let address = stand.grpc.strip_prefix("http://").unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    let mut http = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let handshake = http.initial_stream_window_size(0);
    let handshake = handshake.handshake::<_, Body>(TokioIo::new(socket)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    let message = search("s1", "q").encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let mut request = Request::post(format!("{}/routir.v1.Routir/Search", stand.grpc))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    let body = Body::from([&[0], &length[..], &message].concat());
    let response = sender.send_request(request.body(body).unwrap()).await;
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("grpc-status"));
    (sender, response)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_client_takes_nothing_in_holds_its_places_for_no_longer_than_it_may() {
    let worker = Kit::toys(&["s1"]).serve().await;
    for (timeout, patience) in [
        (Some("1S"), Duration::from_secs(30)),
        (None, Duration::from_secs(1)),
    ] {
        let stand = Stand::with(RouterOptions {
            workers: vec![worker.base()],
            worker_requests: 1,
            max_in_flight: 2,
            io_timeout: patience,
            ..RouterOptions::default()
        })
        .await;
        stand.until_ready(1).await;
        let stuck = takes_nothing(&stand, timeout).await;
        // Waits for the one place.
        let mut next = tonic::Request::new(search("s1", "q"));
        next.set_timeout(Duration::from_secs(10));
        let next = client(&stand).await.search(next).await;
        assert!(next.is_ok(), "{timeout:?}: {next:?}");
        let cancelled = metric(&stand, "sie_router_upstream_cancelled_total").await;
        assert_eq!(cancelled, 1.0, "{timeout:?}");
        drop(stuck);
    }
}

/// What a worker's gRPC does with a call.
#[derive(Clone, Copy, Debug)]
enum Fails {
    /// A head, then trailers that say `UNAVAILABLE`.
    Trailers,
    /// A head, and nothing after it.
    Breaks,
    /// A message, and nothing after it.
    BreaksLater,
}

/// A worker that offers `s1` and fails every call; says how often it was asked.
async fn failing(how: Fails) -> (String, Arc<AtomicUsize>) {
    let (rest, grpc) = (
        TcpListener::bind("127.0.0.1:0"),
        TcpListener::bind("127.0.0.1:0"),
    );
    let (rest, grpc) = (rest.await.unwrap(), grpc.await.unwrap());
    let base = format!("http://{}", rest.local_addr().unwrap());
    let port = grpc.local_addr().unwrap().port();
    let avail = json!({"search": ["s1"], "score": [], "fuse": [], "decompose_query": [],
        "content": [], "pipeline_aliases": {}, "grpc_port": port});
    let avail = avail.to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = rest.accept().await.unwrap();
            let avail = avail.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let mut told = Response::new(avail.clone());
                if request.uri().path() != "/avail" {
                    *told.status_mut() = StatusCode::NOT_FOUND;
                }
                async move { Ok::<_, Infallible>(told) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = grpc.accept().await.unwrap();
            let count = Arc::clone(&count);
            let service = service_fn(move |_: Request<Incoming>| {
                count.fetch_add(1, Ordering::SeqCst);
                async move { Ok::<_, Infallible>(answer(how)) }
            });
            let serving = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                let _ = serving
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (base, asked)
}

type Frames = StreamBody<BoxStream<'static, Result<Frame<Bytes>, std::io::Error>>>;

fn answer(how: Fails) -> Response<Frames> {
    let broken = || Err(std::io::Error::other("broken"));
    let frames = match how {
        Fails::Trailers => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("14"));
            stream::iter([Ok(Frame::trailers(trailers))]).boxed()
        }
        Fails::Breaks => stream::iter([broken()]).boxed(),
        Fails::BreaksLater => {
            let message = Bytes::from_static(&[0, 0, 0, 0, 0]);
            let later = stream::once(async move {
                // What breaks at once takes along what was not sent yet.
                tokio::time::sleep(Duration::from_millis(200)).await;
                broken()
            });
            let first = stream::iter([Ok(Frame::data(message))]);
            first.chain(later).boxed()
        }
    };
    let mut response = Response::new(StreamBody::new(frames));
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_on_to_another_worker_until_there_is_a_message() {
    for how in [Fails::Trailers, Fails::Breaks] {
        let (base, asked) = failing(how).await;
        let good = Kit::toys(&["s1"]).serve().await;
        let stand = Stand::with(RouterOptions {
            workers: vec![base, good.base()],
            ..RouterOptions::default()
        })
        .await;
        stand.until_ready(2).await;
        let mut client = client(&stand).await;
        let mut calls = 0;
        while asked.load(Ordering::SeqCst) == 0 {
            calls += 1;
            assert!(calls < 200, "{how:?}: chance never chose it");
            client.search(search("s1", "q")).await.unwrap();
        }
        assert!(metric(&stand, "sie_router_failovers_total").await >= 1.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_breaks_its_workers_breaks_two_and_no_more() {
    let three = [
        failing(Fails::Breaks).await,
        failing(Fails::Breaks).await,
        failing(Fails::Breaks).await,
    ];
    let stand = Stand::with(RouterOptions {
        workers: three.iter().map(|(base, _)| base.clone()).collect(),
        ..RouterOptions::default()
    })
    .await;
    stand.until_ready(3).await;
    let mut client = client(&stand).await;
    let told = client.search(search("s1", "q")).await.unwrap_err();
    assert_eq!(told.code(), Code::Internal, "{told}");
    assert!(told.message().contains("2 workers broke"), "{told}");
    let asked = three.iter().map(|(_, asked)| asked.load(Ordering::SeqCst));
    assert_eq!(asked.sum::<usize>(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_breaks_after_a_message_is_not_asked_twice() {
    let (one, asked) = failing(Fails::BreaksLater).await;
    let (two, as_well) = failing(Fails::BreaksLater).await;
    let stand = Stand::with(RouterOptions {
        workers: vec![one, two],
        ..RouterOptions::default()
    })
    .await;
    stand.until_ready(2).await;
    let mut client = client(&stand).await;
    assert!(client.search(search("s1", "q")).await.is_err());
    assert_eq!(
        asked.load(Ordering::SeqCst) + as_well.load(Ordering::SeqCst),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_grpc_is_asked_over_rest() {
    let worker = Kit::toys(&["s1"]).rest_alone().serve().await;
    let stand = Stand::before(&[&worker]).await;
    let found = client(&stand).await.search(search("s1", "q")).await;
    assert!(!found.unwrap().into_inner().scores.is_empty());
    worker.counts([("search", 1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_lacks_something_for_one_call_stays_for_others() {
    struct Away;
    impl SearchEngine for Away {
        fn search(&self, batch: Vec<routir_core::SearchRequest>) -> BoxFuture<'_, Found> {
            let no = |_| Err(Error::new(ErrorCode::Unavailable, "its disk is away"));
            let answers = batch.into_iter().map(no).collect();
            Box::pin(async move { answers })
        }
        fn params(&self) -> ParamsSpec {
            ParamsSpec::Open
        }
    }
    let away = Roles {
        search: Some(Arc::new(Away)),
        ..Roles::default()
    };
    let worker = Kit::toys(&["s1"]).and("away", away).profile("l4");
    let worker = worker.serve().await;
    let stand = Stand::before(&[&worker]).await;
    let mut client = client(&stand).await;
    let told = client.search(search("away", "q")).await.unwrap_err();
    assert_eq!(told.code(), Code::Unavailable, "{told}");
    assert!(told.message().contains("its disk is away"), "{told}");
    let ejections = metric(&stand, "sie_router_worker_ejections_total{").await;
    assert_eq!(ejections, 0.0);
    client.search(search("s1", "q")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_does_not_come_is_told_so_as_servers_do() {
    let worker = Kit::toys(&["s1"]).serve().await;
    let stand = Stand::with(RouterOptions {
        workers: vec![worker.base()],
        io_timeout: Duration::from_millis(300),
        ..RouterOptions::default()
    })
    .await;
    let address = stand.base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /search HTTP/1.1\r\nhost: r\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 32];
    let reading = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut answer));
    reading.await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}
