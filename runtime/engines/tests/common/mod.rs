//! What the engine tests share: a home with a collection in memory, and builders.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses a part, and a helper is not seen as a test"
)]

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use routir_core::{Document, DocumentScan, Error, Params, Ranking, Result, Roles, SearchRequest};
use routir_engines::{BuildEnv, Collections, EnginePool, EngineSpec, build};
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

    fn scan(&self, each: &mut dyn FnMut(Document) -> ControlFlow<()>) -> Result<()> {
        for (id, text) in &self.0 {
            let (id, text) = (id.as_str().into(), text.as_str().into());
            if each(Document {
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
        Self {
            dir,
            collections: Vec::new(),
            tasks: Mutex::default(),
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
        fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    pub(crate) fn build(&self, engine: &str, config: &Value) -> Result<Roles> {
        let resolve = |path: &str| -> PathBuf { self.dir.path().join(path) };
        let env = BuildEnv {
            cache_dir: self.dir.path().join("cache"),
            resolve_path: &resolve,
            collections: self,
            progress: &|progress| {
                assert_eq!(progress.service, "svc");
                self.tasks.lock().unwrap().push(progress.task.to_owned());
            },
            pool: EnginePool::new(2),
        };
        build(
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

pub(crate) fn ids(ranking: &Ranking) -> Vec<&str> {
    ranking.hits().iter().map(|hit| hit.doc.as_str()).collect()
}
