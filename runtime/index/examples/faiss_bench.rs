//! What `tests/bench/faiss_wheel.py` drives: builds and searches FAISS indices as it is told, one JSON object
//! a line, and answers each with one.
//!
//! ```text
//! {"build": FOLDER, "index": "HNSW32", "metric": "ip", "dim": 384, "vectors": FILE}   → {"vectors": N}
//! {"open": FOLDER}                                 → {"index": "HNSW32", "variant": "avx512", …}
//! {"queries": FILE, "limit": 10, "batch": 1}       → {"seconds": [per batch], "found": [[[id, score]]]}
//! ```
//! Files hold little-endian f32, one vector after another. One thread.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a tool of the benchmark: what is wrong ends it"
)]

use std::fs;
use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use routir_index::faiss::{
    DenseIndex, DenseIndexBuilder, Faiss, Metric, OpenOptions, SearchOptions,
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Build {
    build: PathBuf,
    index: String,
    metric: String,
    dim: usize,
    vectors: PathBuf,
}

#[derive(Deserialize)]
struct Search {
    queries: PathBuf,
    limit: usize,
    batch: usize,
    nprobe: Option<usize>,
    ef_search: Option<usize>,
    k_factor: Option<f32>,
    /// Whether to tell what was found.
    #[serde(default)]
    tell: bool,
}

fn numbers(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).expect("a file of vectors");
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().copied().map(f32::from_le_bytes).collect()
}

fn build(faiss: &Arc<Faiss>, order: &Build) -> Value {
    let metric = if order.metric == "l2" {
        Metric::L2
    } else {
        Metric::InnerProduct
    };
    let vectors = numbers(&order.vectors);
    let mut builder = DenseIndexBuilder::new(faiss, order.dim, &order.index, metric, 1).unwrap();
    if builder.wants_training().unwrap() {
        builder.train(&vectors).unwrap();
    }
    for some in vectors.chunks(4096 * order.dim) {
        builder.add(some).unwrap();
    }
    fs::create_dir_all(&order.build).unwrap();
    builder.write(&order.build.join("index.faiss")).unwrap();
    let ids: String = (0..builder.len()).map(|n| format!("{n}\n")).collect();
    fs::write(order.build.join("index.ids"), ids).unwrap();
    json!({"vectors": builder.len()})
}

fn search(index: &DenseIndex, order: &Search) -> Value {
    let queries = numbers(&order.queries);
    let options = SearchOptions {
        nprobe: order.nprobe,
        ef_search: order.ef_search,
        k_factor: order.k_factor,
        subset: None,
    };
    let (mut seconds, mut found) = (Vec::new(), Vec::new());
    for batch in queries.chunks(order.batch * index.dim()) {
        let started = Instant::now();
        let rankings = index
            .search(batch, order.limit, &options, &AtomicBool::new(false))
            .unwrap();
        seconds.push(started.elapsed().as_secs_f64());
        if order.tell {
            found.extend(rankings.iter().map(|ranking| {
                let hits = ranking.hits().iter();
                hits.map(|hit| json!([hit.doc.as_str(), hit.score]))
                    .collect::<Vec<_>>()
            }));
        }
    }
    json!({"seconds": seconds, "found": found})
}

fn main() {
    let faiss = Faiss::load(None).expect("FAISS");
    let mut index = None;
    for line in stdin().lock().lines() {
        let order: Value = serde_json::from_str(&line.unwrap()).expect("JSON");
        let answer = if order.get("build").is_some() {
            build(&faiss, &serde_json::from_value(order).unwrap())
        } else if let Some(folder) = order.get("open").and_then(Value::as_str) {
            drop(index.take());
            let options = OpenOptions {
                mmap: order.get("mmap").is_some_and(|it| it == true),
                threads: 1,
                ..OpenOptions::default()
            };
            let opened = DenseIndex::open(&faiss, Path::new(folder), options).unwrap();
            let answer = json!({
                "index": opened.description(), "vectors": opened.len(),
                "variant": faiss.variant().name(), "faiss": faiss.about(),
            });
            index = Some(opened);
            answer
        } else {
            let index = index.as_ref().expect("an index must be opened first");
            search(index, &serde_json::from_value(order).unwrap())
        };
        writeln!(stdout().lock(), "{answer}").unwrap();
    }
}
