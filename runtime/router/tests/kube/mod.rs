//! A stand-in for a cluster's API server: objects of any kind with versions, watches as lines of
//! JSON, conflicts, expired versions; and ways to let it fail.

mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use serve::serve;

/// The API server.
pub(crate) struct Api {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    store: Mutex<Store>,
    /// Told the version after every change.
    changed: watch::Sender<u64>,
    /// Raised to end all watches.
    watches: watch::Sender<u64>,
}

#[derive(Default)]
struct Store {
    version: u64,
    /// By resource and name; there is one namespace.
    objects: BTreeMap<(String, String), Value>,
    log: Vec<Logged>,
    /// Watches from before this have expired.
    oldest: u64,
    forbidden: BTreeSet<String>,
    /// Answers to come instead of the real ones: method, resource, status.
    faults: Vec<(Method, String, u16)>,
    /// Verbs and resources that were asked for.
    asked: BTreeSet<(String, String)>,
}

#[derive(Clone)]
struct Logged {
    version: u64,
    resource: String,
    kind: &'static str,
    object: Value,
}

impl Api {
    /// Starts on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            store: Mutex::new(Store {
                version: 100,
                ..Store::default()
            }),
            changed: watch::Sender::new(100),
            watches: watch::Sender::new(0),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            serving: Mutex::new(Some(serving)),
        }
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let uri = format!("http://{}", self.address).parse().unwrap();
        Client::try_from(kube::Config::new(uri)).unwrap()
    }

    /// Goes away with all connections; what it knows stays.
    pub(crate) async fn stop(&self) {
        let serving = self.serving.lock().take();
        if let Some(serving) = serving {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// Comes back on the same port.
    pub(crate) async fn restart(&self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let serving = tokio::spawn(serve(listener, Arc::clone(&self.shared)));
        *self.serving.lock() = Some(serving);
    }

    /// Ends all watches, as a server does that rolls over.
    pub(crate) fn drop_watches(&self) {
        self.shared.watches.send_modify(|count| *count += 1);
    }

    /// Forgets the past: whoever watches from before now is told 410.
    pub(crate) fn expire_versions(&self) {
        let mut store = self.shared.store.lock();
        store.version += 1;
        store.oldest = store.version;
        store.log.clear();
        drop(store);
        self.drop_watches();
    }

    /// Refuses everything about a resource, or allows it again.
    pub(crate) fn forbid(&self, resource: &str, forbidden: bool) {
        let mut store = self.shared.store.lock();
        match forbidden {
            true => store.forbidden.insert(resource.to_owned()),
            false => store.forbidden.remove(resource),
        };
        drop(store);
        self.drop_watches();
    }

    /// Answers the next so many calls of a kind with a status.
    pub(crate) fn fail(&self, method: &Method, resource: &str, status: u16, times: usize) {
        let mut store = self.shared.store.lock();
        for _ in 0..times {
            let fault = (method.clone(), resource.to_owned(), status);
            store.faults.push(fault);
        }
    }

    /// Writes an object, whatever is there.
    pub(crate) fn put(&self, resource: &str, object: Value) {
        let mut store = self.shared.store.lock();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        store.write(resource, &name, object);
        let version = store.version;
        drop(store);
        self.shared.changed.send_replace(version);
    }

    /// Removes an object.
    pub(crate) fn remove(&self, resource: &str, name: &str) {
        let mut store = self.shared.store.lock();
        store.delete(resource, name);
        let version = store.version;
        drop(store);
        self.shared.changed.send_replace(version);
    }

    /// An object as it is.
    pub(crate) fn get(&self, resource: &str, name: &str) -> Option<Value> {
        let store = self.shared.store.lock();
        store
            .objects
            .get(&(resource.to_owned(), name.to_owned()))
            .cloned()
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, resource: &str) -> Vec<Value> {
        let store = self.shared.store.lock();
        let of_kind = store
            .objects
            .iter()
            .filter(|((kind, _), _)| kind == resource);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// What was asked so far: verb and resource.
    pub(crate) fn asked(&self) -> BTreeSet<(String, String)> {
        self.shared.store.lock().asked.clone()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.lock().take() {
            serving.abort();
        }
    }
}

impl Store {
    fn write(&mut self, resource: &str, name: &str, mut object: Value) -> Value {
        self.version += 1;
        let key = (resource.to_owned(), name.to_owned());
        let before = self.objects.get(&key);
        let uid = match before {
            Some(before) => before["metadata"]["uid"].clone(),
            None => json!(format!("uid-{}", self.version)),
        };
        let kind = match before {
            Some(_) => "MODIFIED",
            None => "ADDED",
        };
        object["metadata"]["uid"] = uid;
        object["metadata"]["namespace"] = json!("default");
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(key, object.clone());
        self.note(resource, kind, object.clone());
        object
    }

    fn delete(&mut self, resource: &str, name: &str) -> Option<Value> {
        let mut object = self
            .objects
            .remove(&(resource.to_owned(), name.to_owned()))?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.note(resource, "DELETED", object.clone());
        Some(object)
    }

    fn note(&mut self, resource: &str, kind: &'static str, object: Value) {
        self.log.push(Logged {
            version: self.version,
            resource: resource.to_owned(),
            kind,
            object,
        });
    }

    fn take_fault(&mut self, method: &Method, resource: &str) -> Option<u16> {
        let at = self
            .faults
            .iter()
            .position(|(m, r, _)| m == method && r == resource)?;
        Some(self.faults.remove(at).2)
    }
}
