//! Workers, and a router before them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use routir_batch::{BatchSettings, Policy as Batches};
use routir_core::{
    BoxFuture, CollectionInfo, ContentSource, DocId, Document, Error, ErrorCode, Imports, Payload,
    Placement, Result, Roles, ViewKind,
};
use routir_exec::{Runtime, RuntimeBuilder, RuntimeSettings, ServiceSpec};
use routir_fusion::NativeFusion;
use routir_server::{App, Direct, Listeners, ServerOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::oracle::{DOCS, number, toy};
use crate::pools::Membership;
use crate::routir::{Endpoints, Fleet};
use crate::spread::{Carry, Offered};
use crate::want::Want;
use crate::worker::{Choice, Policy, Registry, Source, Worker, WorkerSettings, choose};
use crate::{Local, RoutirSide};

/// Documents whose texts say which they are.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) asked: AtomicUsize,
}

impl ContentSource for Shelf {
    fn info(&self) -> CollectionInfo {
        let views = ["notes", "text"].map(|view| (Arc::from(view), ViewKind::Text));
        CollectionInfo {
            views: BTreeMap::from(views),
            default_view: Arc::from("text"),
        }
    }

    fn fetch<'a>(
        &'a self,
        view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let one = |id: &DocId| {
            if !DOCS.contains(&id.as_str()) {
                let message = format!("ID {id} is not found.");
                return Err(Error::new(ErrorCode::UnknownDocument, message));
            }
            let text = format!("{} of {id} {}", view.unwrap_or("text"), number(id));
            Ok(Arc::new(Document {
                id: id.clone(),
                payload: Payload::Text(Arc::from(text)),
                title: None,
                language: None,
            }))
        };
        let found = ids.iter().map(one).collect();
        Box::pin(async move { Ok(found) })
    }
}

pub(super) fn spec(name: &str, roles: Roles) -> ServiceSpec {
    ServiceSpec {
        name: Arc::from(name),
        engine: Arc::from("toy"),
        roles,
        batch: BatchSettings {
            name: Arc::from(name),
            policy: Batches {
                max_requests: 32,
                max_tokens: None,
                max_wait: Duration::ZERO,
            },
            capacity: 1024,
            concurrency: 4,
        },
        at_once: 4,
        inside: 1024,
        cache: None,
        identity: None,
        public: false,
    }
}

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
}

impl Kit {
    pub(super) fn toys(names: &[&'static str]) -> Self {
        let builder = names.iter().fold(with_mergers(), |builder, name| {
            builder.service(spec(name, toy(name)))
        });
        Self { builder }
    }

    pub(super) fn and(self, name: &str, roles: Roles) -> Self {
        Self {
            builder: self.builder.service(spec(name, roles)),
        }
    }

    pub(super) fn alias(self, name: &str, source: &str) -> Self {
        Self {
            builder: self.builder.alias(name, source),
        }
    }

    pub(super) fn docs(self) -> Self {
        Self {
            builder: self.builder.collection("docs", Arc::new(Shelf::default())),
        }
    }

    pub(super) async fn serve(self) -> Server {
        Server::on(
            "127.0.0.1:0".parse().unwrap(),
            self.builder.build().unwrap(),
        )
        .await
    }
}

/// A server of this project on both wires, until it is dropped, with all its connections.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) runtime: Runtime,
    task: JoinHandle<Result<()>>,
}

impl Server {
    pub(super) async fn on(address: SocketAddr, runtime: Runtime) -> Self {
        let rest = TcpListener::bind(address).await.unwrap();
        let address = rest.local_addr().unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = ServerOptions {
            grpc_port: Some(grpc.local_addr().unwrap().port()),
            ..ServerOptions::default()
        };
        let app = App::new(Arc::new(runtime.clone()), options).unwrap();
        let listeners = Listeners {
            rest,
            grpc: Some(grpc),
        };
        let task = tokio::spawn(routir_server::serve(listeners, app, std::future::pending()));
        Self {
            address,
            runtime,
            task,
        }
    }

    pub(super) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it at once, as a process is killed.
    pub(super) async fn kill(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// How many requests it has answered, by endpoint.
    pub(super) fn answered(&self) -> BTreeMap<String, u64> {
        let metrics = self.runtime.metrics().encode();
        let lines = metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix("routir_requests_total{")?;
            let (labels, count) = rest.split_once("} ")?;
            let endpoint = labels.split("endpoint=\"").nth(1)?.split('"').next()?;
            Some((endpoint.to_owned(), count.parse::<u64>().ok()?))
        });
        let mut answered: BTreeMap<String, u64> = BTreeMap::new();
        for (endpoint, count) in lines.filter(|(endpoint, _)| endpoint != "avail") {
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

/// Chooses and sends as the proxy does, and no more.
struct Simple {
    registry: Registry,
    pools: Mutex<BTreeMap<Arc<str>, BTreeSet<Arc<str>>>>,
    http: Client<HttpConnector, Body>,
}

impl Simple {
    fn membership(&self, pool: Option<&str>) -> Membership {
        let pools = self.pools.lock();
        match pool {
            None => {
                let reserved = pools.values().flatten().cloned().collect();
                Membership::AllBut(Arc::new(reserved))
            }
            Some(pool) => match pools.get(pool) {
                Some(members) => Membership::Only(Arc::new(members.clone())),
                None => Membership::Unknown,
            },
        }
    }

    async fn send(&self, want: &Want, request: Request<Body>) -> Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut tried = Vec::new();
        while let Some(worker) = self.pick(want, &tried) {
            tried.push(worker.id());
            let _in_flight = worker.begin(&want.need);
            let mut request = Request::from_parts(head.clone(), Body::from(body.clone()));
            *request.uri_mut() = worker.uri(head.uri.path()).unwrap();
            let Ok(response) = self.http.request(request).await else {
                continue;
            };
            if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                continue;
            }
            let mut response = response.map(Body::new);
            let url = worker.url().parse().unwrap();
            response.headers_mut().insert("x-sie-worker", url);
            return Ok(response);
        }
        Err(Error::new(
            ErrorCode::Unavailable,
            "no worker can serve the request now",
        ))
    }
}

impl Carry for Simple {
    fn carry<'a>(
        &'a self,
        want: &'a Want,
        request: Request<Body>,
        _deadline: Instant,
    ) -> BoxFuture<'a, Result<Response<Body>>> {
        Box::pin(self.send(want, request))
    }
}

impl Fleet for Simple {
    fn hosts(&self, want: &Want) -> bool {
        self.pick(want, &[]).is_some()
    }

    fn pick(&self, want: &Want, tried: &[u64]) -> Option<Arc<Worker>> {
        let membership = self.membership(want.pool.as_deref());
        let workers = self.registry.workers();
        let policy = Policy {
            fill_first: false,
            spill: None,
        };
        let mut rng = fastrand::Rng::new();
        match choose(&workers, want, &membership, tried, policy, &mut rng) {
            Choice::Worker(worker) => Some(worker),
            Choice::None(_) => None,
        }
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
}

/// A router before workers.
pub(super) struct Stand {
    pub(super) base: String,
    pub(super) grpc: String,
    pub(super) runtime: Runtime,
    pub(super) registry: Registry,
    fleet: Arc<Simple>,
    pub(super) endpoints: Arc<Endpoints>,
    task: JoinHandle<()>,
}

impl Stand {
    pub(super) async fn before(workers: &[&Server]) -> Self {
        let registry = Registry::with(WorkerSettings {
            connect_timeout: Duration::from_secs(2),
            silence: Duration::from_secs(3),
            authorization: None,
            own: Arc::from("router"),
        });
        let urls = workers.iter().map(|server| server.base()).collect();
        registry.set(Source::Static, urls);
        let fleet = Arc::new(Simple {
            registry: registry.clone(),
            pools: Mutex::default(),
            http: Client::builder(TokioExecutor::new()).build_http(),
        });
        let runtime = with_mergers().build().unwrap();
        let offered = Arc::new(Offered::default());
        let options = ServerOptions {
            server_id: Arc::from("router"),
            imports: Some(Arc::clone(&offered) as Arc<dyn Imports>),
            ..ServerOptions::default()
        };
        let app = App::new(Arc::new(runtime.clone()), options).unwrap();
        let routir = RoutirSide {
            runtime: runtime.clone(),
            local: Arc::new(Here(Direct::new(&app).unwrap())),
            offered,
            server_id: Arc::from("router"),
        };
        let bounds = super::super::start::Bounds {
            max_body_bytes: 8 << 20,
            patience: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
            header_timeout: Duration::from_secs(20),
            key: None,
        };
        let fleet_of = Arc::clone(&fleet) as Arc<dyn Fleet>;
        let endpoints = Arc::new(Endpoints::start(&routir, bounds, &registry, fleet_of));
        let rest = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (base, grpc_base) = (rest.local_addr().unwrap(), grpc.local_addr().unwrap());
        let task = tokio::spawn(listen(rest, grpc, Arc::clone(&endpoints)));
        let stand = Self {
            base: format!("http://{base}"),
            grpc: format!("http://{grpc_base}"),
            runtime,
            registry,
            fleet,
            endpoints,
            task,
        };
        let count = workers.len();
        stand
            .until("all workers are there", |stand| {
                let workers = stand.registry.workers();
                let ready = workers.iter().filter(|worker| worker.is_routable());
                let offered = ready.filter(|worker| worker.facts().offer.is_some());
                offered.count() == count
            })
            .await;
        // The union follows a moment later.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stand
    }

    /// Reserves workers for a pool.
    pub(super) fn reserve(&self, pool: &str, workers: &[&Server]) {
        let members = workers.iter().map(|server| Arc::from(server.base()));
        let mut pools = self.fleet.pools.lock();
        pools.insert(Arc::from(pool), members.collect());
    }

    pub(super) async fn until(&self, what: &str, check: impl Fn(&Self) -> bool) {
        for _ in 0..400 {
            if check(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{what}");
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
    pub(super) async fn pipeline(
        &self,
        source: &str,
    ) -> std::result::Result<Vec<(String, f64)>, String> {
        let body = serde_json::json!({"pipeline": source, "query": "q", "collection": "docs"});
        let (status, told) = self.post("/pipeline", &body, &[]).await;
        match status {
            StatusCode::OK => Ok(ranking(&told)),
            _ => Err(told["error"].as_str().unwrap_or_default().to_owned()),
        }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.task.abort();
        self.registry.shutdown();
    }
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

/// What the router's front does of all this.
async fn listen(rest: TcpListener, grpc: TcpListener, endpoints: Arc<Endpoints>) {
    let placement = |request: &Request<Incoming>| {
        let named = |name: &str| {
            let value = request.headers().get(name)?.to_str().ok()?;
            Some(Arc::from(value))
        };
        Placement {
            pool: named("x-sie-pool"),
            profile: named("x-sie-machine-profile"),
        }
    };
    let side = Arc::clone(&endpoints.side);
    let answer = service_fn(move |request: Request<Incoming>| {
        let (side, placement) = (Arc::clone(&side), placement(&request));
        async move {
            let deadline = Instant::now() + Duration::from_secs(30);
            let answer = side.answer(request.map(Body::new), placement, deadline);
            Ok::<_, std::convert::Infallible>(answer.await)
        }
    });
    let calls = Arc::clone(&endpoints.calls);
    let call = service_fn(move |request: Request<Incoming>| {
        let (calls, placement) = (Arc::clone(&calls), placement(&request));
        async move {
            let answer = calls.answer(request.map(Body::new), placement);
            Ok::<_, std::convert::Infallible>(answer.await)
        }
    });
    let bounds = routir_listen::Bounds {
        io_timeout: Duration::from_secs(30),
        max_header_bytes: 65536,
        max_connections: 256,
        shutdown_grace: Duration::from_secs(1),
    };
    let forever = std::future::pending();
    routir_listen::serve((rest, answer), Some((grpc, call)), &bounds, forever).await;
}
