//! Engines behind a breaker, with another service to fall back on.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use routir_core::{
    Batching, BoxFuture, DecomposeEngine, DecomposeRequest, Error, ExtensionCheck, FuseEngine,
    FuseRequest, Params, ParamsSpec, Ranking, Result, Role, Roles, ScoreEngine, ScoreRequest,
    SearchEngine, SearchRequest, ViewKind,
};
use serde_json::Map;

use super::Guard;

/// The service that answers in an extension's place.
#[derive(Clone)]
pub(crate) struct Fallback {
    /// The service's name.
    pub(crate) name: Arc<str>,
    /// Its engine.
    pub(crate) roles: Roles,
}

impl Fallback {
    fn plays(&self, role: Role) -> bool {
        match role {
            Role::Search => self.roles.search.is_some(),
            Role::Score => self.roles.score.is_some(),
            Role::Fuse => self.roles.fuse.is_some(),
            Role::DecomposeQuery => self.roles.decompose.is_some(),
        }
    }

    /// Whether it can play one of an extension's roles.
    pub(crate) fn plays_any(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.plays(*role))
    }

    /// For the report: which of an extension's roles it can play.
    pub(crate) fn check(&self, roles: &[Role]) -> ExtensionCheck {
        let names = |roles: Vec<&Role>| {
            let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
            names.join(", ")
        };
        let name = &self.name;
        let (played, missing): (Vec<_>, Vec<_>) = roles.iter().partition(|role| self.plays(**role));
        let detail = match (played.is_empty(), missing.is_empty()) {
            (_, true) => format!("`{name}` answers when it fails"),
            (true, false) => format!("`{name}` plays none of its roles; a call that fails, fails"),
            (false, false) => format!(
                "`{name}` answers when it fails as {}, but not as {}",
                names(played),
                names(missing.clone())
            ),
        };
        ExtensionCheck {
            name: "fallback",
            passed: missing.is_empty(),
            detail,
        }
    }
}

/// `roles` behind `guard`. A role that the fallback does not play fails closed.
pub(crate) fn guarded(roles: Roles, guard: &Arc<Guard>, fallback: Option<&Fallback>) -> Roles {
    fn one<E: ?Sized>(
        engine: Option<Arc<E>>,
        guard: &Arc<Guard>,
        fallback: Option<(Arc<str>, Arc<E>)>,
    ) -> Option<Guarded<E>> {
        Some(Guarded {
            engine: engine?,
            guard: Arc::clone(guard),
            fallback,
        })
    }
    let Roles {
        search,
        score,
        fuse,
        decompose,
        needs: _,
        health: _,
    } = fallback.map(|it| it.roles.clone()).unwrap_or_default();
    let name: Arc<str> = fallback.map_or_else(|| Arc::from(""), |it| Arc::clone(&it.name));
    let named = || Arc::clone(&name);
    let search = one(roles.search, guard, search.map(|it| (named(), it)));
    let score = one(roles.score, guard, score.map(|it| (named(), it)));
    let fuse = one(roles.fuse, guard, fuse.map(|it| (named(), it)));
    let decompose = one(roles.decompose, guard, decompose.map(|it| (named(), it)));
    Roles {
        search: search.map(|it| Arc::new(it) as Arc<dyn SearchEngine>),
        score: score.map(|it| Arc::new(it) as Arc<dyn ScoreEngine>),
        fuse: fuse.map(|it| Arc::new(it) as Arc<dyn FuseEngine>),
        decompose: decompose.map(|it| Arc::new(it) as Arc<dyn DecomposeEngine>),
        // Whatever the fallback needs: the extension is named in chains as it is.
        needs: roles.needs,
        health: roles.health,
    }
}

struct Guarded<E: ?Sized> {
    engine: Arc<E>,
    guard: Arc<Guard>,
    fallback: Option<(Arc<str>, Arc<E>)>,
}

/// A request and what became of it.
struct Item<R, T> {
    /// Kept for the fallback.
    spare: Option<R>,
    answer: Option<Result<T>>,
    falls_back: bool,
}

impl<E: ?Sized> Guarded<E> {
    /// Asks the engine for what the breaker lets through, and the fallback for the rest and for
    /// what failed.
    async fn answer<R: Request, T, A, B>(
        &self,
        batch: Vec<R>,
        ask: impl FnOnce(Vec<R>) -> A,
        ask_fallback: impl FnOnce(Arc<E>, Vec<R>) -> B,
        understood: impl FnOnce(&E) -> ParamsSpec,
    ) -> Vec<Result<T>>
    where
        A: Future<Output = Vec<Result<T>>> + Send,
        B: Future<Output = Vec<Result<T>>> + Send,
    {
        let mut items: Vec<Item<R, T>> = Vec::with_capacity(batch.len());
        let (mut passed, mut passes) = (Vec::new(), Vec::new());
        for request in batch {
            match self.guard.enter(Instant::now()) {
                Ok(pass) => {
                    items.push(Item {
                        spare: self.fallback.as_ref().map(|_| request.clone()),
                        answer: None,
                        falls_back: false,
                    });
                    passed.push(request);
                    passes.push(pass);
                }
                Err(error) => items.push(Item {
                    spare: Some(request),
                    answer: Some(Err(error)),
                    falls_back: true,
                }),
            }
        }
        let answers = if passed.is_empty() {
            Vec::new()
        } else {
            ask(passed).await
        };
        let waiting = items.iter_mut().filter(|item| item.answer.is_none());
        let mut answers = answers.into_iter();
        for (item, pass) in waiting.zip(passes) {
            let answer = answers.next().unwrap_or_else(|| Err(self.missing()));
            item.falls_back = pass.done(&answer, Instant::now());
            item.answer = Some(answer);
        }
        if let Some((name, engine)) = &self.fallback {
            let spec = understood(engine);
            let fallen = items.iter_mut().filter(|item| item.falls_back);
            let requests: Vec<_> = fallen.filter_map(|item| item.spare.take()).collect();
            let requests: Vec<_> = requests.into_iter().map(|it| fitted(it, &spec)).collect();
            if !requests.is_empty() {
                let answers = ask_fallback(Arc::clone(engine), requests).await;
                let fallen = items.iter_mut().filter(|item| item.falls_back);
                for (item, answer) in fallen.zip(answers) {
                    self.guard.count("fallback");
                    let own = item.answer.take().and_then(Result::err);
                    item.answer = Some(answer.map_err(|error| both(own, name, error)));
                }
            }
        }
        let answers = items.into_iter().map(|item| item.answer);
        answers
            .map(|answer| answer.unwrap_or_else(|| Err(self.missing())))
            .collect()
    }

    fn missing(&self) -> Error {
        let identity = self.guard.identity();
        Error::engine(format!("extension `{identity}` left a request unanswered"))
    }
}

/// The extension failed, and so did what answers in its place.
fn both(own: Option<Error>, fallback: &str, error: Error) -> Error {
    let place = format!("its fallback `{fallback}` failed too");
    match own {
        Some(own) => error.at(place).at(own.message()),
        None => error.at(place),
    }
}

/// What the four requests have in common.
trait Request: Clone + Send {
    fn params(&mut self) -> &mut Params;
}

macro_rules! requests {
    ($($request:ty),*) => {
        $(impl Request for $request {
            fn params(&mut self) -> &mut Params {
                &mut self.params
            }
        })*
    };
}
requests!(SearchRequest, ScoreRequest, FuseRequest, DecomposeRequest);

/// The request with those arguments alone that the fallback understands: they were written for
/// another service.
fn fitted<R: Request>(mut request: R, spec: &ParamsSpec) -> R {
    let params = request.params();
    if !spec.check(params).is_empty() {
        let fits = |(name, value): &(&String, &serde_json::Value)| {
            let one = Map::from_iter([((*name).clone(), (*value).clone())]);
            spec.check(&Params::from(one)).is_empty()
        };
        let kept = params.as_map().iter().filter(fits);
        let kept: Map<_, _> = kept.map(|(n, v)| (n.clone(), v.clone())).collect();
        *params = Params::from(kept);
    }
    request
}

impl SearchEngine for Guarded<dyn SearchEngine> {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(self.answer(
            batch,
            |batch| self.engine.search(batch),
            |other, batch| async move { other.search(batch).await },
            |other| other.params(),
        ))
    }

    fn params(&self) -> ParamsSpec {
        self.engine.params()
    }

    fn prefix_stable(&self) -> bool {
        let other = self.fallback.as_ref();
        self.engine.prefix_stable() && other.is_none_or(|(_, other)| other.prefix_stable())
    }

    fn batching(&self) -> Batching {
        self.engine.batching()
    }
}

impl ScoreEngine for Guarded<dyn ScoreEngine> {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        Box::pin(self.answer(
            batch,
            |batch| self.engine.score(batch),
            |other, batch| async move { other.score(batch).await },
            |other| other.params(),
        ))
    }

    fn params(&self) -> ParamsSpec {
        self.engine.params()
    }

    fn view_kind(&self) -> ViewKind {
        self.engine.view_kind()
    }

    fn batching(&self) -> Batching {
        self.engine.batching()
    }
}

impl DecomposeEngine for Guarded<dyn DecomposeEngine> {
    fn decompose(&self, batch: Vec<DecomposeRequest>) -> BoxFuture<'_, Vec<Result<Vec<Arc<str>>>>> {
        Box::pin(self.answer(
            batch,
            |batch| self.engine.decompose(batch),
            |other, batch| async move { other.decompose(batch).await },
            |other| other.params(),
        ))
    }

    fn params(&self) -> ParamsSpec {
        self.engine.params()
    }
}

impl FuseEngine for Guarded<dyn FuseEngine> {
    fn fuse(&self, request: FuseRequest) -> BoxFuture<'_, Result<Ranking>> {
        Box::pin(async move {
            let answers = self.answer(
                vec![request],
                |batch| each(Arc::clone(&self.engine), batch),
                fuse_aside,
                |other| other.params(),
            );
            let answer = answers.await.pop();
            answer.unwrap_or_else(|| Err(self.missing()))
        })
    }

    fn params(&self) -> ParamsSpec {
        self.engine.params()
    }

    fn computes_in_place(&self) -> bool {
        self.engine.computes_in_place()
    }
}

async fn each(engine: Arc<dyn FuseEngine>, batch: Vec<FuseRequest>) -> Vec<Result<Ranking>> {
    let mut answers = Vec::with_capacity(batch.len());
    for request in batch {
        answers.push(engine.fuse(request).await);
    }
    answers
}

/// A native merger computes where it is polled; who asked an extension does not expect that.
async fn fuse_aside(engine: Arc<dyn FuseEngine>, batch: Vec<FuseRequest>) -> Vec<Result<Ranking>> {
    if !engine.computes_in_place() {
        return each(engine, batch).await;
    }
    let runtime = tokio::runtime::Handle::current();
    let asked = batch.len();
    let work = tokio::task::spawn_blocking(move || runtime.block_on(each(engine, batch)));
    work.await.unwrap_or_else(|_| {
        let panicked = || Err(Error::engine("the merger panicked"));
        std::iter::repeat_with(panicked).take(asked).collect()
    })
}
