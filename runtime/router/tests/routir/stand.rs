//! Workers, and a router before them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router as Paths;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use routir_core::{BoxFuture, ContentSource, Imports, Result, Roles};
use routir_exec::{Runtime, RuntimeBuilder, RuntimeSettings, ServiceSpec};
use routir_fusion::NativeFusion;
use routir_router::{Listeners, Local, Offered, Router, RouterOptions, RoutirSide, serve};
use routir_server::{App, Direct, ServerOptions};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::certificates::{Authority, Ending};
use super::oracle::{Shelf, toy};
pub(super) use super::spec::spec;

/// The mergers that every server has.
fn with_mergers() -> RuntimeBuilder {
    let builder = Runtime::builder(RuntimeSettings::default());
    routir_fusion::methods()
        .iter()
        .fold(builder, |builder, info| {
            let fuse = Arc::new(NativeFusion(info.method));
            let roles = Roles {
                fuse: Some(fuse),
                ..Roles::default()
            };
            builder.service(ServiceSpec {
                public: true,
                ..spec(info.name, roles)
            })
        })
}

/// A worker's services: toys by name, others with their engines, and the collection `docs`.
pub(super) struct Kit {
    builder: RuntimeBuilder,
    profile: Option<&'static str>,
    authority: Option<Arc<Authority>>,
    /// Whether it says where it listens for gRPC.
    grpc: bool,
}

impl Kit {
    pub(super) fn toys(names: &[&'static str]) -> Self {
        let builder = names.iter().fold(with_mergers(), |builder, name| {
            builder.service(spec(name, toy(name)))
        });
        Self {
            builder,
            profile: None,
            authority: None,
            grpc: true,
        }
    }

    pub(super) fn and(self, name: &str, roles: Roles) -> Self {
        Self {
            builder: self.builder.service(spec(name, roles)),
            ..self
        }
    }

    pub(super) fn alias(self, name: &str, source: &str) -> Self {
        Self {
            builder: self.builder.alias(name, source),
            ..self
        }
    }

    pub(super) fn docs(self) -> Self {
        self.collection("docs", Arc::new(Shelf::default()))
    }

    pub(super) fn collection(self, name: &str, source: Arc<dyn ContentSource>) -> Self {
        Self {
            builder: self.builder.collection(name, source),
            ..self
        }
    }

    /// On a kind of machine, of which it tells by status frames, as SIE's workers do; without, it
    /// has no frames, as RoutIR's own server.
    pub(super) fn profile(self, profile: &'static str) -> Self {
        Self {
            profile: Some(profile),
            ..self
        }
    }

    /// Under TLS on both wires, as `localhost`, with certificates of that authority.
    pub(super) fn under(self, authority: &Arc<Authority>) -> Self {
        Self {
            authority: Some(Arc::clone(authority)),
            ..self
        }
    }

    /// Over REST alone.
    pub(super) fn rest_alone(self) -> Self {
        Self {
            grpc: false,
            ..self
        }
    }

    pub(super) async fn serve(self) -> Server {
        let runtime = self.builder.build().unwrap();
        Server::start(runtime, self.profile, self.authority, self.grpc).await
    }
}

/// A server of this project on both wires, until it is dropped, with all its connections.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) runtime: Runtime,
    task: JoinHandle<()>,
    /// Ends of TLS before it.
    endings: Option<[Ending; 2]>,
}

impl Server {
    async fn start(
        runtime: Runtime,
        profile: Option<&'static str>,
        authority: Option<Arc<Authority>>,
        tells_grpc: bool,
    ) -> Self {
        let rest = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = rest.local_addr().unwrap();
        let calls = grpc.local_addr().unwrap();
        let endings = match authority {
            None => None,
            Some(authority) => {
                let tls = |protocol| authority.server("localhost", 4000, &[protocol], None);
                Some([
                    Ending::before(address, tls("http/1.1")).await,
                    Ending::before(calls, tls("h2")).await,
                ])
            }
        };
        let port = endings.as_ref().map_or(calls, |[_, calls]| calls.address);
        let port = port.port();
        let options = ServerOptions {
            grpc_port: tells_grpc.then_some(port),
            ..ServerOptions::default()
        };
        let id = Arc::clone(&options.server_id);
        let app = App::new(Arc::new(runtime.clone()), options).unwrap();
        let direct = Direct::new(&app).unwrap();
        let answering = direct.clone();
        let mut paths = Paths::new().fallback(move |request: Request<Body>| {
            let direct = answering.clone();
            async move { direct.rest(request).await }
        });
        if let Some(profile) = profile {
            let frame = json!({
                "ready": true, "name": address.to_string(), "machine_profile": profile,
                "routir": {"generation": 1, "grpc_port": port, "server_id": *id},
            });
            let frame = frame.to_string();
            let tell = move |upgrade: WebSocketUpgrade| {
                let frame = frame.clone();
                async move { upgrade.on_upgrade(move |socket| frames(socket, frame)) }
            };
            paths = paths.route("/ws/status", routing::get(tell));
        }
        let call = service_fn(move |request: Request<Incoming>| {
            let direct = direct.clone();
            async move { Ok::<_, Infallible>(direct.grpc(request).await) }
        });
        let task = tokio::spawn(async move {
            let bounds = routir_listen::Bounds {
                io_timeout: Duration::from_secs(30),
                max_header_bytes: 65536,
                max_connections: 256,
                threads: 0,
                busy_poll: Duration::ZERO,
                shutdown_grace: Duration::from_secs(1),
            };
            let rest = (rest, TowerToHyperService::new(paths));
            routir_listen::serve(rest, Some((grpc, call)), &bounds, std::future::pending()).await;
        });
        Self {
            address,
            runtime,
            task,
            endings,
        }
    }

    pub(super) fn base(&self) -> String {
        match &self.endings {
            Some([rest, _]) => format!("https://localhost:{}", rest.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// Takes connections and says nothing to them from now on; those that stand go on.
    pub(super) fn stall(&self) {
        for ending in self.endings.iter().flatten() {
            ending.stall();
        }
    }

    /// Ends it at once, as a process is killed.
    pub(super) async fn kill(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// How many requests it has answered, by endpoint.
    /// Waits until the server has counted these: it does when an answer is gone, which its client may
    /// have read before.
    pub(super) async fn counts<const N: usize>(&self, expected: [(&str, u64); N]) {
        let expected = expected.map(|(endpoint, count)| (endpoint.to_owned(), count));
        let expected = BTreeMap::from(expected);
        until(&format!("counted {expected:?}"), || {
            self.answered() == expected
        })
        .await;
    }

    pub(super) fn answered(&self) -> BTreeMap<String, u64> {
        let metrics = self.runtime.metrics().encode();
        let lines = metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix("routir_requests_total{")?;
            let (labels, count) = rest.split_once("} ")?;
            let endpoint = labels.split("endpoint=\"").nth(1)?.split('"').next()?;
            Some((endpoint.to_owned(), count.parse::<u64>().ok()?))
        });
        let mut answered: BTreeMap<String, u64> = BTreeMap::new();
        // Not what the router asks to know its workers.
        let asked =
            |endpoint: &String| !matches!(&**endpoint, "avail" | "models" | "ws_status" | "other");
        for (endpoint, count) in lines.filter(|(endpoint, _)| asked(endpoint)) {
            *answered.entry(endpoint).or_default() += count;
        }
        answered
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn frames(mut socket: WebSocket, frame: String) {
    let message = || Message::Text(frame.clone().into());
    while socket.send(message()).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

struct Here(Direct);

impl Local for Here {
    fn rest(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(self.0.rest(request))
    }

    fn grpc(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(self.0.grpc(request))
    }

    fn stop(&self) {
        self.0.stop();
    }
}

/// The id of routers.
pub(super) const ROUTER: &str = "router";

/// A router before workers.
pub(super) struct Stand {
    pub(super) base: String,
    pub(super) grpc: String,
    task: JoinHandle<Result<()>>,
}

impl Stand {
    pub(super) async fn before(workers: &[&Server]) -> Self {
        let stand = Self::with(RouterOptions {
            workers: workers.iter().map(|server| server.base()).collect(),
            ..RouterOptions::default()
        });
        let stand = stand.await;
        stand.until_ready(workers.len()).await;
        stand
    }

    pub(super) async fn with(options: RouterOptions) -> Self {
        Self::answering(Self::side(), options).await
    }

    /// What answers in the router, as its binary puts it together.
    pub(super) fn side() -> RoutirSide {
        let runtime = with_mergers().build().unwrap();
        let offered = Arc::new(Offered::default());
        let server = ServerOptions {
            server_id: Arc::from(ROUTER),
            imports: Some(Arc::clone(&offered) as Arc<dyn Imports>),
            ..ServerOptions::default()
        };
        let app = App::new(Arc::new(runtime.clone()), server).unwrap();
        RoutirSide {
            runtime,
            local: Arc::new(Here(Direct::new(&app).unwrap())),
            offered,
            server_id: Arc::from(ROUTER),
        }
    }

    pub(super) async fn answering(routir: RoutirSide, options: RouterOptions) -> Self {
        let router = Router::new(RouterOptions {
            routir: Some(routir),
            ..options
        });
        let rest = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (base, calls) = (rest.local_addr().unwrap(), grpc.local_addr().unwrap());
        let listeners = Listeners {
            rest,
            grpc: Some(grpc),
        };
        let task = serve(listeners, router.unwrap(), std::future::pending());
        Self {
            base: format!("http://{base}"),
            grpc: format!("http://{calls}"),
            task: tokio::spawn(task),
        }
    }

    /// Waits until so many workers are ready and what they offer is in service.
    pub(super) async fn until_ready(&self, count: usize) {
        for _ in 0..400 {
            let told = self.avail().await;
            let workers = told["imports"].as_array().cloned().unwrap_or_default();
            let ready = workers.iter().filter(|worker| worker["ready"] == true);
            if ready.count() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the workers are not there: {}", self.avail().await);
    }

    pub(super) async fn avail(&self) -> serde_json::Value {
        let request = Request::get(format!("{}/avail", self.base)).body(Body::empty());
        let told = send(request.unwrap()).await.into_body();
        serde_json::from_slice(&told.collect().await.unwrap().to_bytes()).unwrap()
    }

    pub(super) async fn post(
        &self,
        path: &str,
        body: &serde_json::Value,
        headers: &[(&str, &str)],
    ) -> (StatusCode, serde_json::Value) {
        let (status, body) = post(&self.base, path, body.to_string(), headers).await;
        let told = serde_json::from_slice(&body).unwrap_or_default();
        (status, told)
    }

    /// A pipeline's ranking.
    pub(super) async fn pipeline(&self, source: &str) -> Result<Vec<(String, f64)>, String> {
        let body = json!({"pipeline": source, "query": "q", "collection": "docs"});
        let (status, told) = self.post("/pipeline", &body, &[]).await;
        match status {
            StatusCode::OK => Ok(ranking(&told)),
            _ => Err(format!("{status}: {told}")),
        }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until `check` holds.
pub(super) async fn until(what: &str, check: impl Fn() -> bool) {
    for _ in 0..400 {
        if check() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what}");
}

pub(super) fn ranking(told: &serde_json::Value) -> Vec<(String, f64)> {
    let scores = told["scores"].as_object().unwrap().iter();
    scores
        .map(|(doc, score)| (doc.clone(), score.as_f64().unwrap()))
        .collect()
}

pub(super) async fn send(request: Request<Body>) -> Response<Incoming> {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    client.request(request).await.unwrap()
}

pub(super) async fn post(
    base: &str,
    path: &str,
    body: String,
    headers: &[(&str, &str)],
) -> (StatusCode, Bytes) {
    let mut request = Request::post(format!("{base}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = send(request.body(Body::from(body)).unwrap()).await;
    let status = response.status();
    (
        status,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}
