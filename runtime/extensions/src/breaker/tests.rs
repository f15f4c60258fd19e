//! Engines behind a breaker, with a fallback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use routir_config::OnFailure;
use routir_core::{
    BoxFuture, DecomposeEngine, DecomposeRequest, Error, ErrorCode, FuseEngine, FuseRequest, Hit,
    Metrics, ParamKind, ParamSpec, Params, ParamsSpec, Ranking, RequestContext, Result, Role,
    Roles, ScoreEngine, ScoreRequest, SearchEngine, SearchRequest,
};
use serde_json::json;

use super::{Fallback, Guard, Subject, guarded};
use crate::audit::{Audit, Rotation};

/// Plays all roles and answers its own name, or fails where the query says so.
struct Toy {
    name: &'static str,
    spec: ParamsSpec,
    in_place: bool,
    asked: AtomicUsize,
    params: Mutex<Option<Params>>,
}

impl Toy {
    fn new(name: &'static str, spec: ParamsSpec) -> Arc<Self> {
        Arc::new(Self {
            name,
            spec,
            in_place: name == "native",
            asked: AtomicUsize::new(0),
            params: Mutex::default(),
        })
    }

    fn roles(self: &Arc<Self>) -> Roles {
        Roles {
            search: Some(Arc::clone(self) as Arc<dyn SearchEngine>),
            score: Some(Arc::clone(self) as Arc<dyn ScoreEngine>),
            fuse: Some(Arc::clone(self) as Arc<dyn FuseEngine>),
            decompose: Some(Arc::clone(self) as Arc<dyn DecomposeEngine>),
            ..Roles::default()
        }
    }

    fn answer(&self, query: &str, params: &Params) -> Result<Ranking> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        *self.params.lock() = Some(params.clone());
        match (query.strip_prefix(self.name), query) {
            (Some(" crashes"), _) | (_, "all crash") => {
                Err(Error::engine(format!("extension `{}` crashed", self.name)))
            }
            (_, "busy") => Err(Error::new(ErrorCode::Overloaded, "the queue is full")),
            (_, "wrong") => Err(Error::invalid("no such thing")),
            _ => Ranking::from_hits(vec![Hit::new(self.name, 1.0)]),
        }
    }
}

impl SearchEngine for Toy {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        let answers = batch.iter().map(|it| self.answer(&it.query, &it.params));
        let mut answers: Vec<_> = answers.collect();
        if batch.iter().any(|it| &*it.query == "short") {
            answers.pop();
        }
        Box::pin(async move {
            if batch.iter().any(|it| &*it.query == "hangs") {
                std::future::pending::<()>().await;
            }
            answers
        })
    }

    fn params(&self) -> ParamsSpec {
        self.spec.clone()
    }

    fn prefix_stable(&self) -> bool {
        self.name == "extension"
    }
}

impl ScoreEngine for Toy {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        let one = |it: &ScoreRequest| {
            let name = self.name.len() as f64;
            self.answer(&it.query, &it.params).map(|_| vec![name])
        };
        let answers = batch.iter().map(one).collect();
        Box::pin(async move { answers })
    }

    fn params(&self) -> ParamsSpec {
        self.spec.clone()
    }
}

impl FuseEngine for Toy {
    fn fuse(&self, request: FuseRequest) -> BoxFuture<'_, Result<Ranking>> {
        let answer = self.answer(&request.query, &request.params);
        Box::pin(async move { answer })
    }

    fn params(&self) -> ParamsSpec {
        self.spec.clone()
    }

    fn computes_in_place(&self) -> bool {
        self.in_place
    }
}

impl DecomposeEngine for Toy {
    fn decompose(&self, batch: Vec<DecomposeRequest>) -> BoxFuture<'_, Vec<Result<Vec<Arc<str>>>>> {
        let one = |it: &DecomposeRequest| {
            let name = Arc::from(self.name);
            self.answer(&it.query, &it.params).map(|_| vec![name])
        };
        let answers = batch.iter().map(one).collect();
        Box::pin(async move { answers })
    }

    fn params(&self) -> ParamsSpec {
        self.spec.clone()
    }
}

struct World {
    extension: Arc<Toy>,
    native: Arc<Toy>,
    guard: Arc<Guard>,
    roles: Roles,
    _dir: tempfile::TempDir,
}

fn world(falls_back: bool, rules: &OnFailure) -> World {
    let extension = Toy::new("extension", ParamsSpec::Open);
    let known = [
        ParamSpec::new("k", ParamKind::Number, ""),
        ParamSpec::new("mode", ParamKind::Text, ""),
    ];
    let native = Toy::new("native", ParamsSpec::known(&known));
    let dir = tempfile::tempdir().unwrap();
    let metrics = Metrics::default();
    let audit = Arc::new(Audit::new(dir.path(), Rotation::default(), &metrics));
    let subject = Subject {
        owner: None,
        name: Arc::from("x"),
        version: "1.0.0".to_owned(),
        sha256: "ab".to_owned(),
        source: "config",
    };
    let guard = Guard::new(subject, rules, metrics, audit);
    let fallback = Fallback {
        name: Arc::from("bm25"),
        roles: native.roles(),
    };
    let fallback = falls_back.then_some(&fallback);
    World {
        roles: guarded(extension.roles(), &guard, fallback),
        extension,
        native,
        guard,
        _dir: dir,
    }
}

fn searches(queries: &[&str]) -> Vec<SearchRequest> {
    let params = json!({"k": 3, "mode": 7, "other": true});
    let params = Params::from(params.as_object().unwrap().clone());
    let requests = queries.iter().map(|query| SearchRequest {
        query: Arc::from(*query),
        limit: 1,
        params: params.clone(),
        context: Arc::new(RequestContext::new("test")),
    });
    requests.collect()
}

async fn search(world: &World, queries: &[&str]) -> Vec<String> {
    let engine = world.roles.search.as_ref().unwrap();
    let answers = engine.search(searches(queries)).await;
    let told = answers.into_iter().map(|answer| match answer {
        Ok(ranking) => ranking.hits()[0].doc.to_string(),
        Err(error) => error.to_string(),
    });
    told.collect()
}

#[tokio::test]
async fn each_request_of_a_batch_falls_back_alone() {
    let world = world(true, &OnFailure::default());
    let answers = search(
        &world,
        &["fine", "extension crashes", "busy", "wrong", "all crash"],
    );
    let both = "extension `extension` crashed: its fallback `bm25` failed too: extension `native` \
                crashed";
    let expected = [
        "extension",
        "native",
        "the queue is full",
        "no such thing",
        both,
    ];
    assert_eq!(answers.await, expected);
    // Only what is the extension's own fault was asked again.
    assert_eq!(world.native.asked.load(Ordering::SeqCst), 2);
    // With the arguments that the fallback understands.
    let params = world.native.params.lock().clone().unwrap();
    assert_eq!(json!(params.as_map()), json!({"k": 3}));
    let params = world.extension.params.lock().clone().unwrap();
    assert_eq!(params.as_map().len(), 3);
}

#[tokio::test]
async fn all_roles_fall_back() {
    let world = world(true, &OnFailure::default());
    let (query, params): (Arc<str>, _) = (Arc::from("extension crashes"), Params::default());
    let context = Arc::new(RequestContext::new("test"));
    let score = ScoreRequest {
        query: Arc::clone(&query),
        passages: vec![Arc::from("p")].into(),
        params: params.clone(),
        context: Arc::clone(&context),
    };
    let scores = world.roles.score.as_ref().unwrap().score(vec![score]).await;
    assert_eq!(*scores[0].as_ref().unwrap(), ["native".len() as f64]);
    let decompose = DecomposeRequest {
        query: Arc::clone(&query),
        limit: None,
        params: params.clone(),
        context: Arc::clone(&context),
    };
    let decomposer = world.roles.decompose.as_ref().unwrap();
    let made = decomposer.decompose(vec![decompose]).await;
    assert_eq!(&*made[0].as_ref().unwrap()[0], "native");
    let fuse = FuseRequest {
        query,
        rankings: Vec::new(),
        sources: Vec::new(),
        sub_queries: None,
        limit: None,
        params,
        context,
    };
    let merger = world.roles.fuse.as_ref().unwrap();
    // The native merger computes where it is polled; the extension promised not to.
    assert!(!merger.computes_in_place());
    let fused = merger.fuse(fuse).await.unwrap();
    assert_eq!(fused.hits()[0].doc.to_string(), "native");
}

#[tokio::test]
async fn a_larger_ranking_serves_a_smaller_one_only_if_both_engines_allow() {
    let alone = world(false, &OnFailure::default());
    assert!(alone.roles.search.as_ref().unwrap().prefix_stable());
    let backed = world(true, &OnFailure::default());
    assert!(!backed.roles.search.as_ref().unwrap().prefix_stable());
}

#[tokio::test]
async fn kept_out_it_is_not_asked_and_fails_closed() {
    let rules = OnFailure {
        trip_after: std::num::NonZeroU32::new(2),
        retry_after: 3600.0,
        fallback: None,
    };
    let world = world(false, &rules);
    // What is not its own fault, however often, changes nothing; one success forgives.
    for _ in 0..5 {
        search(&world, &["busy", "wrong"]).await;
    }
    search(&world, &["extension crashes", "fine", "extension crashes"]).await;
    assert!(!world.guard.is_tripped());
    search(&world, &["extension crashes"]).await;
    assert!(world.guard.is_tripped());
    let asked = world.extension.asked.load(Ordering::SeqCst);
    let engine = world.roles.search.as_ref().unwrap();
    let error = engine
        .search(searches(&["fine"]))
        .await
        .remove(0)
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(
        error
            .message()
            .starts_with("extension `x` is kept out after 2 failures")
    );
    assert!(error.retry_after().unwrap() > Duration::from_secs(3500));
    assert_eq!(world.extension.asked.load(Ordering::SeqCst), asked);
}

#[tokio::test]
async fn a_try_that_its_caller_leaves_makes_room_for_the_next() {
    let rules = OnFailure {
        trip_after: std::num::NonZeroU32::new(1),
        retry_after: 0.1,
        fallback: None,
    };
    let world = world(false, &rules);
    search(&world, &["extension crashes"]).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let left = tokio::time::timeout(Duration::from_millis(20), search(&world, &["hangs"])).await;
    assert!(left.is_err() && world.guard.is_tripped());
    // Of a batch, one is the try.
    let answers = search(&world, &["fine", "fine"]).await;
    assert_eq!(answers[0], "extension");
    assert!(
        answers[1].contains("it is being tried again now"),
        "{answers:?}"
    );
    assert!(!world.guard.is_tripped());
    assert_eq!(search(&world, &["fine"]).await, ["extension"]);
}

#[tokio::test]
async fn a_request_that_is_left_unanswered_is_a_failure() {
    let world = world(false, &OnFailure::default());
    let answers = search(&world, &["fine", "short"]).await;
    assert_eq!(
        answers,
        ["extension", "extension `x` left a request unanswered"]
    );
}

#[test]
fn the_report_says_what_the_fallback_can_do() {
    let roles = Roles {
        score: None,
        ..Toy::new("native", ParamsSpec::Open).roles()
    };
    let fallback = Fallback {
        name: Arc::from("bm25"),
        roles,
    };
    let check = fallback.check(&[Role::Search, Role::Score]);
    assert!(!check.passed);
    assert_eq!(
        check.detail,
        "`bm25` answers when it fails as search, but not as score"
    );
    assert!(fallback.plays_any(&[Role::Search, Role::Score]));
    assert!(!fallback.plays_any(&[Role::Score]));
}
