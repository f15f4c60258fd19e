//! A worker that computes nothing, for measuring what stands in front of it: says that it is ready
//! and has MODEL, and answers every POST with the same vector in msgpack.
//!
//! `stub_worker PORT MODEL`

#![expect(
    clippy::unwrap_used,
    reason = "a failure ends the program, as it should"
)]

use std::future::pending;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{any, post};
use hyper_util::service::TowerToHyperService;
use routir_listen::Bounds;
use tokio::net::TcpListener;
use tokio::time::interval;

const DIMENSIONS: usize = 1024;
const CADENCE: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().unwrap().parse().unwrap();
    let model = args.next().unwrap();
    let frame = serde_json::json!({
        "ready": true, "name": "stub", "bundle": "default", "machine_profile": "l4",
        "loaded_models": [model], "models": [{"name": model, "state": "loaded", "queue_depth": 0}],
    });
    let app = Router::new()
        .route("/ws/status", any(status))
        .route("/v1/{*call}", post(vector))
        .with_state(frame.to_string());
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let bounds = Bounds {
        io_timeout: Duration::from_secs(600),
        max_header_bytes: 65536,
        max_connections: 4096,
        threads: 0,
        shutdown_grace: Duration::ZERO,
    };
    let service = TowerToHyperService::new(app);
    let none = None::<(TcpListener, TowerToHyperService<Router>)>;
    routir_listen::serve((listener, service), none, &bounds, pending()).await;
}

async fn status(upgrade: WebSocketUpgrade, State(frame): State<String>) -> impl IntoResponse {
    upgrade.on_upgrade(|mut socket: WebSocket| async move {
        let mut beat = interval(CADENCE);
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    if socket.send(Message::text(frame.clone())).await.is_err() { return }
                }
                heard = socket.recv() => if heard.is_none() { return },
            }
        }
    })
}

/// A result of `encode` with one vector, as numpy's arrays are written in msgpack.
async fn vector(_body: Bytes) -> impl IntoResponse {
    let mut answer = b"\x82\xa5model\xa4stub\xa5items\x91\x81\xa5dense\x83\xa4dims\xcd".to_vec();
    answer.extend((DIMENSIONS as u16).to_be_bytes());
    answer
        .extend(b"\xa5dtype\xa7float32\xa6values\x85\xc4\x02nd\xc3\xc4\x04type\xa3<f4\xc4\x04kind");
    answer.extend(b"\xc4\x00\xc4\x05shape\x91\xcd");
    answer.extend((DIMENSIONS as u16).to_be_bytes());
    answer.extend(b"\xc4\x04data\xc5");
    answer.extend((4 * DIMENSIONS as u16).to_be_bytes());
    answer.extend(std::iter::repeat_n(0.5_f32.to_le_bytes(), DIMENSIONS).flatten());
    ([(CONTENT_TYPE, "application/msgpack")], answer)
}
