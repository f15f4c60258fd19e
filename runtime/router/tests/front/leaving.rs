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

/// Waits until so many requests wait for a place.
async fn waiting(front: &Front, count: u32) {
    let patience = Instant::now() + Duration::from_secs(10);
    while front.metric("sie_router_waiting ").await != f64::from(count) {
        assert!(Instant::now() < patience, "not {count} wait");
    }
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
    waiting(&front, 3).await;
    let answer = front.encode(&[]).await;
    assert_eq!((answer.status, answer.code()), (503, "BUSY".into()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    worker.set(|it| it.mode = Mode::Ok);
    drop(crowd);
    until("all left", || worker.open() == 0).await;
    assert_eq!(front.encode(&[]).await.status, 200);
}

#[tokio::test]
async fn who_leaves_while_he_waits_is_noticed_however_much_he_sends() {
    let worker = Fake::with(|it| it.mode = Mode::Hang).await;
    let mut options = options(&[&worker]);
    options.worker_requests = 1;
    let front = Front::start(options, 1).await;
    let _served = crowd(&front, 1, "l4-spot").await;
    until("one is there", || worker.open() == 1).await;
    let head = "POST /v1/encode/BAAI/bge-m3 HTTP/1.1\r\nhost: r\r\n";
    let many = "x".repeat(200_000);
    for sent in [
        // All of a body.
        format!("{head}content-length: 200000\r\n\r\n{many}"),
        // Some of one.
        format!("{head}content-length: 300000\r\n\r\n{many}"),
        format!("{head}transfer-encoding: chunked\r\n\r\n30d40\r\n{many}\r\n"),
        format!("{head}expect: 100-continue\r\ncontent-length: 2\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(front.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        waiting(&front, 1).await;
        drop(stream);
        waiting(&front, 0).await;
    }
    assert_eq!(worker.count("/v1/encode"), 1);
}

#[tokio::test]
async fn who_leaves_a_worker_that_does_not_read_is_noticed() {
    let worker = Fake::with(|it| it.mode = Mode::Deaf).await;
    let mut options = options(&[&worker]);
    // More than fits into the buffers of a connection.
    options.replay_bytes = 64 << 20;
    let front = Front::start(options, 1).await;
    let head =
        "POST /v1/encode/BAAI/bge-m3 HTTP/1.1\r\nhost: r\r\ncontent-length: 33554432\r\n\r\n";
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let body = vec![b'x'; 32 << 20];
    let written = tokio::time::timeout(Duration::from_secs(20), stream.write_all(&body)).await;
    written.expect("the router reads it").unwrap();
    drop(stream);
    let patience = Instant::now() + Duration::from_secs(10);
    while front.metric("sie_router_upstream_cancelled_total").await != 1.0 {
        assert!(Instant::now() < patience);
    }
}

#[tokio::test]
async fn who_waits_at_a_worker_that_fails_goes_elsewhere_and_waits_on_where_there_is_nobody() {
    let hung = Fake::with(|it| it.mode = Mode::Hang).await;
    let good = Fake::with(|it| it.depth = Some(50)).await;
    let mut options = options(&[&hung, &good]);
    options.worker_requests = 1;
    // Who waits in vain is told so soon.
    options.request_timeout = Duration::from_secs(20);
    let front = Front::start(options.clone(), 2).await;
    let post = |front: &Front| {
        let request = request("POST", "/v1/encode/BAAI/bge-m3", &[], "{}");
        tokio::spawn(send(front.address, request))
    };
    let _served = crowd(&front, 1, "l4-spot").await;
    until("one is there", || hung.open() == 1).await;
    let asked = post(&front);
    waiting(&front, 1).await;
    hung.set(|it| it.ready = false);
    hung.tell();
    assert_eq!(read(asked.await.unwrap()).await.status, 200);
    assert_eq!((hung.count("/v1/encode"), good.count("/v1/encode")), (1, 1));

    hung.set(|it| it.ready = true);
    options.workers = vec![hung.url.clone()];
    let front = Front::start(options, 1).await;
    let served = crowd(&front, 1, "l4-spot").await;
    until("another is there", || hung.open() == 2).await;
    let asked = post(&front);
    waiting(&front, 1).await;
    hung.set(|it| {
        it.ready = false;
        it.mode = Mode::Ok;
    });
    front.settled(0).await;
    assert!(!asked.is_finished());
    drop(served);
    assert_eq!(read(asked.await.unwrap()).await.status, 200);
}

#[tokio::test]
async fn who_waits_at_a_worker_that_is_left_out_is_not_sent_there() {
    let hung = Fake::with(|it| it.mode = Mode::Hang).await;
    let good = Fake::with(|it| it.depth = Some(50)).await;
    let mut options = options(&[&hung, &good]);
    options.worker_requests = 5;
    options.header_timeout = Duration::from_millis(500);
    let front = Front::start(options, 2).await;
    // As many as are sent there, whose failures leave it out, and as many that wait behind them.
    let asked: Vec<_> = (0..10)
        .map(|_| {
            let request = request("POST", "/v1/encode/BAAI/bge-m3", &[], "{}");
            tokio::spawn(send(front.address, request))
        })
        .collect();
    waiting(&front, 5).await;
    let mut statuses = Vec::new();
    for asked in asked {
        statuses.push(read(asked.await.unwrap()).await.status);
    }
    statuses.sort_unstable();
    // The first failures may let others in.
    assert_eq!(statuses[5..], [504; 5], "{statuses:?}");
    assert_eq!(statuses[0], 200, "{statuses:?}");
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
