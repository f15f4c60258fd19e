//! A router on a port of its own, and a client that hides nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use routir_router::{Router, RouterOptions, serve};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fake::{Fake, Seen};

pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A router that is served; it ends when dropped.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) serving: JoinHandle<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    pub(crate) fn code(&self) -> String {
        let body = self.json();
        assert_eq!(body["detail"]["message"], body["message"], "{body}");
        body["detail"]["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }
}

pub(crate) fn options(workers: &[&Fake]) -> RouterOptions {
    RouterOptions {
        workers: workers.iter().map(|worker| worker.url.clone()).collect(),
        threads: 2,
        ..RouterOptions::default()
    }
}

impl Front {
    /// A router with those options, as soon as so many of its workers are ready.
    pub(crate) async fn start(options: RouterOptions, ready: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new(options).unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            serve(listener, router, stopped).await.unwrap();
        });
        let front = Self {
            address,
            stop: Some(stop),
            serving,
        };
        front.settled(ready).await;
        front
    }

    /// Of these workers, all of which are ready.
    pub(crate) async fn of(workers: &[&Fake]) -> Self {
        Self::start(options(workers), workers.len()).await
    }

    /// Waits until so many workers are ready.
    pub(crate) async fn settled(&self, ready: usize) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let now = self.get("/readyz").await.json();
            if now["healthy_workers"] == ready {
                return;
            }
            assert!(tokio::time::Instant::now() < patience, "{now}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        read(self.send(request("GET", path, &[], "")).await).await
    }

    /// Asks a model for work.
    pub(crate) async fn encode(&self, headers: &[(&str, &str)]) -> Answer {
        self.post("/v1/encode/BAAI/bge-m3", headers, r#"{"items":[{}]}"#)
            .await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        read(self.send(request("POST", path, headers, body)).await).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        read(self.send(request(method, path, headers, "")).await).await
    }

    /// Sends over a connection of its own, which ends with the answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Incoming> {
        send(self.address, request).await
    }

    /// What a series of the metrics says; nothing is zero.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await.body;
        let text = std::str::from_utf8(&text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Sends over a connection of its own, which ends with the answer.
pub(crate) async fn send(address: SocketAddr, request: Request<Body>) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Body> {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {});
    let mut request = Request::new(body.boxed_unsync());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = path.parse().unwrap();
    request
        .headers_mut()
        .insert("host", HeaderValue::from_static("router.example"));
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

/// The last request for work that a worker got; what the router asks for itself is none.
pub(crate) fn asked(worker: &Fake) -> Seen {
    let mut seen = worker.seen();
    seen.retain(|seen| seen.method == Method::POST);
    seen.pop().unwrap()
}

pub(crate) async fn read(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let versions = head.headers.get_all("x-sie-server-version");
    assert_eq!(versions.iter().count(), 1, "{head:?}");
    assert!(head.headers.contains_key("x-request-id"), "{head:?}");
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
    }
}
