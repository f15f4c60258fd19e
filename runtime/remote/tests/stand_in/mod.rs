//! A server that speaks just enough HTTP to stand in for one with OpenAI's API, and to misbehave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    dead_code,
    reason = "a test's helpers may fail loudly, and not every test uses all of them"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    /// The head in lower case.
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Seen {
    /// What the user says, of a chat.
    pub(crate) fn prompt(&self) -> &str {
        self.body["messages"][0]["content"].as_str().unwrap()
    }

    /// The texts, of a call for embeddings.
    pub(crate) fn input(&self) -> Vec<&str> {
        let input = self.body["input"].as_array().unwrap();
        input.iter().map(|text| text.as_str().unwrap()).collect()
    }
}

/// How a request is answered.
pub(crate) enum Reply {
    Json(Value),
    Status(u16, &'static str, Value),
    Text(String),
    /// After a while.
    Late(Duration, Value),
    /// Never; the caller has to leave.
    Stall,
    /// Half an answer, then nothing more.
    StallInTheBody,
    HangUp,
    /// For as long as the caller reads.
    Endless,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    now: AtomicUsize,
    most: AtomicUsize,
    left: AtomicUsize,
}

/// The server, for as long as this is held.
pub(crate) struct StandIn {
    /// Where its API begins.
    pub(crate) url: String,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl StandIn {
    /// Answers each request with what `reply` says, which is told how many came before.
    pub(crate) async fn start(
        reply: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let state = Arc::<State>::default();
        let (shared, reply) = (Arc::clone(&state), Arc::new(reply));
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (state, reply) = (Arc::clone(&shared), Arc::clone(&reply));
                tokio::spawn(async move {
                    let _ = serve(socket, &state, &*reply).await;
                });
            }
        });
        Self { url, state, task }
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many were being answered at once at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }

    /// Waits until so many callers have left before they were answered.
    pub(crate) async fn callers_left(&self, count: usize) {
        while self.state.left.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until so many requests have come.
    pub(crate) async fn requests(&self, count: usize) {
        while self.seen().len() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn serve(
    mut socket: TcpStream,
    state: &State,
    reply: &(dyn Fn(usize, &Seen) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let Some(seen) = read(&mut socket).await? else {
        return Ok(());
    };
    let before = {
        let mut all = state.seen.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    let now = state.now.fetch_add(1, Ordering::SeqCst) + 1;
    state.most.fetch_max(now, Ordering::SeqCst);
    let done = answer(&mut socket, state, reply(before, &seen)).await;
    state.now.fetch_sub(1, Ordering::SeqCst);
    done
}

async fn read(socket: &mut TcpStream) -> std::io::Result<Option<Seen>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let head = head.to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.unwrap().trim().parse().unwrap();
            if bytes.len() >= end + 4 + length {
                let body = serde_json::from_slice(&bytes[end + 4..]).unwrap();
                return Ok(Some(Seen { path, head, body }));
            }
        }
        let read = socket.read(&mut chunk).await?;
        if read == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
}

async fn answer(socket: &mut TcpStream, state: &State, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Json(value) => send(socket, 200, "", &value.to_string()).await,
        Reply::Status(status, headers, value) => {
            send(socket, status, headers, &value.to_string()).await
        }
        Reply::Text(text) => send(socket, 200, "", &text).await,
        Reply::Late(wait, value) => {
            tokio::time::sleep(wait).await;
            send(socket, 200, "", &value.to_string()).await
        }
        Reply::Stall => until_left(socket, state).await,
        Reply::StallInTheBody => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"choices\": [";
            socket.write_all(head).await?;
            until_left(socket, state).await
        }
        Reply::HangUp => Ok(()),
        Reply::Endless => {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            socket.write_all(head).await?;
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            while socket.write_all(chunk.as_bytes()).await.is_ok() {}
            state.left.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }
}

async fn until_left(socket: &mut TcpStream, state: &State) -> std::io::Result<()> {
    let mut byte = [0];
    while matches!(socket.read(&mut byte).await, Ok(read) if read > 0) {}
    state.left.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

async fn send(
    socket: &mut TcpStream,
    status: u16,
    headers: &str,
    body: &str,
) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n{headers}\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    socket.shutdown().await
}

/// A completion that begins with one of `tokens`, each with its log probability.
pub(crate) fn begins_with(tokens: &[(&str, f64)]) -> Value {
    let top: Vec<Value> = tokens
        .iter()
        .map(|(token, logprob)| json!({"token": token, "logprob": logprob, "bytes": null}))
        .collect();
    let (token, logprob) = tokens[0];
    json!({
        "id": "c-1", "object": "chat.completion", "model": "m",
        "choices": [{
            "index": 0, "finish_reason": "length",
            "message": {"role": "assistant", "content": token},
            "logprobs": {"content": [{"token": token, "logprob": logprob, "bytes": null, "top_logprobs": top}]},
        }],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    })
}

/// A completion with this text.
pub(crate) fn says(text: &str) -> Value {
    json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": null}]})
}

/// Vectors, in turn.
pub(crate) fn vectors(all: &[Vec<f32>]) -> Value {
    let data: Vec<Value> = all
        .iter()
        .enumerate()
        .map(|(index, vector)| json!({"object": "embedding", "index": index, "embedding": vector}))
        .collect();
    json!({"object": "list", "model": "m", "data": data})
}
