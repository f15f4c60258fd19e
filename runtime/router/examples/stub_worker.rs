//! A worker that computes nothing, for measuring what stands in front of it: says that it is ready
//! and has MODEL, and answers every POST with the same vector in msgpack.
//!
//! `stub_worker PORT MODEL [BATCH MILLISECONDS]`
//!
//! With a batch it answers as a machine does that takes so many requests at once and that long for
//! them, one batch after the other; a batch of 0 never answers.

#![expect(
    clippy::unwrap_used,
    reason = "a failure ends the program, as it should"
)]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, sleep};

const DIMENSIONS: usize = 1024;
const CADENCE: Duration = Duration::from_millis(200);
/// Requests that wait for a batch.
const WAITING: usize = 4096;

#[derive(Clone)]
struct Stub {
    name: Arc<str>,
    model: Arc<str>,
    depth: Arc<AtomicUsize>,
    /// Where requests wait, if they do.
    queue: Option<mpsc::Sender<oneshot::Sender<()>>>,
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().unwrap().parse().unwrap();
    let model = args.next().unwrap();
    let depth = Arc::new(AtomicUsize::new(0));
    let queue = args.next().map(|batch| {
        let batch: usize = batch.parse().unwrap();
        let takes = Duration::from_millis(args.next().map_or(0, |it| it.parse().unwrap()));
        let (queue, waiting) = mpsc::channel(WAITING);
        tokio::spawn(work(waiting, batch, takes, Arc::clone(&depth)));
        queue
    });
    let stub = Stub {
        name: format!("stub-{port}").into(),
        model: model.into(),
        depth,
        queue,
    };
    let app = Router::new()
        .route("/ws/status", any(status))
        .route("/v1/{*call}", post(vector))
        .with_state(stub);
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let bounds = Bounds {
        io_timeout: Duration::from_secs(600),
        max_header_bytes: 65536,
        max_connections: 4096,
        threads: 0,
        busy_poll: Duration::ZERO,
        shutdown_grace: Duration::ZERO,
    };
    let service = TowerToHyperService::new(app);
    let none = None::<(TcpListener, TowerToHyperService<Router>)>;
    routir_listen::serve((listener, service), none, &bounds, pending()).await;
}

/// Answers those who wait, a batch at a time.
async fn work(
    mut waiting: mpsc::Receiver<oneshot::Sender<()>>,
    batch: usize,
    takes: Duration,
    depth: Arc<AtomicUsize>,
) {
    if batch == 0 {
        return pending().await;
    }
    let mut served = Vec::with_capacity(batch);
    while waiting.recv_many(&mut served, batch).await > 0 {
        sleep(takes).await;
        for one in served.drain(..) {
            depth.fetch_sub(1, Ordering::Relaxed);
            let _ = one.send(());
        }
    }
}

async fn status(upgrade: WebSocketUpgrade, State(stub): State<Stub>) -> impl IntoResponse {
    upgrade.on_upgrade(|mut socket: WebSocket| async move {
        let mut beat = interval(CADENCE);
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    if socket.send(Message::text(frame(&stub))).await.is_err() { return }
                }
                heard = socket.recv() => if heard.is_none() { return },
            }
        }
    })
}

fn frame(stub: &Stub) -> String {
    let (name, model) = (&*stub.name, &*stub.model);
    let depth = stub.depth.load(Ordering::Relaxed);
    let frame = serde_json::json!({
        "ready": true, "name": name, "bundle": "default", "machine_profile": "l4",
        "loaded_models": [model],
        "models": [{"name": model, "state": "loaded", "queue_depth": depth}],
    });
    frame.to_string()
}

/// A result of `encode` with one vector, as numpy's arrays are written in msgpack.
async fn vector(State(stub): State<Stub>, _body: Bytes) -> impl IntoResponse {
    if let Some(queue) = &stub.queue {
        let (done, waits) = oneshot::channel();
        stub.depth.fetch_add(1, Ordering::Relaxed);
        queue.send(done).await.unwrap();
        waits.await.unwrap();
    }
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
