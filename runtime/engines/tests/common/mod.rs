//! What the engine tests share: a home with a collection in memory, and builders.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses a part, and a helper is not seen as a test"
)]

use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use routir_compute::{Compute, ComputeSettings};
use routir_core::{
    BoxFuture, DocId, DocumentScan, Error, Hit, Host, HostDocuments, HostScore, HostSearch,
    Metrics, Params, Ranking, RequestContext, Result, Roles, ScoreRequest, SearchRequest,
    TextDocument,
};
use routir_engines::{
    BuildEnv, Collections, EnginePool, EngineSpec, ModelSettings, Purpose, SharedDevices,
    SharedFaiss, SharedModels, build, host,
};
use routir_remote::relay::Peers;
use serde_json::Value;

/// Documents in memory.
pub(crate) struct Corpus(Vec<(String, String)>);

impl DocumentScan for Corpus {
    fn stamp(&self) -> Result<String> {
        Ok(format!("{:?}", self.0))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn scan(&self, each: &mut dyn FnMut(TextDocument) -> ControlFlow<()>) -> Result<()> {
        for (id, text) in &self.0 {
            let (id, text) = (id.as_str().into(), text.as_str().into());
            if each(TextDocument {
                id,
                text,
                title: None,
                language: None,
            })
            .is_break()
            {
                break;
            }
        }
        Ok(())
    }
}

/// A folder of files with named collections.
pub(crate) struct Home {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) collections: Vec<(String, Arc<dyn DocumentScan>)>,
    /// What was reported while building.
    pub(crate) tasks: Mutex<Vec<String>>,
    pub(crate) models: SharedModels,
    pub(crate) faiss: SharedFaiss,
    pub(crate) devices: SharedDevices,
    pub(crate) metrics: Metrics,
    /// The runtime that engines ask.
    pub(crate) host: Option<Arc<FakeHost>>,
}

/// A runtime with the rankings of some services and the texts of some documents, which notes what it
/// was asked.
#[derive(Default)]
pub(crate) struct FakeHost {
    pub(crate) rankings: HashMap<&'static str, Vec<(&'static str, f64)>>,
    pub(crate) texts: HashMap<&'static str, &'static str>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Host for FakeHost {
    fn search(
        &self,
        context: Arc<RequestContext>,
        requests: Vec<HostSearch>,
    ) -> BoxFuture<'static, Vec<Result<Arc<Ranking>>>> {
        let answer = |request: HostSearch| {
            let HostSearch {
                pipeline,
                query,
                limit,
                params,
                collection,
            } = request;
            let params = Value::Object(params.as_map().clone());
            let chain = context.chain.join(">");
            let note = format!("{chain}: {pipeline}({query})%{limit} {params} {collection:?}");
            self.asked.lock().unwrap().push(note);
            let hits = self.rankings.get(pipeline.as_str());
            let hits = hits.ok_or_else(|| Error::invalid(format!("no service {pipeline}")))?;
            let hits = hits
                .iter()
                .map(|(id, score)| Hit::new(*id, *score))
                .collect();
            Ranking::top(hits, limit).map(Arc::new)
        };
        let answers = requests.into_iter().map(answer).collect();
        Box::pin(async move { answers })
    }

    fn score(
        &self,
        _context: Arc<RequestContext>,
        requests: Vec<HostScore>,
    ) -> BoxFuture<'static, Vec<Result<Arc<[f64]>>>> {
        let nobody = |_| Err(Error::internal("nobody asks for scores"));
        let answers = requests.into_iter().map(nobody).collect();
        Box::pin(async move { answers })
    }

    fn content(
        &self,
        context: Arc<RequestContext>,
        documents: HostDocuments,
    ) -> BoxFuture<'static, Result<Vec<Option<Arc<str>>>>> {
        let HostDocuments {
            collection,
            view,
            ids,
        } = documents;
        let chain = context.chain.join(">");
        let note = format!("{chain}: {collection} {view:?} {}", ids.len());
        self.asked.lock().unwrap().push(note);
        let text = |id: &DocId| self.texts.get(id.as_str()).map(|text| Arc::from(*text));
        let texts = ids.iter().map(text).collect();
        Box::pin(async move { Ok(texts) })
    }
}

impl Collections for Home {
    fn names(&self) -> Vec<String> {
        self.collections
            .iter()
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn scan(&self, collection: &str, view: Option<&str>) -> Result<Arc<dyn DocumentScan>> {
        match self.collections.iter().find(|(name, _)| name == collection) {
            Some((_, documents)) if view.is_none_or(|view| view == "text") => {
                Ok(Arc::clone(documents))
            }
            _ => Err(Error::invalid(format!(
                "there is no collection `{collection}` with view {view:?}"
            ))),
        }
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let compute = Compute::new(ComputeSettings {
            threads: Some(2),
            max_batch_tokens: 200,
            ..ComputeSettings::default()
        });
        let settings = ModelSettings {
            capacity: 1000,
            threads: 2,
            max_wait: Duration::from_millis(10),
        };
        let metrics = Metrics::default();
        Self {
            dir,
            collections: Vec::new(),
            tasks: Mutex::default(),
            models: SharedModels::new(compute, settings, metrics.clone()),
            faiss: SharedFaiss::new(None),
            devices: SharedDevices::default(),
            metrics,
            host: None,
        }
    }

    pub(crate) fn collection(mut self, name: &str, documents: &[(&str, &str)]) -> Self {
        let documents = documents
            .iter()
            .map(|(id, text)| ((*id).to_owned(), (*text).to_owned()));
        self.collections
            .push((name.to_owned(), Arc::new(Corpus(documents.collect()))));
        self
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn build(&self, engine: &str, config: &Value) -> Result<Roles> {
        self.build_for(Purpose::Serve, engine, config)
    }

    /// Checks the configuration of an engine that is stood in for.
    pub(crate) fn check(&self, engine: &str, config: &Value) -> Result<Roles> {
        let stood_in = Cell::new(false);
        let roles = self.build_for(Purpose::Check(&stood_in), engine, config);
        assert!(roles.is_err() || stood_in.get(), "{engine} is no stand-in");
        roles
    }

    /// Checks the configuration of an engine, whether it is stood in for or not.
    pub(crate) fn try_out(&self, engine: &str, config: &Value) -> Result<Roles> {
        self.build_for(Purpose::Check(&Cell::new(false)), engine, config)
    }

    /// Hosts an encoder without a service.
    pub(crate) fn host(&self, engine: &str, config: &Value) -> Result<()> {
        self.with_env(Purpose::Serve, engine, config, host)
    }

    fn build_for(&self, purpose: Purpose<'_>, engine: &str, config: &Value) -> Result<Roles> {
        self.with_env(purpose, engine, config, build)
    }

    fn with_env<T>(
        &self,
        purpose: Purpose<'_>,
        engine: &str,
        config: &Value,
        make: impl Fn(EngineSpec<'_>, &BuildEnv<'_>) -> Result<T>,
    ) -> Result<T> {
        let resolve = |path: &str| -> PathBuf { self.dir.path().join(path) };
        let env = BuildEnv {
            purpose,
            cache_dir: self.dir.path().join("cache"),
            resolve_path: &resolve,
            collections: self,
            progress: &|progress| {
                assert_eq!(progress.service, "svc");
                self.tasks.lock().unwrap().push(progress.task.to_owned());
            },
            pool: EnginePool::new(2),
            models: &self.models,
            faiss: &self.faiss,
            devices: &self.devices,
            host: self.host.clone().map(|host| host as Arc<dyn Host>),
            peers: &Peers::default(),
        };
        make(
            EngineSpec {
                name: "svc",
                engine,
                config: config.as_object().unwrap(),
            },
            &env,
        )
    }

    /// The message with which building fails.
    pub(crate) fn refusal(&self, engine: &str, config: &Value) -> String {
        match self.build(engine, config) {
            Ok(_) => panic!("{engine} was built of {config}"),
            Err(error) => error.to_string(),
        }
    }
}

pub(crate) fn ask(query: &str, limit: usize) -> SearchRequest {
    SearchRequest {
        query: query.into(),
        limit,
        params: Params::default(),
        context: Arc::default(),
    }
}

pub(crate) fn params(params: &Value) -> Params {
    Params::from(params.as_object().cloned().unwrap())
}

pub(crate) fn ask_with(query: &str, limit: usize, params: &Value) -> SearchRequest {
    SearchRequest {
        params: self::params(params),
        ..ask(query, limit)
    }
}

pub(crate) async fn search(roles: &Roles, request: SearchRequest) -> Result<Ranking> {
    let searcher = roles.search.as_ref().unwrap();
    searcher.search(vec![request]).await.remove(0)
}

pub(crate) async fn score(roles: &Roles, request: ScoreRequest) -> Result<Vec<f64>> {
    let scorer = roles.score.as_ref().unwrap();
    scorer.score(vec![request]).await.remove(0)
}

pub(crate) fn ids(ranking: &Ranking) -> Vec<&str> {
    ranking.hits().iter().map(|hit| hit.doc.as_str()).collect()
}

pub(crate) fn score_request(query: &str, passages: &[&str]) -> ScoreRequest {
    ScoreRequest {
        query: query.into(),
        passages: passages.iter().map(|text| (*text).into()).collect(),
        params: Params::default(),
        context: Arc::default(),
    }
}

/// A folder of the checkout's cache, such as `models/tiny/causal`; `None`, told loudly, when it was
/// not set up.
pub(crate) fn cached(folder: &str) -> Option<PathBuf> {
    let checkout = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = checkout.join(".cache").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    // Not `eprintln!`, which the runner hides when the test passes.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: there is no {}; run configs/models/setup.sh and tests/models/tiny.py",
        path.display()
    );
    None
}

/// A tiny model with what it must answer; `None`, told loudly, when it was not set up or ONNX Runtime
/// is not there.
pub(crate) fn tiny(home: &Home, name: &str) -> Option<(String, Value)> {
    let folder = cached(&format!("models/tiny/{name}"))?;
    if let Err(why) = home.models.compute().runtime() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: what needs ONNX Runtime: {why}");
        return None;
    }
    let expected = fs::read(folder.join("expected.json")).unwrap();
    let folder = folder.to_str().unwrap().to_owned();
    Some((folder, serde_json::from_slice(&expected).unwrap()))
}
