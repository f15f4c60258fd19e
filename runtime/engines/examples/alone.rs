//! Measures a search engine alone, in this process and without a server, for comparison with the
//! server that runs it:
//!
//! ```text
//! cargo run --release -p routir-engines --example alone -- CONFIG SERVICE QUERIES [SECONDS] [CALLERS]
//! ```
//!
//! `CONFIG` is the server's configuration file, `SERVICE` one of its services, whose index has been
//! built, and `QUERIES` a file with one query per line. `CALLERS` ask for `SECONDS`, each for one query
//! at a time. Prints one line of JSON.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use routir_compute::{Compute, ComputeSettings};
use routir_core::{DocumentScan, Error, Metrics, Params, Result, SearchRequest};
use routir_engines::{
    BuildEnv, Collections, EnginePool, EngineSpec, ModelSettings, Purpose, SharedDevices,
    SharedFaiss, SharedModels, build,
};
use routir_remote::relay::Peers;
use serde_json::{Map, Value, json};

const THREADS: usize = 2;
const LIMIT: usize = 10;

/// No collections: the index is there.
struct Built;

impl Collections for Built {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn scan(&self, collection: &str, _view: Option<&str>) -> Result<Arc<dyn DocumentScan>> {
        let why = format!("the index of `{collection}` must have been built");
        Err(Error::invalid(why))
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|why| Error::invalid(format!("`{}`: {why}", path.display())))
}

/// The engine and the configuration of a service.
fn service(config: &Path, name: &str) -> Result<(String, Map<String, Value>)> {
    let wrong = |why: &str| Error::invalid(format!("`{}`: {why}", config.display()));
    let config: Value = serde_json::from_str(&read(config)?).map_err(|e| wrong(&e.to_string()))?;
    let services = config.get("services").and_then(Value::as_array);
    let service = services
        .into_iter()
        .flatten()
        .find(|service| service.get("name").is_some_and(|it| it == name))
        .ok_or_else(|| wrong(&format!("there is no service `{name}`")))?;
    let engine = service.get("engine").and_then(Value::as_str);
    let said = service.get("config").and_then(Value::as_object).cloned();
    let mut said = said.unwrap_or_default();
    said.remove("build");
    said.remove("collection");
    Ok((engine.unwrap_or_default().to_owned(), said))
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, name, queries, rest @ ..] = arguments.as_slice() else {
        return Err(Error::invalid("CONFIG, SERVICE and QUERIES are needed"));
    };
    let number =
        |at: usize, usual: u64| rest.get(at).and_then(|it| it.parse().ok()).unwrap_or(usual);
    let (seconds, callers) = (number(0, 10), number(1, 32));
    let (engine, said) = service(Path::new(config), name)?;
    let folder = Path::new(config).parent().unwrap_or(Path::new("."));
    let compute = Compute::new(ComputeSettings {
        threads: Some(THREADS),
        ..ComputeSettings::default()
    });
    let settings = ModelSettings {
        capacity: 65_536,
        threads: THREADS,
        max_wait: Duration::ZERO,
    };
    let resolve = |path: &str| -> PathBuf { folder.join(path) };
    let roles = build(
        EngineSpec {
            name,
            engine: &engine,
            config: &said,
        },
        &BuildEnv {
            purpose: Purpose::Serve,
            cache_dir: folder.join("cache"),
            resolve_path: &resolve,
            collections: &Built,
            progress: &|_| {},
            pool: EnginePool::new(THREADS),
            models: &SharedModels::new(compute, settings, Metrics::default()),
            faiss: &SharedFaiss::new(None),
            devices: &SharedDevices::default(),
            host: None,
            peers: &Peers::default(),
        },
    )?;
    let searcher = roles
        .search
        .ok_or_else(|| Error::invalid(format!("`{name}` does not search")))?;
    let queries: Vec<Arc<str>> = read(Path::new(queries))?.lines().map(Arc::from).collect();

    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let caller = || async {
        while Instant::now() < end {
            let at = next.fetch_add(1, Ordering::Relaxed) % queries.len().max(1);
            let request = SearchRequest {
                query: queries.get(at).cloned().unwrap_or_default(),
                limit: LIMIT,
                params: Params::default(),
                context: Arc::default(),
            };
            for answer in searcher.search(vec![request]).await {
                answer?;
            }
        }
        Ok::<_, Error>(())
    };
    try_join_all((0..callers).map(|_| caller())).await?;
    let (answered, took) = (next.into_inner(), start.elapsed().as_secs_f64());
    println!(
        "{}",
        json!({
            "service": name, "callers": callers, "requests": answered, "seconds": took,
            "rate": answered as f64 / took,
        })
    );
    Ok(())
}
