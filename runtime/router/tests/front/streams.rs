//! Bodies stream: large ones, slow ones, and ones that break.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fake::{Fake, Mode};
use crate::harness::{Front, asked, options, read, request};

const PIECE: usize = 64 << 10;
const PIECES: usize = 1600;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_go_up_and_come_down() {
    let worker = Fake::with(|it| it.mode = Mode::Count).await;
    let front = Front::of(&[&worker]).await;
    let piece = Bytes::from(vec![b'x'; PIECE]);
    let pieces = stream::iter((0..PIECES).map(move |_| Ok(Frame::data(piece.clone()))));
    let mut up = request("POST", "/v1/encode/BAAI/bge-m3", &[], "");
    *up.body_mut() = StreamBody::new(pieces).boxed_unsync();
    let answer = read(front.send(up).await).await;
    assert_eq!(answer.json()["bytes"], PIECE * PIECES);
    worker.set(|it| it.mode = Mode::Bytes((PIECE * PIECES) as u64));
    let down = request("POST", "/v1/encode/BAAI/bge-m3", &[], "{}");
    let mut body = front.send(down).await.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(bytes, PIECE * PIECES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_who_does_not_read_holds_no_more_than_buffers() {
    let worker = Fake::with(|it| it.mode = Mode::Echo).await;
    let front = Front::of(&[&worker]).await;
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    let head =
        "POST /v1/encode/BAAI/bge-m3 HTTP/1.1\r\nhost: r\r\ncontent-length: 200000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; PIECE];
    let mut sent = 0;
    while let Ok(written) = timeout(Duration::from_millis(500), stream.write(&piece)).await {
        sent += written.unwrap();
        // The system's buffers on three connections, and the router's.
        assert!(sent < 64 << 20, "nothing stops it");
    }
    // It goes on where it stood when the client reads.
    let mut read = vec![0; 1 << 20];
    let mut got = 0;
    while got < sent / 2 {
        got += stream.read(&mut read).await.unwrap();
    }
    let more = timeout(Duration::from_secs(5), stream.write(&piece)).await;
    assert!(more.unwrap().unwrap() > 0);
}

#[tokio::test]
async fn an_answer_that_is_cut_is_cut_for_the_client_too_and_counted() {
    let worker = Fake::with(|it| it.mode = Mode::Cut).await;
    let front = Front::of(&[&worker]).await;
    let response = front
        .send(request("POST", "/v1/encode/BAAI/bge-m3", &[], "{}"))
        .await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(front.metric("sie_router_cut_responses_total").await, 1.0);
    let reset = r#"sie_router_upstream_attempts_total{outcome="reset"}"#;
    assert_eq!(front.metric(reset).await, 1.0);
}

#[tokio::test]
async fn an_answer_that_stands_still_is_given_up() {
    let worker = Fake::with(|it| it.mode = Mode::Stall).await;
    let mut options = options(&[&worker]);
    options.idle_timeout = Duration::from_millis(200);
    let front = Front::start(options, 1).await;
    let started = Instant::now();
    let response = front
        .send(request("POST", "/v1/encode/BAAI/bge-m3", &[], "{}"))
        .await;
    assert!(response.into_body().collect().await.is_err());
    assert!(started.elapsed() < Duration::from_secs(3));
    crate::fake::until("the worker is rid of it", || worker.open() == 0).await;
}

#[tokio::test]
async fn a_client_may_bound_how_long_it_waits() {
    let worker = Fake::with(|it| it.mode = Mode::Stall).await;
    let front = Front::of(&[&worker]).await;
    let headers = [("x-routir-timeout-ms", "200")];
    let response = front
        .send(request("POST", "/v1/encode/BAAI/bge-m3", &headers, "{}"))
        .await;
    let body = timeout(Duration::from_secs(3), response.into_body().collect()).await;
    assert!(body.unwrap().is_err());
    worker.set(|it| it.mode = Mode::Hang);
    assert_eq!(front.encode(&headers).await.status, 504);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let worker = Fake::start().await;
    let mut options = options(&[&worker]);
    options.idle_timeout = Duration::from_millis(200);
    let front = Front::start(options, 1).await;
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    let head = "POST /v1/encode/BAAI/bge-m3 HTTP/1.1\r\nhost: r\r\ncontent-length: 10\r\n\r\nabc";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 64];
    timeout(Duration::from_secs(3), stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    crate::fake::until("the worker is rid of it", || worker.open() == 0).await;
}

#[tokio::test]
async fn a_slow_client_is_waited_for() {
    let worker = Fake::with(|it| it.mode = Mode::Count).await;
    let front = Front::of(&[&worker]).await;
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    let head = "POST /v1/encode/BAAI/bge-m3 HTTP/1.1\r\nhost: r\r\nconnection: close\r\n\
                transfer-encoding: chunked\r\n\r\n";
    for piece in [head, "3\r\nabc\r\n", "2\r\nde\r\n", "0\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains(r#"{"bytes":5}"#),
        "{answer}"
    );
    let seen = worker.seen();
    let seen = seen
        .iter()
        .find(|seen| seen.path.starts_with("/v1/encode"))
        .unwrap();
    assert_eq!(seen.headers["transfer-encoding"], "chunked");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let worker = Fake::start().await;
    let mut options = options(&[&worker]);
    options.max_body_bytes = 1000;
    let front = Front::start(options, 1).await;
    let body = vec![b'x'; 1001];
    let answer = front
        .post("/v1/encode/BAAI/bge-m3", &[], body.clone())
        .await;
    assert_eq!((answer.status, answer.code()), (413, "TOO_LARGE".into()));
    assert_eq!(worker.count("/v1/encode"), 0);
    let pieces = stream::iter([Ok(Frame::data(Bytes::from(body)))]);
    let mut hidden = request("POST", "/v1/encode/BAAI/bge-m3", &[], "");
    *hidden.body_mut() = StreamBody::new(pieces).boxed_unsync();
    assert_eq!(front.send(hidden).await.status(), 413);
    let answer = front.post("/v1/embeddings", &[], vec![b' '; 1001]).await;
    assert_eq!(answer.status, 413);
    assert_eq!(front.encode(&[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_a_little_now_and_then_is_cut_off_when_time_is_over() {
    let worker = Fake::with(|it| it.mode = Mode::Bytes(1 << 30)).await;
    let front = Front::of(&[&worker]).await;
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    let head = "POST /v1/encode/BAAI/bge-m3 HTTP/1.1\r\nhost: r\r\ncontent-length: 2\r\n\
                x-routir-timeout-ms: 500\r\n\r\n{}";
    stream.write_all(head.as_bytes()).await.unwrap();
    let reading = tokio::spawn(async move {
        let (mut taken, mut piece) = (0, vec![0; 32 << 10]);
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            taken += read;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        taken
    });
    crate::fake::until("the worker has it", || worker.open() == 1).await;
    crate::fake::until("the worker is rid of it", || worker.open() == 0).await;
    assert!(reading.await.unwrap() < 1 << 30);
    assert_eq!(front.metric("sie_router_cut_responses_total").await, 1.0);
}

#[tokio::test]
async fn an_answer_without_a_body_is_whole_and_leaves_its_connection_to_the_next() {
    let worker = Fake::start().await;
    let mut options = options(&[&worker]);
    options.threads = 1;
    let front = Front::start(options, 1).await;
    for status in [StatusCode::NO_CONTENT, StatusCode::OK] {
        worker.set(|it| it.mode = Mode::Raw(status, vec![], ""));
        for _ in 0..2 {
            assert_eq!(front.encode(&[]).await.status, status);
        }
    }
    let mut seen = worker.seen();
    seen.retain(|seen| seen.method == Method::POST);
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|it| it.from == seen[0].from), "{seen:?}");
    let cancelled = front.metric("sie_router_upstream_cancelled_total").await;
    assert_eq!(cancelled, 0.0);
}

#[tokio::test]
async fn a_worker_that_is_tried_is_back_when_it_begins_to_answer() {
    let worker = Fake::with(|it| it.mode = Mode::Draining).await;
    let front = Front::of(&[&worker]).await;
    let breaker = async |state: f64| {
        let series = r#"sie_router_worker_breaker{worker="fake",machine_profile="l4-spot",bundle="default"}"#;
        let patience = Instant::now() + Duration::from_secs(10);
        while front.metric(series).await != state {
            assert!(Instant::now() < patience, "it is never {state}");
        }
    };
    assert_eq!(front.encode(&[]).await.status, 503);
    breaker(2.0).await;
    breaker(1.0).await;
    worker.set(|it| it.mode = Mode::Stall);
    let tried = request("POST", "/v1/encode/BAAI/bge-m3", &[], "{}");
    let tried = front.send(tried).await;
    assert_eq!(tried.status(), 200);
    // Its answer goes on.
    breaker(0.0).await;
    assert_eq!(worker.open(), 1);
    drop(tried);
}

#[tokio::test]
async fn bodies_that_are_looked_into_take_no_more_room_than_they_need() {
    const SLOW: usize = 40;
    let worker = Fake::with(|it| it.mode = Mode::Hang).await;
    let front = Front::of(&[&worker]).await;
    // Those who say that much will come, and send nothing.
    let mut announced = Vec::new();
    for _ in 0..SLOW {
        let mut stream = TcpStream::connect(front.address).await.unwrap();
        let head = "POST /v1/embeddings HTTP/1.1\r\nhost: r\r\ncontent-length: 33554432\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        announced.push(stream);
    }
    // And those who send little without saying how much; their answers are awaited.
    let body = r#"{"model":"BAAI/bge-m3","input":"a"}"#;
    let chunked = format!(
        "POST /v1/embeddings HTTP/1.1\r\nhost: r\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let mut waiting = Vec::new();
    for _ in 0..SLOW {
        let mut stream = TcpStream::connect(front.address).await.unwrap();
        stream.write_all(chunked.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    crate::fake::until("all are there", || worker.open() == SLOW).await;
    worker.set(|it| it.mode = Mode::Ok);
    let answer = front.post("/v1/embeddings", &[], body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_name_in_a_body_is_neither_long_nor_told_at_length() {
    let worker = Fake::start().await;
    let front = Front::of(&[&worker]).await;
    let long = "n".repeat(100_000);
    for (body, code) in [
        (format!(r#"{{"model":"{long}"}}"#), "INVALID_MODEL"),
        (r#"{"model":"a\nb"}"#.to_owned(), "INVALID_MODEL"),
        (format!(r#""{long}""#), "INVALID_INPUT"),
    ] {
        let answer = front.post("/v1/embeddings", &[], body).await;
        assert_eq!((answer.status, &*answer.code()), (400, code));
        assert!(answer.body.len() < 1000, "{}", answer.body.len());
    }
    assert_eq!(worker.count("/v1/embeddings"), 0);
    // In another spelling than the worker's, and with what only a worker may be able to read.
    let odd = format!(
        r#"{{"model":"baai/BGE-m3","x":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let answer = front.post("/v1/embeddings", &[], odd.clone()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent = odd.replace("baai/BGE-m3", "BAAI/bge-m3");
    assert_eq!(asked(&worker).body, sent);
}
