//! Toy engines that say what they were asked, and a collection that answers from memory.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "outside a test function clippy does not see that this is a test"
)]

pub mod guest;
#[path = "../../../../tests/oracle/spec.rs"]
mod service;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use routir_cache::Backing;
use routir_core::{
    Batching, BoxFuture, CollectionInfo, ContentSource, DecomposeEngine, DecomposeRequest, DocId,
    Document, Error, ErrorCode, FuseEngine, FuseRequest, Hit, ParamKind, ParamSpec, Params,
    ParamsSpec, Payload, Ranking, RequestContext, Result, Roles, ScoreEngine, ScoreRequest,
    SearchEngine, SearchRequest, ViewKind,
};
use routir_exec::{
    CacheSpec, PipelineAnswer, PipelineCall, RunOptions, Runtime, RuntimeBuilder, RuntimeSettings,
    ServiceSpec,
};

/// Answers `<name>-<query>-1`, `-2`, … so that a hit tells who found it for which query; or the
/// documents it was given.
#[derive(Default)]
pub struct Searcher {
    pub fixed: Option<Vec<(&'static str, f64)>>,
    pub prefix: String,
    pub asked: Mutex<Vec<SearchRequest>>,
    pub fails: bool,
    pub hangs: bool,
    pub prefix_stable: bool,
    pub batching: Batching,
    pub batches: Mutex<Vec<usize>>,
    pub running: Arc<AtomicUsize>,
}

impl Searcher {
    pub fn fixed(hits: &[(&'static str, f64)]) -> Arc<Self> {
        Arc::new(Self {
            fixed: Some(hits.to_vec()),
            ..Self::default()
        })
    }

    pub fn named(prefix: &str) -> Arc<Self> {
        Arc::new(Self {
            prefix: prefix.to_owned(),
            ..Self::default()
        })
    }

    pub fn queries(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|request| request.query.to_string())
            .collect()
    }

    fn answer(&self, request: &SearchRequest) -> Result<Ranking> {
        if self.fails {
            return Err(Error::engine("the index is on fire"));
        }
        let hits = match &self.fixed {
            Some(hits) => hits
                .iter()
                .map(|(doc, score)| Hit::new(*doc, *score))
                .collect(),
            None => (1..=request.limit.min(100))
                .map(|rank| {
                    let doc = format!("{}-{}-{rank}", self.prefix, request.query);
                    Hit::new(doc, 1.0 / rank as f64)
                })
                .collect(),
        };
        Ranking::from_hits(hits)
    }
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl SearchEngine for Searcher {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        self.asked.lock().unwrap().extend(batch.iter().cloned());
        self.batches.lock().unwrap().push(batch.len());
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(Arc::clone(&self.running));
        Box::pin(async move {
            let _running = running;
            if self.hangs {
                std::future::pending::<()>().await;
            }
            tokio::task::yield_now().await;
            batch.iter().map(|request| self.answer(request)).collect()
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::known(&[
            ParamSpec::new("subset", ParamKind::Text, ""),
            ParamSpec::new("depth", ParamKind::Count, ""),
        ])
    }

    fn prefix_stable(&self) -> bool {
        self.prefix_stable
    }

    fn batching(&self) -> Batching {
        self.batching
    }
}

/// Scores a passage by the number in its text, plus the length of the query in hundredths.
#[derive(Default)]
pub struct Scorer {
    pub sign: f64,
    pub asked: Mutex<Vec<ScoreRequest>>,
    pub nan: bool,
    pub short: bool,
}

impl Scorer {
    pub fn new(sign: f64) -> Arc<Self> {
        Arc::new(Self {
            sign,
            ..Self::default()
        })
    }
}

impl ScoreEngine for Scorer {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        self.asked.lock().unwrap().extend(batch.iter().cloned());
        Box::pin(async move {
            let score = |request: &ScoreRequest| {
                let texts = request.passages.texts().unwrap();
                let mut scores: Vec<f64> = texts
                    .iter()
                    .map(|text| {
                        let number: f64 = text.rsplit(' ').next().unwrap().parse().unwrap();
                        self.sign * number + request.query.len() as f64 / 100.0
                    })
                    .collect();
                if self.nan {
                    scores[0] = f64::NAN;
                }
                if self.short {
                    scores.pop();
                }
                Ok(scores)
            };
            batch.iter().map(score).collect()
        })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::known(&[ParamSpec::new("prompt", ParamKind::Text, "")])
    }
}

/// Sums scores.
#[derive(Default)]
pub struct Summer {
    pub asked: Mutex<Vec<FuseRequest>>,
}

impl FuseEngine for Summer {
    fn fuse(&self, request: FuseRequest) -> BoxFuture<'_, Result<Ranking>> {
        self.asked.lock().unwrap().push(request.clone());
        let mut sums: BTreeMap<DocId, f64> = BTreeMap::new();
        for hit in request.rankings.iter().flat_map(|ranking| ranking.hits()) {
            *sums.entry(hit.doc.clone()).or_default() += hit.score;
        }
        let hits = sums
            .into_iter()
            .map(|(doc, score)| Hit { doc, score })
            .collect();
        Box::pin(async move { Ranking::from_hits(hits) })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::known(&[ParamSpec::new("weights", ParamKind::Numbers, "")])
    }
}

/// Answers the sub-queries it was given; `*` stands for the query itself.
pub struct Expander(pub Vec<&'static str>);

impl DecomposeEngine for Expander {
    fn decompose(&self, batch: Vec<DecomposeRequest>) -> BoxFuture<'_, Vec<Result<Vec<Arc<str>>>>> {
        let answer = |request: DecomposeRequest| {
            let one = |text: &&str| match *text {
                "*" => Arc::clone(&request.query),
                text => Arc::from(text),
            };
            Ok(self.0.iter().map(one).collect())
        };
        let answers = batch.into_iter().map(answer).collect();
        Box::pin(async move { answers })
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }
}

/// Documents from memory; the text of document `x` in view `v` is `v of x 7` when its number is 7.
pub struct Library {
    pub numbers: HashMap<&'static str, u32>,
    pub fetched: Mutex<Vec<String>>,
}

impl Library {
    pub fn new(numbers: &[(&'static str, u32)]) -> Arc<Self> {
        let numbers = numbers.iter().copied().collect();
        Arc::new(Self {
            numbers,
            fetched: Mutex::default(),
        })
    }
}

impl ContentSource for Library {
    fn info(&self) -> CollectionInfo {
        let views = ["text", "notes"].map(|view| (Arc::from(view), ViewKind::Text));
        CollectionInfo {
            views: views.into(),
            default_view: Arc::from("text"),
        }
    }

    fn fetch<'a>(
        &'a self,
        view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        // Fetching in another order than asked is a source's right.
        self.fetched
            .lock()
            .unwrap()
            .extend(ids.iter().map(ToString::to_string));
        let one = |id: &DocId| {
            let number = self.numbers.get(id.as_str()).ok_or_else(|| {
                Error::new(ErrorCode::UnknownDocument, format!("ID {id} is not found."))
            })?;
            let text = Arc::from(format!("{} of {id} {number}", view.unwrap_or("text")));
            Ok(Arc::new(Document {
                id: id.clone(),
                payload: Payload::Text(text),
                title: None,
                language: None,
            }))
        };
        let found = ids.iter().map(one).collect();
        Box::pin(async move { Ok(found) })
    }
}

pub fn searcher(engine: &Arc<Searcher>) -> Roles {
    Roles {
        search: Some(Arc::clone(engine) as Arc<dyn SearchEngine>),
        ..Roles::default()
    }
}

pub fn scorer(engine: &Arc<Scorer>) -> Roles {
    Roles {
        score: Some(Arc::clone(engine) as Arc<dyn ScoreEngine>),
        ..Roles::default()
    }
}

pub fn merger(engine: &Arc<Summer>) -> Roles {
    Roles {
        fuse: Some(Arc::clone(engine) as Arc<dyn FuseEngine>),
        ..Roles::default()
    }
}

pub fn expander(sub_queries: &[&'static str]) -> Roles {
    Roles {
        decompose: Some(Arc::new(Expander(sub_queries.to_vec()))),
        ..Roles::default()
    }
}

pub fn spec(name: &str, roles: Roles) -> ServiceSpec {
    let mut spec = service::spec(name, roles);
    (spec.batch.capacity, spec.inside) = (64, 64);
    spec
}

/// In memory.
pub fn kept_here() -> Backing {
    Backing::Memory {
        capacity: NonZeroUsize::new(100).unwrap(),
        ttl: Duration::from_secs(600),
    }
}

pub fn kept(mut spec: ServiceSpec, key_fields: routir_exec::KeyFields) -> ServiceSpec {
    spec.cache = Some(CacheSpec {
        backing: kept_here(),
        key_fields,
        scores: false,
    });
    spec
}

pub fn builder() -> RuntimeBuilder {
    Runtime::builder(RuntimeSettings::default())
}

pub fn call(pipeline: &str) -> PipelineCall {
    PipelineCall {
        pipeline: pipeline.to_owned(),
        query: Arc::from("q"),
        ..PipelineCall::default()
    }
}

pub fn over_docs(pipeline: &str) -> PipelineCall {
    PipelineCall {
        collection: Some("docs".to_owned()),
        ..call(pipeline)
    }
}

pub fn with_kwargs(mut call: PipelineCall, stage: &str, params: serde_json::Value) -> PipelineCall {
    let serde_json::Value::Object(map) = params else {
        panic!("arguments are an object")
    };
    call.runtime_kwargs
        .insert(stage.to_owned(), Params::from(map));
    call
}

pub fn with_options(mut call: PipelineCall, options: RunOptions) -> PipelineCall {
    call.options = options;
    call
}

pub fn context() -> RequestContext {
    RequestContext::new("test")
}

pub async fn run(runtime: &Runtime, call: PipelineCall) -> Result<PipelineAnswer> {
    runtime.pipeline(call).await
}

pub fn docs(answer: &PipelineAnswer) -> Vec<&str> {
    answer
        .ranking
        .hits()
        .iter()
        .map(|hit| hit.doc.as_str())
        .collect()
}

pub fn hits(answer: &PipelineAnswer) -> Vec<(&str, f64)> {
    answer
        .ranking
        .hits()
        .iter()
        .map(|hit| (hit.doc.as_str(), hit.score))
        .collect()
}
