//! Accepting connections on one wire or two, and letting them end in order.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::busy_poll::{Known, stir};
use crate::cork::corked;
use crate::lane::{Driven, Lane};
use crate::threads::{self, Threads};
use crate::timer::OneTimer;
use crate::{Bell, Patient};

/// The least that hyper can keep of a request's head.
const MIN_HEADER_BYTES: usize = 8192;
/// How many calls one gRPC connection may have in flight; more wait at the client.
const MAX_STREAMS: u32 = 256;
/// How long the preface of an HTTP/2 connection is.
const PREFACE_BYTES: usize = 24;
/// How long to wait after the system refused a connection (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A timer that comes before all those of requests is always set: tokio rouses a thread for each
/// timer that becomes the next one, which without this happens several times per request.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);

/// What connections may cost.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The longest that a client may take to send a request's head and to take in any of the
    /// answer. A connection that is idle for as long is closed.
    pub io_timeout: Duration,
    /// The largest request head, in bytes; at least 8192.
    pub max_header_bytes: usize,
    /// How many connections may be open at once on each wire; more wait to be accepted.
    pub max_connections: usize,
    /// How many threads of their own the connections over HTTP/1.1 are dealt to, each with a reactor
    /// that nobody else has; none leaves them on the caller's runtime, as those over HTTP/2 always
    /// are. Worth it where answering never computes for long: what does holds up the connections of
    /// its thread, and belongs on another runtime.
    pub threads: usize,
    /// For how long such a thread goes on looking for bytes after something came, before it sleeps.
    pub busy_poll: Duration,
    /// How long requests in flight may go on after shutdown begins.
    pub shutdown_grace: Duration,
}

pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Serves `rest` over HTTP/1.1, upgrades included, and `grpc` over HTTP/2, until `shutdown`
/// resolves; then takes no new connection, lets requests in flight end within
/// [`shutdown_grace`](Bounds::shutdown_grace), and cuts off the rest. A failing connection
/// concerns its client alone.
pub async fn serve<R, G, A, B>(
    rest: (TcpListener, R),
    grpc: Option<(TcpListener, G)>,
    bounds: &Bounds,
    shutdown: impl Future<Output = ()>,
) where
    R: Service<Request<Incoming>, Response = Response<A>, Future: Send, Error: Into<Cause>>,
    R: Clone + Send + 'static,
    A: Body<Data: Send, Error: Into<Cause>> + Send + 'static,
    G: Service<Request<Incoming>, Response = Response<B>, Error: Into<Cause>>,
    G: Clone + Send + 'static,
    G::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Cause>> + Send + 'static,
{
    let http1 = http1_of(bounds);
    let slots = Arc::new(Semaphore::new(bounds.max_connections));
    let grpc_slots = Arc::new(Semaphore::new(bounds.max_connections));
    let (stop, stopping) = watch::channel(false);
    let (rest, rest_service) = rest;
    let (grpc, grpc_service) = grpc.unzip();
    let threads = Threads::start(bounds.threads, bounds.busy_poll).await;
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut heartbeat = interval(HEARTBEAT);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            (stream, slot) = accept(Some(&rest), &slots) => {
                let thread = threads.deal();
                let moved = match &thread {
                    Some((reactor, _)) => threads::moved(stream, reactor),
                    None => Ok(stream),
                };
                let stream = match moved {
                    Ok(stream) => TokioIo::new(Patient::new(stream, bounds.io_timeout)),
                    Err(why) => {
                        tracing::warn!(error = %why, "a connection could not be dealt to a thread");
                        continue;
                    }
                };
                let mut http = http1.clone();
                http.timer(OneTimer::default());
                let connection = http.serve_connection(stream, Known(rest_service.clone()));
                let connection = connection.with_upgrades();
                let end = http1::UpgradeableConnection::graceful_shutdown;
                let (reactor, seat) = thread.unzip();
                let held = (slot, seat);
                let connection = to_its_end(connection, end, stopping.clone(), held, None);
                match reactor {
                    Some(reactor) => connections.spawn_on(connection, reactor),
                    None => connections.spawn(connection),
                };
            }
            (stream, slot) = accept(grpc.as_ref(), &grpc_slots) => {
                let Some(service) = grpc_service.clone() else {
                    continue;
                };
                let stream = Patient::new(stream, bounds.io_timeout);
                let (stream, heard) = stream.greeted(PREFACE_BYTES);
                let (stream, cork) = corked(stream);
                let lane = Lane::new();
                let http2 = http2_of(bounds, lane.clone());
                let connection = http2.serve_connection(TokioIo::new(stream), service);
                let end = http2::Connection::graceful_shutdown;
                let connection = Driven::new(connection, end, lane, cork);
                let end = Driven::graceful_shutdown;
                let heard = Some(heard);
                connections.spawn(to_its_end(connection, end, stopping.clone(), slot, heard));
            }
            Some(_) = connections.join_next() => {}
            _ = heartbeat.tick() => {}
        }
    }
    drop((rest, grpc));
    // Nobody may be connected.
    let _ = stop.send(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(bounds.shutdown_grace, ended)
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "requests still run after the grace period; cutting them off"
        );
    }
    connections.shutdown().await;
}

fn http1_of(bounds: &Bounds) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.header_read_timeout(bounds.io_timeout)
        .max_buf_size(bounds.max_header_bytes.max(MIN_HEADER_BYTES));
    http
}

/// A connection may be idle for as long as its client answers pings.
fn http2_of(bounds: &Bounds, lane: Lane) -> http2::Builder<Lane> {
    let head = bounds.max_header_bytes.max(MIN_HEADER_BYTES);
    let mut http = http2::Builder::new(lane);
    // No gRPC client asks for the date.
    http.timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .keep_alive_interval(bounds.io_timeout)
        .keep_alive_timeout(bounds.io_timeout);
    http
}

/// Serves a connection until it ends, for whatever reason, and frees what it `held`. `end` asks it
/// to when the server stops; one whose client has not been `heard` by then ends at once.
async fn to_its_end<C, E, H>(
    connection: C,
    end: fn(Pin<&mut C>),
    mut stopping: watch::Receiver<bool>,
    held: H,
    heard: Option<Arc<AtomicBool>>,
) where
    C: Future<Output = Result<(), E>>,
    E: Into<Cause>,
{
    let _held = held;
    let bell = Bell::new();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = poll_fn(|cx| {
            stir();
            connection.as_mut().poll(&mut bell.before(cx))
        }) => ended,
        _ = stopping.changed() => {
            if heard.is_some_and(|heard| !heard.load(Ordering::Relaxed)) {
                return;
            }
            end(connection.as_mut());
            connection.await
        }
    };
    if let Err(why) = ended.map_err(Into::into) {
        tracing::debug!(error = %why, "a connection ended early");
    }
}

/// The next connection, when there is a slot for it; never one of no listener.
async fn accept(
    listener: Option<&TcpListener>,
    slots: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    let Some(listener) = listener else {
        return pending().await;
    };
    // The semaphore is never closed, so this always yields a slot.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it a small answer may wait for the client's acknowledgement. Failing
                // means that the peer is gone already.
                let _ = stream.set_nodelay(true);
                return (stream, slot);
            }
            Err(why) => {
                tracing::warn!(error = %why, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
