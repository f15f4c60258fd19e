//! What an engine is: one trait per role, each answering batches request by request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{
    DecomposeRequest, FuseRequest, ParamsSpec, Ranking, Result, ScoreRequest, SearchRequest,
    ViewKind,
};

/// A boxed future that may cross threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How an engine wants its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Batching {
    /// One by one: it gains nothing from batches, and no request should wait for a slower one that
    /// happens to be in its batch.
    Alone,
    /// One by one, and all at once: it keeps a queue of its own, as engines do that share a model,
    /// and batches there what comes from everywhere.
    Inside,
    /// In batches: it answers several faster together than one by one.
    #[default]
    Together,
}

/// Plays the role `search`.
///
/// The future must not block the thread that polls it: an engine computes on its own threads.
pub trait SearchEngine: Send + Sync {
    /// Answers each request of a batch, in order: as many results as requests. A bad request fails
    /// alone.
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>>;

    /// The parameters it understands.
    fn params(&self) -> ParamsSpec;

    /// Whether the `k` best are always the first `k` of the `k + 1` best, so that one call with
    /// the larger limit answers both.
    fn prefix_stable(&self) -> bool {
        false
    }

    /// How it wants its requests.
    fn batching(&self) -> Batching {
        Batching::default()
    }
}

/// Plays the role `score`. As [`SearchEngine`] about threads and batches.
pub trait ScoreEngine: Send + Sync {
    /// Answers each request of a batch, in order: one finite score per passage.
    fn score(&self, batch: Vec<ScoreRequest>) -> BoxFuture<'_, Vec<Result<Vec<f64>>>>;

    /// The parameters it understands.
    fn params(&self) -> ParamsSpec;

    /// What its passages must be; it is never handed others.
    fn view_kind(&self) -> ViewKind {
        ViewKind::Text
    }

    /// How it wants its requests.
    fn batching(&self) -> Batching {
        Batching::default()
    }
}

/// Plays the role `fuse`.
pub trait FuseEngine: Send + Sync {
    /// Fuses the rankings of one request. Short work may be done in place; long work belongs on
    /// the engine's own threads.
    fn fuse(&self, request: FuseRequest) -> BoxFuture<'_, Result<Ranking>>;

    /// The parameters it understands.
    fn params(&self) -> ParamsSpec;

    /// Whether it computes on the thread that polls it, so that a large fusion must be polled where
    /// blocking does no harm. One that waits or computes elsewhere says no.
    fn computes_in_place(&self) -> bool {
        true
    }
}

/// Plays the role `decompose_query`. As [`SearchEngine`] about threads and batches.
pub trait DecomposeEngine: Send + Sync {
    /// Answers each request of a batch, in order.
    fn decompose(&self, batch: Vec<DecomposeRequest>) -> BoxFuture<'_, Vec<Result<Vec<Arc<str>>>>>;

    /// The parameters it understands.
    fn params(&self) -> ParamsSpec;

    /// How it wants its requests.
    fn batching(&self) -> Batching {
        Batching::default()
    }
}

/// Something that an engine cannot do without and that may fail for good, such as a GPU.
pub trait Health: Send + Sync {
    /// Whether it is well. Asked by probes: answers at once.
    ///
    /// # Errors
    /// What went wrong.
    fn check(&self) -> Result<()>;
}

/// What several share and others may keep busy, such as a GPU.
pub trait Load: Send + Sync {
    /// `None` while nothing waits for it or uses it. Otherwise what ends when it has fallen idle after
    /// this call, be it for a moment, or when it will not be used any more.
    fn busy(&self) -> Option<BoxFuture<'static, ()>>;
}

/// An engine as the roles that it plays.
#[derive(Clone, Default)]
pub struct Roles {
    /// As a searcher.
    pub search: Option<Arc<dyn SearchEngine>>,
    /// As a scorer.
    pub score: Option<Arc<dyn ScoreEngine>>,
    /// As a merger.
    pub fuse: Option<Arc<dyn FuseEngine>>,
    /// As an expander.
    pub decompose: Option<Arc<dyn DecomposeEngine>>,
    /// What it asks of the host while it answers. An engine that asks for anything waits for other
    /// services, so it is queued and named in chains of calls as an extension is.
    pub needs: Vec<HostNeed>,
    /// What it cannot do without: the service is ready while all of it is well.
    pub health: Vec<Arc<dyn Health>>,
}

/// What an engine asks of the host while it answers ([`crate::Host`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostNeed {
    /// Rankings.
    Search {
        /// A service or pipeline.
        pipeline: Arc<str>,
        /// The collection that its rerank stages read.
        collection: Option<Arc<str>>,
    },
    /// Texts of a collection.
    Content {
        /// The collection.
        collection: Arc<str>,
        /// The view; `None` is the collection's default.
        view: Option<Arc<str>>,
    },
}
