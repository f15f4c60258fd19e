//! A server for one test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use routir_core::{ContentSource, Result, Roles};
use routir_exec::{Runtime, RuntimeSettings};
use routir_proto::v1::routir_client::RoutirClient;
use routir_server::{App, Listeners, ServerOptions, TenantKeys, serve};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

use crate::client::{Bytes, Connection, Response};
use crate::engines::{FirstWins, Probe, Scorer, Searcher, Shelf, Words};
use crate::spec::spec;

/// A server that runs, and what its engines show.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Where gRPC is served, for a server of [`Server::with_grpc`].
    pub(crate) grpc: Option<SocketAddr>,
    pub(crate) probe: Arc<Probe>,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) ended: JoinHandle<Result<()>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts a server with options of the test's own.
    pub(crate) async fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        Self::start_on(None, change).await
    }

    /// As [`Server::with`], with what the server's engines show.
    pub(crate) async fn with_probe(change: impl FnOnce(&mut ServerOptions, &Arc<Probe>)) -> Self {
        let probe = Arc::new(Probe::default());
        let shown = Arc::clone(&probe);
        Self::start_showing(probe, None, |options| change(options, &shown)).await
    }

    /// As [`Server::with`], over gRPC too.
    pub(crate) async fn with_grpc(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(Some(grpc), change).await
    }

    async fn start_on(grpc: Option<TcpListener>, change: impl FnOnce(&mut ServerOptions)) -> Self {
        Self::start_showing(Arc::default(), grpc, change).await
    }

    async fn start_showing(
        probe: Arc<Probe>,
        grpc: Option<TcpListener>,
        change: impl FnOnce(&mut ServerOptions),
    ) -> Self {
        let grpc_address = grpc.as_ref().map(|grpc| grpc.local_addr().unwrap());
        let mut options = ServerOptions {
            version: "1.2.3".to_owned(),
            grpc_port: grpc_address.map(|address| address.port()),
            ..ServerOptions::default()
        };
        change(&mut options);
        let runtime = runtime(&probe, &options.tenants);
        let app = App::new(Arc::new(runtime), options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let listeners = Listeners {
            rest: listener,
            grpc,
        };
        let ended = tokio::spawn(serve(listeners, app, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            grpc: grpc_address,
            probe,
            stop,
            ended,
        }
    }

    /// A connection over gRPC.
    pub(crate) async fn channel(&self) -> Channel {
        let address = self.grpc.expect("the server was started with gRPC");
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// A client over gRPC.
    pub(crate) async fn client(&self) -> RoutirClient<Channel> {
        RoutirClient::new(self.channel().await)
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn call(&self, request: &str, headers: &str, body: &[u8]) -> Response {
        let mut connection = self.connect().await;
        connection.request(request, headers, body).await;
        connection.read().await.expect("the server answers")
    }

    /// One request on a connection of its own, whose answer is no text.
    pub(crate) async fn bytes(&self, request: &str, headers: &str, body: &[u8]) -> Bytes {
        let mut connection = self.connect().await;
        connection.request(request, headers, body).await;
        connection.read_bytes().await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.call(&format!("GET {path}"), "", b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Response {
        self.call(&format!("POST {path}"), "", body.as_bytes())
            .await
    }

    /// The JSON that answers a request which must succeed.
    pub(crate) async fn ok(&self, path: &str, body: &str) -> Value {
        let response = self.post(path, body).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }

    /// The text of an error.
    pub(crate) async fn refused(&self, path: &str, body: &str, status: u16) -> String {
        self.post(path, body).await.error(status)
    }

    /// Waits until `/metrics` holds a line.
    pub(crate) async fn until_metric(&self, line: &str) {
        for _ in 0..500 {
            if self
                .get("/metrics")
                .await
                .body
                .lines()
                .any(|other| other == line)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no `{line}` in\n{}", self.get("/metrics").await.body);
    }
}

fn runtime(probe: &Arc<Probe>, tenants: &[TenantKeys]) -> Runtime {
    let service = |name: &str, roles| {
        let mut spec = spec(name, roles);
        spec.batch.policy.max_requests = 8;
        (spec.batch.capacity, spec.inside) = (64, 64);
        spec
    };
    let builder = Runtime::builder(RuntimeSettings::default());
    let tenants = tenants.iter().map(|keys| Arc::clone(&keys.tenant));
    tenants
        .fold(builder, |builder, tenant| builder.tenant(tenant))
        .service(service(
            "seek",
            Roles {
                search: Some(Arc::new(Searcher(Arc::clone(probe)))),
                ..Roles::default()
            },
        ))
        .service(service(
            "length",
            Roles {
                score: Some(Arc::new(Scorer)),
                ..Roles::default()
            },
        ))
        .service(service(
            "First",
            Roles {
                fuse: Some(Arc::new(FirstWins)),
                ..Roles::default()
            },
        ))
        .service(service(
            "words",
            Roles {
                decompose: Some(Arc::new(Words)),
                ..Roles::default()
            },
        ))
        .collection("shelf", Arc::new(Shelf) as Arc<dyn ContentSource>)
        .alias("both", "{seek, seek}First%4")
        .build()
        .unwrap()
}
