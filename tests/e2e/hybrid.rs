//! Dense and hybrid retrieval with a real encoder, on real collections: worth something, and hybrid
//! worth more.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::indexing::{faiss, minilm};
use crate::site::{Site, repository};

/// A collection to measure on.
struct Corpus {
    documents: String,
    topics: String,
    qrels: String,
    /// As `encode --fields` takes them.
    fields: &'static str,
    /// Of MiniLM's graphs: the exact one, or that of whole numbers, which is faster.
    file: &'static str,
}

impl Corpus {
    /// nDCG@10 of BM25, of MiniLM and of both fused.
    fn measure(&self, site: &Site, model: &str) -> [f64; 3] {
        let encode = [
            "encode",
            &self.documents,
            "--fields",
            self.fields,
            "--model",
            model,
        ];
        site.succeed(&[&encode[..], &["--model-file", self.file, "-o", "vectors"]].concat());
        site.succeed(&["index", "faiss", "vectors", "-o", "dense"]);
        let fields: Vec<&str> = self.fields.split(',').collect();
        let dense =
            json!({"embedding_model_name": model, "file": self.file, "index_path": "dense"});
        let config = json!({
            "services": [
                {"name": "bm25", "engine": "BM25", "config": {}},
                {"name": "minilm", "engine": "SentenceTransformerEngine", "config": dense},
                {"name": "rrf60", "engine": "RRF", "config": {"rrf_k": 60}},
            ],
            "collections": [{"name": "docs", "views": {"text": {"source": {
                "source": "text_jsonl", "doc_path": self.documents, "content_fields": fields,
                "cache_dir": site.path("offsets")}}}}],
        });
        fs::write(site.path("config.json"), config.to_string()).unwrap();
        let pipelines = ["bm25%100", "minilm%100", "{bm25%100, minilm%100}rrf60%100"];
        let mut measured = pipelines.iter().enumerate().map(|(number, pipeline)| {
            let run = format!("{number}.run");
            let ask = [
                "run",
                "config.json",
                "--topics",
                &self.topics,
                "--pipeline",
                pipeline,
            ];
            site.succeed(&[&ask[..], &["--output", &run]].concat());
            let eval = [
                "eval",
                &run,
                &self.qrels,
                "-m",
                "nDCG@10",
                "--format",
                "json",
            ];
            let measured: Value = serde_json::from_str(&site.succeed(&eval)).unwrap();
            measured["overall"]["ndcg_cut_10"].as_f64().unwrap()
        });
        [(); 3].map(|()| measured.next().unwrap())
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_quick_start_is_better_with_a_dense_retriever() {
    let (Some(model), true) = (minilm(), faiss()) else {
        return;
    };
    let folder = repository().join("configs/quickstart");
    let corpus = Corpus {
        documents: text(&folder.join("passages.jsonl")),
        topics: text(&folder.join("topics.tsv")),
        qrels: text(&folder.join("qrels.txt")),
        fields: "title,text",
        file: "model.onnx",
    };
    let [bm25, dense, hybrid] = corpus.measure(&Site::new(), &model);
    eprintln!("quick start, nDCG@10: BM25 {bm25:.4}, MiniLM {dense:.4}, both {hybrid:.4}");
    assert!(dense >= 0.80, "MiniLM: {dense}");
    assert!(hybrid >= 0.75, "hybrid: {hybrid}");
}

#[test]
fn vaswani_dense_and_hybrid() {
    let (Some(model), true) = (minilm(), faiss()) else {
        return;
    };
    let folder = repository().join("../shared/data/vaswani");
    if !folder.join("docs.jsonl").is_file() {
        let skipped =
            "SKIPPED: ../shared/data/vaswani is not there; effectiveness was not measured";
        let _ = writeln!(std::io::stderr(), "{skipped}");
        return;
    }
    let corpus = Corpus {
        documents: text(&folder.join("docs.jsonl")),
        topics: text(&folder.join("topics.tsv")),
        qrels: text(&folder.join("qrels.txt")),
        fields: "text",
        file: "model_int8.onnx",
    };
    let [bm25, dense, hybrid] = corpus.measure(&Site::new(), &model);
    eprintln!("vaswani, nDCG@10: BM25 {bm25:.4}, MiniLM (int8) {dense:.4}, both {hybrid:.4}");
    assert!(dense >= 0.41, "MiniLM: {dense}");
    assert!(hybrid >= 0.50, "hybrid: {hybrid}");
    assert!(hybrid > bm25.max(dense));
}
