//! Small engines whose behaviour the query steers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use routir_core::{
    BoxFuture, CollectionInfo, ContentSource, DecomposeEngine, DecomposeRequest, DocId, Document,
    Error, ErrorCode, FuseEngine, FuseRequest, Hit, ParamKind, ParamSpec, ParamsSpec, Payload,
    Ranking, Result, ScoreEngine, ScoreRequest, SearchEngine, SearchRequest, ViewKind,
};
use tokio::sync::Notify;

/// What a test sees of the engines, and how it lets slow calls go on.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    pub(crate) started: Notify,
    pub(crate) release: Notify,
    pub(crate) dropped: Notify,
    pub(crate) drops: AtomicUsize,
}

/// Counts a call that is dropped before its end.
struct Ended<'a>(&'a Probe, bool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.drops.fetch_add(1, Ordering::SeqCst);
            self.0.dropped.notify_one();
        }
    }
}

/// Finds `d1`, `d2`, … with falling scores; some queries make it misbehave.
pub(crate) struct Searcher(pub(crate) Arc<Probe>);

impl Searcher {
    async fn one(&self, request: SearchRequest) -> Result<Ranking> {
        let mut ended = Ended(&self.0, false);
        match &*request.query {
            "fail" => {
                ended.1 = true;
                return Err(Error::engine("the index is gone"));
            }
            "full" => {
                ended.1 = true;
                let wait = Duration::from_millis(1500);
                return Err(Error::new(ErrorCode::Overloaded, "full").with_retry_after(wait));
            }
            "down" => {
                ended.1 = true;
                return Err(Error::new(ErrorCode::Unavailable, "still starting"));
            }
            "panic" => panic!("the engine has a mistake"),
            "slow" => {
                self.0.started.notify_one();
                self.0.release.notified().await;
            }
            _ => {}
        }
        ended.1 = true;
        let hits = (1..=request.limit.min(50)).map(|n| Hit::new(format!("d{n}"), 10.0 - n as f64));
        Ranking::from_hits(hits.collect())
    }
}

impl SearchEngine for Searcher {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        join_all(batch.into_iter().map(|request| self.one(request))).boxed()
    }

    fn params(&self) -> ParamsSpec {
        let subset = ParamSpec::new("subset", ParamKind::Text, "a part of the index");
        ParamsSpec::known(&[subset])
    }
}

/// Scores a passage by its length in bytes.
pub(crate) struct Scorer;

impl ScoreEngine for Scorer {
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>> {
        let one = |request: ScoreRequest| {
            if &*request.query == "fail" {
                return Err(Error::engine("the model is gone"));
            }
            let texts = request.passages.texts()?;
            Ok(texts.iter().map(|text| text.len() as f64).collect())
        };
        let scores = batch.into_iter().map(one).collect();
        async move { scores }.boxed()
    }

    fn params(&self) -> ParamsSpec {
        let prompt = ParamSpec::new("prompt", ParamKind::Text, "the prompt");
        ParamsSpec::known(&[prompt])
    }
}

/// Keeps the first ranking.
pub(crate) struct FirstWins;

impl FuseEngine for FirstWins {
    fn fuse(&self, request: FuseRequest) -> BoxFuture<'_, Result<Ranking>> {
        let first = request.rankings.first().map(|ranking| (**ranking).clone());
        async move { Ok(first.unwrap_or_default()) }.boxed()
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }
}

/// Makes a sub-query of each word.
pub(crate) struct Words;

impl DecomposeEngine for Words {
    fn decompose(&self, batch: Vec<DecomposeRequest>) -> BoxFuture<'_, Vec<Result<Vec<Arc<str>>>>> {
        let words = |request: DecomposeRequest| {
            Ok(request.query.split_whitespace().map(Arc::from).collect())
        };
        let all = batch.into_iter().map(words).collect();
        async move { all }.boxed()
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }
}

/// Holds `d1` to `d9`; the text of `dN` is N letters long. Panics for `boom`.
pub(crate) struct Shelf;

impl ContentSource for Shelf {
    fn info(&self) -> CollectionInfo {
        CollectionInfo {
            views: [(Arc::from("text"), ViewKind::Text)].into(),
            default_view: Arc::from("text"),
        }
    }

    fn fetch<'a>(
        &'a self,
        _view: Option<&'a str>,
        ids: &'a [DocId],
    ) -> BoxFuture<'a, Result<Vec<Result<Arc<Document>>>>> {
        let one = |id: &DocId| {
            assert_ne!(id.as_str(), "boom", "the source has a mistake");
            let number = id.strip_prefix('d').and_then(|number| number.parse().ok());
            let length = number
                .filter(|number| (1..=9).contains(number))
                .ok_or_else(|| {
                    Error::new(ErrorCode::UnknownDocument, format!("ID {id} is not found."))
                })?;
            Ok(Arc::new(Document {
                id: id.clone(),
                payload: Payload::Text("x".repeat(length).into()),
                title: (length == 1).then(|| Arc::from("One")),
                language: (length == 1).then(|| Arc::from("eng")),
            }))
        };
        let found = Ok(ids.iter().map(one).collect());
        async move { found }.boxed()
    }
}
