//! A worker that is none: it speaks as SIE's do, over real sockets, and misbehaves when told to.
//!
//! `Fake::start()` gives a ready one; `fake.set(|behaviour| …)` changes how it is from then on;
//! `fake.seen()`, `fake.open()` and `fake.sockets()` say what came.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "each test uses a part, and outside a test function clippy does not see that this is a test"
)]

mod answer;
mod batches;
mod status;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

pub use answer::Mode;
use batches::Batch;

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// How the worker is and what it does with requests.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub name: String,
    pub ready: bool,
    pub profile: String,
    pub bundle: String,
    /// Names and states.
    pub models: Vec<(String, &'static str)>,
    /// What the frames tell as depth; `None` tells what waits.
    pub depth: Option<u64>,
    /// `max_batch_requests`.
    pub capacity: u64,
    /// Between frames.
    pub every: Duration,
    /// No frames are sent; the socket stays open.
    pub mute: bool,
    /// Sent in the place of frames.
    pub instead: Option<Message>,
    /// Put into frames over what stands there; `null` takes a key out.
    pub over: Value,
    /// The handshake is answered with this.
    pub handshake: Option<StatusCode>,
    /// What `/avail` answers; `None` is 404.
    pub avail: Option<Value>,
    pub mode: Mode,
    /// How long a batch takes.
    pub service: Duration,
    /// How many requests share a batch.
    pub batch: usize,
    /// Refuses requests of another machine profile, as SIE's workers do.
    pub strict: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            name: "fake".to_owned(),
            ready: true,
            profile: "l4-spot".to_owned(),
            bundle: "default".to_owned(),
            models: vec![("BAAI/bge-m3".to_owned(), "loaded")],
            depth: None,
            capacity: 64,
            every: Duration::from_millis(200),
            mute: false,
            instead: None,
            over: Value::Null,
            handshake: None,
            avail: None,
            mode: Mode::Ok,
            service: Duration::ZERO,
            batch: 8,
            strict: true,
        }
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    /// Its beginning, at most 64 KiB; empty while it is not there yet.
    pub body: Bytes,
    /// All of its bytes.
    pub bytes: u64,
    /// The other end of its connection.
    pub from: SocketAddr,
}

/// What a worker's connections share.
struct State {
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Vec<Seen>>,
    open: AtomicUsize,
    sockets: AtomicUsize,
    handshakes: AtomicUsize,
    connections: AtomicUsize,
    pongs: AtomicUsize,
    waiting: Arc<AtomicUsize>,
    batches: mpsc::UnboundedSender<Batch>,
    /// Sent to all sockets at once; `None` hangs up.
    shouts: broadcast::Sender<Option<Message>>,
}

pub struct Fake {
    pub url: String,
    pub address: SocketAddr,
    state: Arc<State>,
    serving: Option<JoinHandle<()>>,
    batching: JoinHandle<()>,
}

impl Fake {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(set: impl FnOnce(&mut Behaviour)) -> Self {
        let mut behaviour = Behaviour::default();
        set(&mut behaviour);
        let (batches, queue) = mpsc::unbounded_channel();
        let state = Arc::new(State {
            behaviour: Mutex::new(behaviour),
            seen: Mutex::default(),
            open: AtomicUsize::default(),
            sockets: AtomicUsize::default(),
            handshakes: AtomicUsize::default(),
            connections: AtomicUsize::default(),
            pongs: AtomicUsize::default(),
            waiting: Arc::default(),
            batches,
            shouts: broadcast::channel(64).0,
        });
        let batching = tokio::spawn(batches::run(Arc::clone(&state), queue));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            url: format!("http://{address}"),
            address,
            serving: Some(tokio::spawn(serve(listener, Arc::clone(&state)))),
            state,
            batching,
        }
    }

    pub fn set(&self, set: impl FnOnce(&mut Behaviour)) {
        set(&mut self.state.behaviour());
    }

    /// All requests so far, but for the status socket's.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many requests to a path that begins so came.
    pub fn count(&self, path: &str) -> usize {
        let seen = self.state.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.path.starts_with(path))
            .count()
    }

    /// Requests that have begun and whose answers have not been written, or whose callers left.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Open status sockets.
    pub fn sockets(&self) -> usize {
        self.state.sockets.load(Ordering::SeqCst)
    }

    /// Status sockets that were asked for so far.
    pub fn handshakes(&self) -> usize {
        self.state.handshakes.load(Ordering::SeqCst)
    }

    /// Connections that were taken so far, of all kinds.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Pings that were answered.
    pub fn pongs(&self) -> usize {
        self.state.pongs.load(Ordering::SeqCst)
    }

    /// Sends this to all status sockets at once.
    pub fn say(&self, message: impl Into<Message>) {
        let _ = self.state.shouts.send(Some(message.into()));
    }

    /// Sends a frame at once.
    pub fn tell(&self) {
        self.say(self.state.frame().to_string());
    }

    /// Closes all status sockets.
    pub fn hang_up(&self) {
        let _ = self.state.shouts.send(None);
    }

    /// Dies: nothing is answered and all connections break. `start_again` brings it back.
    pub async fn kill(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// Listens at the same address again.
    pub async fn start_again(&mut self) {
        self.kill().await;
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serving = Some(tokio::spawn(serve(listener, Arc::clone(&self.state))));
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.batching.abort();
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

impl State {
    fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap()
    }
}

/// Counts for as long as it lives.
struct Counted(Arc<State>, fn(&State) -> &AtomicUsize);

impl Counted {
    fn new(state: &Arc<State>, which: fn(&State) -> &AtomicUsize) -> Self {
        which(state).fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(state), which)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    // Dropped with this future, and all connections with it.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        state.connections.fetch_add(1, Ordering::SeqCst);
        while connections.try_join_next().is_some() {}
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // A status socket lives in the connection's task, so that it dies with the worker.
            let (sockets, mut upgraded) = mpsc::unbounded_channel();
            let service =
                service_fn(|request| answer(Arc::clone(&state), sockets.clone(), from, request));
            let serving = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            if serving.await.is_ok()
                && let Ok(socket) = upgraded.try_recv()
            {
                status::run(&state, socket).await;
            }
        });
    }
}

type Upgrades = mpsc::UnboundedSender<hyper::upgrade::OnUpgrade>;

async fn answer(
    state: Arc<State>,
    sockets: Upgrades,
    from: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Answer, std::io::Error> {
    let path = request.uri().path().to_owned();
    if path == "/ws/status" {
        state.handshakes.fetch_add(1, Ordering::SeqCst);
        return Ok(status::shake(&state, &sockets, &mut request));
    }
    let open = Counted::new(&state, |state| &state.open);
    let place = {
        let mut seen = state.seen.lock().unwrap();
        seen.push(Seen {
            method: request.method().clone(),
            path: request.uri().to_string(),
            headers: request.headers().clone(),
            body: Bytes::new(),
            bytes: 0,
            from,
        });
        seen.len() - 1
    };
    match (request.method(), path.as_str()) {
        (&Method::GET, "/avail") => Ok(match state.behaviour().avail.clone() {
            Some(avail) => answer::json(StatusCode::OK, &avail),
            None => answer::json(StatusCode::NOT_FOUND, &json!({"detail": "Not Found"})),
        }),
        (&Method::GET, "/v1/models") => Ok(answer::json(StatusCode::OK, &models(&state))),
        (&Method::GET, "/healthz") => Ok(answer::json(StatusCode::OK, &json!("ok"))),
        (&Method::POST, _) => answer::inference(&state, place, open, request).await,
        _ => Ok(answer::json(
            StatusCode::NOT_FOUND,
            &json!({"detail": "Not Found"}),
        )),
    }
}

fn models(state: &State) -> Value {
    let behaviour = state.behaviour();
    let entry = |(name, state): &(String, &str)| {
        json!({
            "name": name, "loaded": *state == "loaded", "inputs": ["text"], "outputs": ["dense"],
            "dims": {"dense": 4}, "max_sequence_length": 512, "profiles": {"default": {}},
        })
    };
    json!({"models": behaviour.models.iter().map(entry).collect::<Vec<_>>()})
}

/// Waits until it is so, at most for ten seconds.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(
            tokio::time::Instant::now() < patience,
            "in ten seconds it did not come to: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn never(never: Infallible) -> std::io::Error {
    match never {}
}
