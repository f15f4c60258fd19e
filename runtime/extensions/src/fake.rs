//! For tests: a sandbox whose components are lines of text, a runtime that is a map, a disk that
//! fails when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{
    BoxFuture, Error, ErrorCode, ExtensionCheck, Hit, Host, HostDocuments, HostScore, HostSearch,
    ParamKind, ParamSpec, Params, ParamsSpec, Ranking, RequestContext, Result, Role, Roles,
    SearchEngine, SearchRequest, Tenant,
};
use routir_sandbox::Manifest;

use crate::admit::{Admission, Admitter, Code, Publisher, Service};
use crate::store::{Disk, LocalDisk};

/// Lets in what reads `component <name> <version> [crashes|invalid]`.
#[derive(Default)]
pub(crate) struct FakeAdmitter {
    pub(crate) running: AtomicUsize,
    pub(crate) most: AtomicUsize,
    pub(crate) asked: AtomicUsize,
    pub(crate) takes: Mutex<Duration>,
    /// Admits nobody, for a reason of the machine's.
    pub(crate) broken: AtomicBool,
}

impl Admitter for Arc<FakeAdmitter> {
    fn admit<'a>(
        &'a self,
        _: Option<&'a Tenant>,
        bytes: Arc<[u8]>,
        _: &'a ExtensionLimits,
        grants: &'a ExtensionGrants,
    ) -> BoxFuture<'a, Result<Admission>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(running, Ordering::SeqCst);
            let takes = *self.takes.lock();
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            self.running.fetch_sub(1, Ordering::SeqCst);
            if self.broken.load(Ordering::SeqCst) {
                return Err(Error::internal("no memory to compile with"));
            }
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            let words: Vec<_> = text.split_whitespace().collect();
            let ["component", name, version, manner @ ..] = words.as_slice() else {
                return Err(Error::invalid("the extension is refused; format: not wasm"));
            };
            if manner.contains(&"wasi") && !grants.wasi {
                let message = "the extension is refused; imports: wasi is not granted";
                return Err(Error::invalid(message));
            }
            let param = ParamSpec::new("k", ParamKind::Number, "how much");
            let defaults = serde_json::json!({"k": 60});
            Ok(Admission {
                manifest: Manifest {
                    name: (*name).to_owned(),
                    version: (*version).to_owned(),
                    description: "made for a test".to_owned(),
                    params: ParamsSpec::known(&[param]),
                    defaults: Params::from(defaults.as_object().unwrap().clone()),
                },
                roles: vec![Role::Search],
                sha256: crate::store::sha256(&bytes),
                size: bytes.len() as u64,
                checks: vec![ExtensionCheck {
                    name: "format",
                    passed: true,
                    detail: "fine".to_owned(),
                }],
                code: Arc::new(FakeCode {
                    version: (*version).to_owned(),
                    manner: manner.iter().map(|word| (*word).to_owned()).collect(),
                }),
            })
        })
    }
}

struct FakeCode {
    version: String,
    manner: Vec<String>,
}

impl Code for FakeCode {
    fn engines(&self, service: Service) -> Roles {
        let engine = FakeSearch {
            identity: service.identity,
            version: self.version.clone(),
            manner: self.manner.clone(),
        };
        Roles {
            search: Some(Arc::new(engine)),
            ..Roles::default()
        }
    }
}

/// Finds its own version.
struct FakeSearch {
    identity: Arc<str>,
    version: String,
    manner: Vec<String>,
}

impl SearchEngine for FakeSearch {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        let identity = &self.identity;
        let does = |what: &str| self.manner.iter().any(|word| word == what);
        let one = |_| {
            if does("crashes") {
                return Err(Error::engine(format!("extension `{identity}` crashed")));
            }
            if does("invalid") {
                return Err(Error::invalid("what is that supposed to mean"));
            }
            Ranking::from_hits(vec![Hit::new(self.version.as_str(), 1.0)])
        };
        let answers = batch.into_iter().map(one).collect();
        Box::pin(async move { answers })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::Open
    }
}

/// A runtime that is a map.
#[derive(Default)]
pub(crate) struct FakeRuntime {
    pub(crate) services: Mutex<BTreeMap<(String, String), Roles>>,
    pub(crate) taken: Mutex<BTreeSet<String>>,
    pub(crate) natives: Mutex<BTreeMap<String, Roles>>,
}

impl Publisher for Arc<FakeRuntime> {
    fn publish(&self, owner: &str, name: &str, engines: Roles) -> Result<()> {
        if self.taken.lock().contains(name) {
            return Err(Error::invalid(format!(
                "`{name}` is the name of a native service"
            )));
        }
        let key = (owner.to_owned(), name.to_owned());
        self.services.lock().insert(key, engines);
        Ok(())
    }

    fn withdraw(&self, owner: &str, name: &str) {
        let key = (owner.to_owned(), name.to_owned());
        self.services.lock().remove(&key);
    }

    fn granted(&self, _: &Tenant, service: &str) -> Option<Roles> {
        self.natives.lock().get(service).cloned()
    }
}

impl FakeRuntime {
    /// The version that answers under a name.
    pub(crate) async fn version(&self, owner: &str, name: &str) -> Option<String> {
        let key = (owner.to_owned(), name.to_owned());
        let roles = self.services.lock().get(&key).cloned()?;
        Some(match ask(&roles).await {
            Ok(version) => version,
            Err(error) => error.to_string(),
        })
    }
}

/// The id of the one document that a searcher finds.
pub(crate) async fn ask(roles: &Roles) -> Result<String> {
    let request = SearchRequest {
        query: Arc::from("q"),
        limit: 1,
        params: Params::default(),
        context: Arc::new(RequestContext::new("test")),
    };
    let search = Arc::clone(roles.search.as_ref().unwrap());
    let ranking = search.search(vec![request]).await.remove(0)?;
    Ok(ranking.hits()[0].doc.to_string())
}

/// A native searcher that finds its own name.
pub(crate) fn native(name: &str) -> Roles {
    let engine = FakeSearch {
        identity: Arc::from(name),
        version: name.to_owned(),
        manner: Vec::new(),
    };
    Roles {
        search: Some(Arc::new(engine)),
        ..Roles::default()
    }
}

/// What the disk does from some step on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is dead: no step happens any more, and the first of them only half.
    Crash,
    /// One step fails after it half happened.
    Once,
}

/// A disk that fails.
#[derive(Default)]
pub(crate) struct FaultyDisk {
    plan: Mutex<Option<(Fault, usize)>>,
}

impl FaultyDisk {
    /// Makes the `step`th step from here on fail, counted from 1.
    pub(crate) fn fail_after(&self, fault: Fault, step: usize) {
        *self.plan.lock() = Some((fault, step));
    }

    /// Whether the fault is still to come. Takes it away.
    pub(crate) fn mend(&self) -> bool {
        let plan = self.plan.lock().take();
        plan.is_some_and(|(_, left)| left > 0)
    }

    fn step(&self, half: impl FnOnce(), whole: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut plan = self.plan.lock();
        match &mut *plan {
            None => whole(),
            Some((_, left)) if *left > 0 => {
                *left -= 1;
                if *left == 0 {
                    half();
                    if matches!(*plan, Some((Fault::Once, _))) {
                        *plan = None;
                    }
                    return Err(io::Error::other("the disk failed"));
                }
                whole()
            }
            Some(_) => Err(io::Error::other("the process is dead")),
        }
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.step(|| {}, || LocalDisk.create_dir(path))
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let half = bytes.len() / 2;
        self.step(
            || drop(LocalDisk.create(path, &bytes[..half])),
            || LocalDisk.create(path, bytes),
        )
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|| {}, || LocalDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|| {}, || LocalDisk.remove(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step(|| {}, || LocalDisk.sync_dir(path))
    }
}

/// A runtime that is never asked.
pub(crate) struct NoHost;

impl Host for NoHost {
    fn search(
        &self,
        _: Arc<RequestContext>,
        requests: Vec<HostSearch>,
    ) -> BoxFuture<'static, Vec<Result<Arc<Ranking>>>> {
        Box::pin(async move { requests.iter().map(|_| Err(absent())).collect() })
    }

    fn score(
        &self,
        _: Arc<RequestContext>,
        requests: Vec<HostScore>,
    ) -> BoxFuture<'static, Vec<Result<Arc<[f64]>>>> {
        Box::pin(async move { requests.iter().map(|_| Err(absent())).collect() })
    }

    fn content(
        &self,
        _: Arc<RequestContext>,
        _: HostDocuments,
    ) -> BoxFuture<'static, Result<Vec<Option<Arc<str>>>>> {
        Box::pin(async { Err(absent()) })
    }
}

fn absent() -> Error {
    Error::new(ErrorCode::Unavailable, "there is no runtime")
}
