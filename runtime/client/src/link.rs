//! A connection to a server's gRPC interface, straight on HTTP/2.
//!
//! A call writes its request and is woken by its answer in its own task; the connection's task is
//! the only other one. The layers that a general client has between them take a task and two turns
//! each, some of them on another core, which for a small call is most of its time.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{self, Connection, SendRequest};
use h2::{Ping, Reason, RecvStream};
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use crate::way::{CONNECT, PING, PONG, TCP_KEEPALIVE, TCP_PROBE, TCP_PROBES};

/// How much of one answer, and of all together, may come before it is read.
const STREAM_WINDOW: u32 = 2 << 20;
const WINDOW: u32 = 5 << 20;
/// The largest head of an answer, in bytes.
const MAX_HEAD: u32 = 16 << 10;

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("routir-rt/", env!("CARGO_PKG_VERSION")));

/// A server and the connection to it, which is made when it is needed and again when it was lost.
/// Clones are one.
#[derive(Clone)]
pub(crate) struct Link(Arc<Inner>);

struct Inner {
    origin: Uri,
    connector: HttpConnector,
    line: Mutex<Option<Line>>,
    /// Held by whoever connects.
    connecting: tokio::sync::Mutex<()>,
}

/// A connection.
struct Line {
    sender: SendRequest<Bytes>,
    /// Its task has one of these, and each call in flight another.
    calls: Weak<()>,
}

impl Link {
    /// The link to `origin`. Opens no connection yet.
    pub(crate) fn new(origin: Uri) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_keepalive(Some(TCP_KEEPALIVE));
        connector.set_keepalive_interval(Some(TCP_PROBE));
        connector.set_keepalive_retries(Some(TCP_PROBES));
        Self(Arc::new(Inner {
            origin,
            connector,
            line: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }))
    }

    /// Sends a request and waits for the head of its answer. Dropping either ends the call at the
    /// server too.
    pub(crate) async fn ask(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (mut sender, call) = self.ready().await?;
        let (mut head, body) = request.into_parts();
        head.headers.insert(USER_AGENT, AGENT);
        let sent = sender.send_request(Request::from_parts(head, ()), false);
        let (answer, mut stream) = sent.map_err(lost)?;
        // The message is in memory as a whole, so nothing is gained by waiting until the server
        // lets it through.
        let mut body = pin!(body);
        let mut last = Bytes::new();
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            if let Ok(data) = frame?.into_data() {
                let before = std::mem::replace(&mut last, data);
                if !before.is_empty() {
                    stream.send_data(before, false).map_err(lost)?;
                }
            }
        }
        stream.send_data(last, true).map_err(lost)?;
        let answer = answer.await.map_err(lost)?;
        Ok(answer.map(|stream| {
            Body::new(Incoming {
                stream,
                _call: call,
            })
        }))
    }

    /// A connection that takes a call, and what counts it there. Waits while the server has as many
    /// as it takes.
    async fn ready(&self) -> Result<(SendRequest<Bytes>, Arc<()>), Status> {
        let (sender, call) = self.line().await?;
        if let Ok(sender) = sender.ready().await {
            return Ok((sender, call));
        }
        // It only lets the calls end that it has: the next goes over another.
        self.forget(&call);
        let (sender, call) = self.line().await?;
        Ok((sender.ready().await.map_err(lost)?, call))
    }

    /// Gives no more calls to the connection that `call` is counted on.
    fn forget(&self, call: &Arc<()>) {
        let mut line = self.0.line.lock();
        let over = line.take_if(|line| line.calls.ptr_eq(&Arc::downgrade(call)));
        drop((line, over));
    }

    /// The connection, made if there is none.
    async fn line(&self) -> Result<(SendRequest<Bytes>, Arc<()>), Status> {
        if let Some(there) = self.there() {
            return Ok(there);
        }
        let _connecting = self.0.connecting.lock().await;
        if let Some(there) = self.there() {
            return Ok(there);
        }
        let io = self.connect().await?;
        let (sender, connection) = client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(MAX_HEAD)
            .enable_push(false)
            .handshake(io)
            .await
            .map_err(lost)?;
        let calls = Arc::new(());
        tokio::spawn(drive(connection, Arc::clone(&calls)));
        let line = Line {
            sender: sender.clone(),
            calls: Arc::downgrade(&calls),
        };
        let before = self.0.line.lock().replace(line);
        drop(before);
        Ok((sender, calls))
    }

    /// The connection, if there is one that lives.
    fn there(&self) -> Option<(SendRequest<Bytes>, Arc<()>)> {
        let line = self.0.line.lock();
        let line = line.as_ref()?;
        Some((line.sender.clone(), line.calls.upgrade()?))
    }

    async fn connect(&self) -> Result<TcpStream, Status> {
        let connecting = self.0.connector.clone().call(self.0.origin.clone());
        let failed = |why: &dyn Error| {
            let cause = why
                .source()
                .map_or_else(String::new, |why| format!(": {why}"));
            Status::unavailable(format!("it cannot be connected to: {why}{cause}"))
        };
        match timeout(CONNECT, connecting).await {
            Ok(Ok(io)) => Ok(io.into_inner()),
            Ok(Err(why)) => Err(failed(&why)),
            Err(late) => Err(failed(&late)),
        }
    }
}

/// Lets a connection work until it ends, or its peer does not answer a ping. It ends when nobody has
/// a sender for it.
async fn drive(mut connection: Connection<TcpStream, Bytes>, calls: Arc<()>) {
    let mut pings = connection.ping_pong();
    let mut connection = pin!(connection);
    let idle = || Arc::strong_count(&calls) <= 1;
    loop {
        tokio::select! {
            _ = &mut connection => return,
            () = sleep(PING) => {}
        }
        let Some(pings) = pings.as_mut().filter(|_| !idle()) else {
            continue;
        };
        tokio::select! {
            _ = &mut connection => return,
            answered = timeout(PONG, pings.ping(Ping::opaque())) => {
                if !matches!(answered, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}

/// The body of an answer.
struct Incoming {
    stream: RecvStream,
    _call: Arc<()>,
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(data) = ready!(self.stream.poll_data(cx)) {
            let data = data.map_err(lost)?;
            // Fails for a stream that is over, whose window is nobody's.
            let _ = self.stream.flow_control().release_capacity(data.len());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(self.stream.poll_trailers(cx)).map_err(lost)?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

/// A call that broke off: by the server's word, or with its connection.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn lost(why: h2::Error) -> Status {
    let message = format!("the call broke off: {why}");
    if !(why.is_reset() && why.is_remote()) {
        return Status::unavailable(message);
    }
    match why.reason() {
        Some(Reason::REFUSED_STREAM) => Status::unavailable(message),
        Some(Reason::CANCEL) => Status::cancelled(message),
        Some(Reason::ENHANCE_YOUR_CALM) => Status::resource_exhausted(message),
        _ => Status::internal(message),
    }
}

#[cfg(test)]
mod tests {
    use h2::server::{self, SendResponse};
    use tokio::net::TcpListener;

    use super::*;

    type Call = (Request<RecvStream>, SendResponse<Bytes>);

    /// A server, and the link to it.
    async fn server() -> (TcpListener, Link) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        (listener, Link::new(origin.parse().unwrap()))
    }

    async fn accept(listener: &TcpListener) -> server::Connection<TcpStream, Bytes> {
        let (socket, _) = listener.accept().await.unwrap();
        server::handshake(socket).await.unwrap()
    }

    fn answer((_, mut respond): Call) {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream
            .send_data(Bytes::from_static(b"answer"), true)
            .unwrap();
    }

    fn ask(link: &Link) -> tokio::task::JoinHandle<Result<Bytes, Status>> {
        let link = link.clone();
        tokio::spawn(async move {
            let uri = link.0.origin.clone();
            let request = Request::post(uri).body(Body::empty()).unwrap();
            let mut body = link.ask(request).await?.into_body();
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            Ok(frame.unwrap()?.into_data().unwrap())
        })
    }

    #[tokio::test]
    async fn a_lost_connection_is_made_again() {
        let (listener, link) = server().await;
        let asked = ask(&link);
        let mut first = accept(&listener).await;
        drop(first.accept().await.unwrap().unwrap());
        drop(first);
        let lost = asked.await.unwrap().unwrap_err();
        assert_eq!(lost.code(), tonic::Code::Unavailable, "{lost}");

        let asked = ask(&link);
        let mut second = accept(&listener).await;
        answer(second.accept().await.unwrap().unwrap());
        tokio::spawn(async move { while second.accept().await.is_some() {} });
        assert_eq!(asked.await.unwrap().unwrap(), "answer");
        // The next goes over the same.
        drop(listener);
        assert!(link.there().is_some());
    }

    #[tokio::test]
    async fn a_connection_that_only_ends_its_calls_gets_no_more_and_loses_none() {
        let (listener, link) = server().await;
        let early = ask(&link);
        let mut first = accept(&listener).await;
        let waiting = first.accept().await.unwrap().unwrap();
        first.graceful_shutdown();
        let first = tokio::spawn(async move { while first.accept().await.is_some() {} });
        let (sender, _) = link.there().unwrap();
        // Until the client has heard of it.
        while sender.clone().ready().await.is_ok() {
            tokio::task::yield_now().await;
        }

        let late = ask(&link);
        let mut second = accept(&listener).await;
        answer(second.accept().await.unwrap().unwrap());
        tokio::spawn(async move { while second.accept().await.is_some() {} });
        assert_eq!(late.await.unwrap().unwrap(), "answer");
        answer(waiting);
        assert_eq!(early.await.unwrap().unwrap(), "answer");
        drop(sender);
        first.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_unavailable() {
        let (listener, link) = server().await;
        drop(listener);
        let refused = ask(&link).await.unwrap().unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        assert!(
            refused.message().contains("cannot be connected to"),
            "{refused}"
        );
    }
}
