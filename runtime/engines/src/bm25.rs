//! `BM25`: searches a collection by words.
//!
//! | key | means | default |
//! |---|---|---|
//! | `collection` | the collection to search | the only one there is |
//! | `view` | the view whose text is indexed | the collection's default view |
//! | `k1`, `b` | BM25's constants | 0.9 and 0.4, as in Pyserini |
//! | `index_path` | the index's directory | `bm25/<collection>` in the cache directory |
//! | `threads` | threads that build the index | 2 |
//! | `memory_mb` | memory for building, in MB | 128 |
//!
//! The index is built at first start and again when the collection has changed.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use routir_core::{
    Batching, BoxFuture, Error, ParamsSpec, Ranking, Result, Roles, SearchEngine, SearchRequest,
};
use routir_index::{Bm25Index, Bm25Params, BuildOptions, BuildPhase};

use crate::build::{BuildEnv, EngineSpec, Progress, Purpose};
use crate::check::{Outline, built_here};
use crate::options::Options;
use crate::pool::EnginePool;

struct Bm25 {
    index: Arc<Bm25Index>,
    pool: EnginePool,
}

impl SearchEngine for Bm25 {
    fn search(&self, batch: Vec<SearchRequest>) -> BoxFuture<'_, Vec<Result<Ranking>>> {
        Box::pin(join_all(
            batch.into_iter().map(|request| self.answer(request)),
        ))
    }

    fn params(&self) -> ParamsSpec {
        ParamsSpec::none()
    }

    fn prefix_stable(&self) -> bool {
        true
    }

    fn batching(&self) -> Batching {
        Batching::Alone
    }
}

impl Bm25 {
    async fn answer(&self, request: SearchRequest) -> Result<Ranking> {
        let index = Arc::clone(&self.index);
        self.pool
            .run(move |cancelled| index.search(&request.query, request.limit, cancelled))
            .await
            .flatten()
    }
}

pub(crate) fn build(spec: EngineSpec<'_>, env: &BuildEnv<'_>) -> Result<Roles> {
    let mut options = Options::new(spec.config);
    let collection = options.text("collection");
    let view = options.text("view");
    let defaults = Bm25Params::default();
    let k1 = options.number("k1").unwrap_or(defaults.k1());
    let b = options.number("b").unwrap_or(defaults.b());
    let index_path = options.text("index_path");
    built_here(&mut options, index_path);
    let mut building = BuildOptions::default();
    building.threads = options.count("threads").unwrap_or(building.threads);
    if let Some(megabytes) = options.count("memory_mb") {
        building.memory_bytes = megabytes.saturating_mul(1_000_000);
    }
    let params = Bm25Params::new(k1, b);
    if let Err(error) = &params {
        options.problem(error.message());
    }
    options.finish()?;
    let collection = match collection {
        Some(collection) => collection.to_owned(),
        None => only(env.collections.names())?,
    };
    let source = env.collections.scan(&collection, view)?;
    if let Purpose::Check(stood_in) = env.purpose {
        let outline = Outline {
            search: Some(ParamsSpec::none()),
            prefix_stable: true,
            ..Outline::default()
        };
        return Ok(outline.roles(stood_in));
    }
    let dir = match index_path {
        Some(path) => (env.resolve_path)(path),
        None => default_dir(env, &collection, view),
    };
    let report = |phase, done, total| {
        let task = match phase {
            BuildPhase::Reading => "reading documents",
            _ => "merging the index",
        };
        (env.progress)(Progress {
            service: spec.name,
            task,
            done,
            total,
        });
    };
    let index = Bm25Index::open_or_build(&dir, &*source, params?, building, &mut |progress| {
        report(progress.phase, progress.done, progress.total);
    })?;
    tracing::info!(service = spec.name, documents = index.len(), dir = %dir.display(), "bm25 index is open");
    let engine = Bm25 {
        index: Arc::new(index),
        pool: env.pool.clone(),
    };
    Ok(Roles {
        search: Some(Arc::new(engine)),
        ..Roles::default()
    })
}

/// The only collection there is.
pub(crate) fn only(mut names: Vec<String>) -> Result<String> {
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        (None, _) => Err(Error::invalid(
            "there is no collection to index; configure one in `collections`",
        )),
        (Some(last), false) => {
            names.push(last);
            let names = names.join(", ");
            Err(Error::invalid(format!(
                "`collection` is missing and there are several: {names}"
            )))
        }
    }
}

/// A directory per collection and view. Names are escaped, so that none leads out of the cache
/// directory and no two meet.
fn default_dir(env: &BuildEnv<'_>, collection: &str, view: Option<&str>) -> PathBuf {
    let mut name = escape(collection);
    if let Some(view) = view {
        name.push('@');
        name.push_str(&escape(view));
    }
    env.cache_dir.join("bm25").join(name)
}

fn escape(name: &str) -> String {
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    name.bytes().map(letter).collect()
}
