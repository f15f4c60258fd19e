//! The connection over which a worker tells how it is.

use hyper::header::AUTHORIZATION;
use hyper::{StatusCode, Uri};
use tokio::time::{Duration, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{Worker, WorkerSettings};
use crate::dial::Stream;

/// The largest frame.
pub(super) const MAX_FRAME: usize = 8 << 20;
/// How long a worker may take to answer the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What servers answer to a handshake on a path that they do not have.
const NO_PATH: [StatusCode; 6] = [
    StatusCode::BAD_REQUEST,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::UPGRADE_REQUIRED,
    StatusCode::NOT_IMPLEMENTED,
];

pub(super) type Socket = WebSocketStream<Stream>;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The worker is there and has no such path: servers say that in several ways.
    NoSuchPath(StatusCode),
    /// Anything else.
    Failed(String),
}

/// Opens `/ws/status`.
pub(super) async fn open(worker: &Worker, settings: &WorkerSettings) -> Result<Socket, Refusal> {
    let failed = |why: &dyn std::fmt::Display| Refusal::Failed(why.to_string());
    let uri = status_uri(worker).map_err(|why| failed(&why))?;
    let mut request = uri.into_client_request().map_err(|why| failed(&why))?;
    if let Some(key) = &settings.authorization {
        request.headers_mut().insert(AUTHORIZATION, key.clone());
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(64 << 10)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME));
    let stream = settings
        .dialer
        .dial(worker)
        .await
        .map_err(Refusal::Failed)?;
    let shaking = client_async_with_config(request, stream, Some(config));
    match timeout(HANDSHAKE, shaking).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(answer))) if NO_PATH.contains(&answer.status()) => {
            Err(Refusal::NoSuchPath(answer.status()))
        }
        Ok(Err(why)) => Err(Refusal::Failed(format!("no web socket: {why}"))),
        Err(_) => Err(Refusal::Failed(format!(
            "no web socket within {HANDSHAKE:?}"
        ))),
    }
}

fn status_uri(worker: &Worker) -> Result<Uri, String> {
    let http = worker.uri("/ws/status").map_err(|why| why.to_string())?;
    let mut parts = http.into_parts();
    // Of the encrypted kind nothing differs but the connection, which is there already.
    parts.scheme = "ws".parse().ok();
    Uri::from_parts(parts).map_err(|why| why.to_string())
}

/// What a message says, if it is not about the connection itself.
pub(super) fn content(message: Message) -> Option<bytes::Bytes> {
    match message {
        Message::Text(text) => Some(text.into()),
        Message::Binary(bytes) => Some(bytes),
        _ => None,
    }
}
