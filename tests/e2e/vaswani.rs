//! The Vaswani collection: BM25 as it comes, no constant tuned, reaches what the field publishes.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::site::{Site, repository};

/// Published figures lie between 0.29 and 0.30.
const MAP_FLOOR: f64 = 0.29;

fn vaswani() -> Option<PathBuf> {
    let folder = repository().parent()?.join("shared/data/vaswani");
    folder.join("docs.jsonl").is_file().then_some(folder)
}

#[test]
fn bm25_reaches_its_published_map() {
    let Some(folder) = vaswani() else {
        // Not a print macro: of a test that passes the runner hides those.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: ../shared/data/vaswani is not there; effectiveness was not measured"
        );
        return;
    };
    let site = Site::new();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let source = json!({"source": "text_jsonl", "doc_path": file("docs.jsonl"),
        "cache_dir": site.path("offsets")});
    let config = json!({
        "services": [{"name": "bm25", "engine": "BM25", "config": {}}],
        "collections": [{"name": "vaswani", "views": {"text": {"source": source}}}],
    });
    let run = [
        "run",
        &config.to_string(),
        "--topics",
        &file("topics.tsv"),
        "--pipeline",
        "bm25",
    ];
    site.succeed(&[&run[..], &["--output", "bm25.run"]].concat());
    let eval = [
        "eval",
        "bm25.run",
        &file("qrels.txt"),
        "-m",
        "MAP",
        "--format",
        "json",
    ];
    let measured: Value = serde_json::from_str(&site.succeed(&eval)).unwrap();
    let map = measured["overall"]["map"].as_f64().unwrap();
    assert!(map >= MAP_FLOOR, "MAP is {map}, below {MAP_FLOOR}");
}
