//! `/ws/status`, and the end of a server that is watched.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use routir_core::ModelState;
use routir_sie::StatusFrame;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::admin::{ACME, OPERATOR, shared};
use crate::encoders::{self, Host};
use crate::harness::Server;

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

struct Watch(WebSocketStream<TcpStream>);

impl Watch {
    async fn on(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (socket, _) = client_async("ws://test/ws/status", stream).await.unwrap();
        Self(socket)
    }

    /// The next frame; `None` when the server says farewell.
    async fn frame(&mut self) -> Option<StatusFrame> {
        loop {
            let message = timeout(Duration::from_secs(20), self.0.next())
                .await
                .unwrap();
            match message?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// The next frame that fits.
    async fn until(&mut self, fits: impl Fn(&StatusFrame) -> bool) -> StatusFrame {
        loop {
            let frame = self.frame().await.expect("the server goes on");
            if fits(&frame) {
                return frame;
            }
        }
    }
}

async fn hosting() -> (Server, std::sync::Arc<Host>) {
    encoders::hosting(|options| {
        options.worker.name = "w1".to_owned();
        options.worker.machine_profile = "l4".to_owned();
        options.grpc_port = Some(7);
    })
    .await
}

#[tokio::test]
async fn frames_tell_how_the_server_is() {
    let (server, host) = hosting().await;
    let mut watch = Watch::on(&server).await;
    let frame = watch.frame().await.unwrap();
    assert!(frame.ready && frame.timestamp > 1e9, "{frame:?}");
    let told = (
        frame.name.as_str(),
        frame.machine_profile.as_str(),
        frame.bundle.as_str(),
    );
    assert_eq!(told, ("w1", "l4", "default"));
    assert_eq!((frame.gpu_count, frame.max_batch_requests), (0, 64));
    assert!(frame.loaded_models.contains(&"owner/m3".to_owned()));
    let routir = frame.routir.unwrap();
    assert_eq!((routir.grpc_port, routir.queue_depth), (Some(7), 0));
    assert_eq!(routir.server_id.len(), 16);
    let started = Instant::now();
    for _ in 0..3 {
        watch.frame().await.unwrap();
    }
    assert!(
        started.elapsed() >= Duration::from_millis(350),
        "they come five times a second"
    );

    host.set(ModelState::Loading);
    let frame = watch.until(|frame| !frame.ready).await;
    assert!(!frame.loaded_models.contains(&"owner/late".to_owned()));
    host.set(ModelState::Loaded);
    watch.until(|frame| frame.ready).await;
}

#[tokio::test]
async fn what_is_asked_counts_once() {
    let (server, _) = hosting().await;
    let mut watch = Watch::on(&server).await;
    let mut encoding = server.connect().await;
    let body = br#"{"items":[{"text":"slow"},{"text":"x"}]}"#;
    encoding
        .request(
            "POST /v1/encode/OWNER/m3",
            "accept: application/json\r\n",
            body,
        )
        .await;
    server.probe.started.notified().await;
    let mut searching = server.connect().await;
    searching
        .request("POST /search", "", br#"{"service":"seek","query":"slow"}"#)
        .await;
    server.probe.started.notified().await;
    let frame = watch
        .until(|frame| frame.routir.as_ref().unwrap().queue_depth == 1)
        .await;
    let depths: Vec<_> = frame
        .models
        .iter()
        .filter(|model| model.queue_depth > 0)
        .map(|model| {
            (
                model.name.as_str(),
                model.queue_depth,
                model.queue_pending_items,
            )
        })
        .collect();
    assert_eq!(depths, [("owner/m3", 1, 2)]);
    drop(encoding);
    let frame = watch
        .until(|frame| frame.models.iter().all(|it| it.queue_depth == 0))
        .await;
    assert_eq!(frame.routir.unwrap().queue_depth, 1);
}

#[tokio::test]
async fn a_server_that_ends_says_so_before_its_port_closes() {
    let (server, _) = hosting().await;
    let mut watch = Watch::on(&server).await;
    assert!(watch.frame().await.unwrap().ready);
    let told = Instant::now();
    server.stop.send(()).unwrap();
    let frame = watch.until(|frame| !frame.ready).await;
    assert!(told.elapsed() < Duration::from_millis(150), "at once");
    assert!(frame.loaded_models.contains(&"owner/m3".to_owned()));
    // It is still there for whoever has not seen that yet.
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut late = crate::client::Connection(stream);
    let body = br#"{"items":[{"text":"x"}]}"#;
    late.request("POST /v1/encode/seek", "accept: application/json\r\n", body)
        .await;
    assert_eq!(late.read().await.unwrap().status, 200);
    late.request("GET /readyz", "", b"").await;
    let ready = late.read().await.unwrap();
    assert_eq!(
        (ready.status, ready.json()["draining"].clone()),
        (503, true.into())
    );
    while watch.frame().await.is_some() {}
    assert!(told.elapsed() >= Duration::from_millis(400));
    server.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_server_goes_on_for_as_long_as_configured_though_nobody_watches() {
    let drain = Duration::from_millis(300);
    let server = Server::with(|options| options.drain = drain).await;
    let told = Instant::now();
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
    assert!(told.elapsed() >= drain);
}

#[tokio::test]
async fn pings_are_answered_and_nonsense_ends_the_connection() {
    let (server, _) = hosting().await;
    let mut watch = Watch::on(&server).await;
    watch.0.send(Message::Ping("p".into())).await.unwrap();
    loop {
        match watch.0.next().await.unwrap().unwrap() {
            Message::Pong(echo) => break assert_eq!(&echo[..], b"p"),
            Message::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let _ = watch.0.send(Message::Binary(vec![0; 1 << 20].into())).await;
    while watch.frame().await.is_some() {}
}

#[tokio::test]
async fn who_floods_the_socket_with_pings_is_told_no_more() {
    let (server, _) = hosting().await;
    let mut watch = Watch::on(&server).await;
    for _ in 0..1000 {
        // It may be closed already.
        let _ = watch.0.feed(Message::Ping("p".into())).await;
    }
    let _ = watch.0.flush().await;
    let ended = async { while watch.frame().await.is_some() {} };
    let ended = timeout(Duration::from_secs(10), ended).await;
    assert!(ended.is_ok(), "it is told on");
}

#[tokio::test]
async fn only_the_operator_may_watch_and_so_many_at_once() {
    let (server, _) = shared(|_| {}).await;
    for (key, headers, status) in [
        (ACME, UPGRADE, 403),
        ("", UPGRADE, 401),
        (OPERATOR, "", 426),
        (
            OPERATOR,
            &format!("{UPGRADE}origin: http://elsewhere\r\n"),
            403,
        ),
        (OPERATOR, UPGRADE, 101),
    ] {
        let mut connection = server.connect().await;
        connection
            .request("GET /ws/status", &format!("{key}{headers}"), b"")
            .await;
        let head = connection.read_head().await.unwrap();
        assert_eq!(head.status, status, "{key} {headers}");
    }
    let (server, _) = hosting().await;
    let mut watching = Vec::new();
    for _ in 0..64 {
        watching.push(Watch::on(&server).await);
    }
    let refused = server.call("GET /ws/status", UPGRADE, b"").await;
    assert_eq!(refused.status, 429);
    watching.clear();
    for _ in 0..500 {
        let mut connection = server.connect().await;
        connection.request("GET /ws/status", UPGRADE, b"").await;
        if connection.read_head().await.unwrap().status == 101 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("places of those who left are never free again");
}
