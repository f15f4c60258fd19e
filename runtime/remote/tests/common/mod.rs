//! Servers of this project in the test's own process, and imports of them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test uses a part, and outside a test function clippy does not see that this is a test"
)]

#[path = "../../../../tests/oracle/mod.rs"]
pub mod oracle;
#[path = "../../../../tests/oracle/spec.rs"]
mod service;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use oracle::shelf::Shelf;
use routir_core::{ContentSource, Imports as _, Result, Roles};
use routir_exec::{Imported, PipelineCall, Runtime, RuntimeSettings};
use routir_remote::relay::{
    ImportSettings, Importing, Imports, PeerSettings, Peers, Publish, RelayCache, Transport, Union,
};
use routir_server::{App, Listeners, ServerOptions, serve};
pub use service::spec;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A runtime of toys, with the collection `docs` if it is given one.
pub fn runtime(toys: &[&'static str], shelf: Option<Arc<Shelf>>) -> Runtime {
    let services = toys.iter().map(|name| (*name, oracle::toy(name)));
    runtime_of(services.collect(), shelf)
}

pub fn runtime_of(services: Vec<(&str, Roles)>, shelf: Option<Arc<Shelf>>) -> Runtime {
    let mut builder = Runtime::builder(RuntimeSettings::default());
    for (name, roles) in services {
        builder = builder.service(spec(name, roles));
    }
    if let Some(shelf) = shelf {
        builder = builder.collection("docs", shelf);
    }
    builder.build().unwrap()
}

/// A server that runs until it is dropped, with all its connections.
pub struct Server {
    pub address: SocketAddr,
    task: JoinHandle<Result<()>>,
}

impl Server {
    pub async fn start(runtime: &Runtime, options: ServerOptions) -> Self {
        Self::on("127.0.0.1:0".parse().unwrap(), runtime, options).await
    }

    /// On an address where one was before.
    pub async fn on(address: SocketAddr, runtime: &Runtime, options: ServerOptions) -> Self {
        let rest = TcpListener::bind(address).await.unwrap();
        Self::of(Listeners { rest, grpc: None }, runtime, options)
    }

    /// Over REST and gRPC.
    pub async fn with_grpc(runtime: &Runtime) -> Self {
        let rest = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = ServerOptions {
            grpc_port: Some(grpc.local_addr().unwrap().port()),
            ..ServerOptions::default()
        };
        let grpc = Some(grpc);
        Self::of(Listeners { rest, grpc }, runtime, options)
    }

    fn of(listeners: Listeners, runtime: &Runtime, options: ServerOptions) -> Self {
        let app = App::new(Arc::new(runtime.clone()), options).unwrap();
        let address = listeners.rest.local_addr().unwrap();
        let task = tokio::spawn(serve(listeners, app, std::future::pending()));
        Self { address, task }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it at once, as a process is killed.
    pub async fn kill(mut self) -> SocketAddr {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn peer(base: &str) -> PeerSettings {
    PeerSettings {
        retries: 1,
        transport: Transport::Rest,
        ..PeerSettings::new(base)
    }
}

pub fn import(base: &str) -> ImportSettings {
    ImportSettings {
        peer: peer(base),
        extras: serde_json::Map::new(),
        required: false,
        refresh: Duration::from_millis(250),
    }
}

/// A runtime that imports, and its imports.
pub struct Front {
    pub runtime: Runtime,
    pub imports: Arc<Imports>,
    pub peers: Arc<Peers>,
    pub left: Arc<Mutex<Vec<String>>>,
    _watch: Importing,
}

impl Front {
    pub async fn new(runtime: Runtime, imports: Vec<ImportSettings>) -> Self {
        Self::with(runtime, imports, Arc::default(), None).await
    }

    pub async fn with(
        runtime: Runtime,
        imports: Vec<ImportSettings>,
        peers: Arc<Peers>,
        cache: Option<RelayCache>,
    ) -> Self {
        let imports = Imports::new(imports, &peers).map_err(|(_, why)| why);
        let imports = Arc::new(imports.unwrap());
        if let Some(cache) = cache {
            imports.keep_documents(cache);
        }
        let left = Arc::new(Mutex::new(Vec::new()));
        let publish: Arc<Publish> = {
            let (runtime, left) = (runtime.clone(), Arc::clone(&left));
            Arc::new(move |union: &Union| {
                let services = union.services.iter();
                let collections = union.collections.iter();
                let not_taken = runtime.set_imports(Imported {
                    services: services
                        .map(|(name, roles)| spec(name, roles.clone()))
                        .collect(),
                    collections: collections
                        .map(|(name, it)| {
                            (Arc::clone(name), Arc::clone(it) as Arc<dyn ContentSource>)
                        })
                        .collect(),
                    aliases: BTreeMap::new(),
                });
                let lines: Vec<_> = not_taken
                    .iter()
                    .map(|it| format!("{}: {}", it.name, it.why))
                    .collect();
                *left.lock().unwrap() = lines.clone();
                lines
            })
        };
        imports.discover(&*publish).await;
        let watch = imports.watch(&publish);
        Self {
            runtime,
            imports,
            peers,
            left,
            _watch: watch,
        }
    }

    /// Options of a server that offers it.
    pub fn options(&self) -> ServerOptions {
        ServerOptions {
            server_id: Arc::clone(self.peers.id()),
            imports: Some(Arc::clone(&self.imports) as Arc<dyn routir_core::Imports>),
            ..ServerOptions::default()
        }
    }

    pub async fn search(&self, pipeline: &str) -> Result<Vec<(String, f64)>> {
        search(&self.runtime, pipeline).await
    }

    /// Waits until its imports are as `check` wants them.
    pub async fn until(&self, what: &str, check: impl Fn(&Self) -> bool) {
        for _ in 0..400 {
            if check(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{what}: {:?}", self.imports.status());
    }

    pub fn ready(&self) -> Vec<bool> {
        let status = self.imports.status();
        status.into_iter().map(|it| it.ready).collect()
    }

    pub fn services(&self) -> Vec<String> {
        self.runtime
            .catalog()
            .services
            .keys()
            .map(ToString::to_string)
            .collect()
    }
}

pub async fn search(runtime: &Runtime, pipeline: &str) -> Result<Vec<(String, f64)>> {
    let call = PipelineCall {
        pipeline: pipeline.to_owned(),
        query: Arc::from("q"),
        collection: Some("docs".to_owned()),
        ..PipelineCall::default()
    };
    let answer = runtime.pipeline(call).await?;
    let hits = answer.ranking.hits().iter();
    Ok(hits.map(|hit| (hit.doc.to_string(), hit.score)).collect())
}
