//! A worker that hangs costs the requests that it holds, and a client who leaves takes his along.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::fake::{Fake, Mode, until};
use crate::harness::{Front, options, read, request, send};

/// Clients that have asked and wait.
async fn crowd(front: &Front, size: usize, profile: &str) -> Vec<TcpStream> {
    let text = format!(
        "POST /v1/encode/BAAI/bge-m3 HTTP/1.1\r\nhost: r\r\nx-sie-machine-profile: {profile}\r\n\
         content-length: 2\r\n\r\n{{}}"
    );
    let mut crowd = Vec::with_capacity(size);
    for _ in 0..size {
        let mut stream = TcpStream::connect(front.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        crowd.push(stream);
    }
    crowd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_an_idle_worker_do_not_feel_one_that_hangs() {
    let hung = Fake::with(|it| {
        it.profile = "l4".into();
        it.mode = Mode::Hang;
    })
    .await;
    let idle = Fake::with(|it| it.profile = "a100".into()).await;
    let front = Front::of(&[&hung, &idle]).await;
    for size in [100, 1000] {
        let crowd = crowd(&front, size, "l4").await;
        until("all hang", || hung.open() == size).await;
        // The first pays for the connection.
        front.encode(&[("x-sie-machine-profile", "a100")]).await;
        let started = Instant::now();
        for _ in 0..20 {
            let answer = front.encode(&[("x-sie-machine-profile", "a100")]).await;
            assert_eq!(answer.status, 200);
        }
        let each = started.elapsed() / 20;
        assert!(each < Duration::from_millis(50), "{each:?} with {size}");
        drop(crowd);
        let left = Instant::now();
        until("nobody hangs", || hung.open() == 0).await;
        assert!(
            left.elapsed() < Duration::from_secs(1),
            "{:?}",
            left.elapsed()
        );
    }
    assert_eq!(
        front.metric("sie_router_upstream_cancelled_total").await,
        1100.0
    );
    let metric =
        r#"sie_router_requests_total{endpoint="encode",status="499",machine_profile="unknown"}"#;
    assert_eq!(front.metric(metric).await, 1100.0);
}

#[tokio::test]
async fn so_many_are_sent_to_a_worker_as_many_wait_and_the_rest_is_refused() {
    let worker = Fake::with(|it| it.mode = Mode::Hang).await;
    let mut options = options(&[&worker]);
    options.worker_requests = 3;
    let front = Front::start(options, 1).await;
    let crowd = crowd(&front, 6, "l4-spot").await;
    until("three are there", || worker.open() == 3).await;
    let patience = Instant::now() + Duration::from_secs(5);
    while front.metric("sie_router_waiting ").await != 3.0 {
        assert!(Instant::now() < patience);
    }
    let answer = front.encode(&[]).await;
    assert_eq!((answer.status, answer.code()), (503, "BUSY".into()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    worker.set(|it| it.mode = Mode::Ok);
    drop(crowd);
    until("all left", || worker.open() == 0).await;
    assert_eq!(front.encode(&[]).await.status, 200);
}

#[tokio::test]
async fn more_at_once_than_the_router_takes_are_refused() {
    let worker = Fake::with(|it| it.mode = Mode::Hang).await;
    let mut options = options(&[&worker]);
    options.max_in_flight = 2;
    let front = Front::start(options, 1).await;
    let _crowd = crowd(&front, 2, "l4-spot").await;
    until("two are there", || worker.open() == 2).await;
    let answer = front.encode(&[]).await;
    assert_eq!((answer.status, answer.code()), (503, "BUSY".into()));
    assert_eq!(front.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_router_that_ends_lets_requests_end() {
    let worker = Fake::with(|it| it.service = Duration::from_millis(300)).await;
    let mut front = Front::of(&[&worker]).await;
    let request = request("POST", "/v1/encode/BAAI/bge-m3", &[], "{}");
    let asked = tokio::spawn(send(front.address, request));
    until("it is there", || worker.open() == 1).await;
    front.stop();
    let answer = read(asked.await.unwrap()).await;
    assert_eq!(answer.status, 200);
    until("it ended", || front.serving.is_finished()).await;
    assert!(TcpStream::connect(front.address).await.is_err());
}
