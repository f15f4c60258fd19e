//! Documents and indices of datasets on a hub.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::hub_stand_in::{Fault, StandIn};
use crate::site::{Ran, Server, Site};

const DOCUMENTS: &str = concat!(
    "{\"id\": \"a\", \"text\": \"a cup of coffee\"}\n",
    "{\"id\": \"b\", \"text\": \"a pot of tea\"}\n"
);

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

/// The command, with a hub and a cache of its own.
fn with_hub(site: &Site, hub: &StandIn, args: &[&str]) -> Command {
    let mut command = site.command(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HF_")) {
        command.env_remove(name);
    }
    command
        .env("HF_ENDPOINT", &hub.address)
        .env("HF_HOME", site.path("hf"));
    command
}

fn configure(site: &Site, config: &Value) {
    fs::write(site.path("c.json"), config.to_string()).unwrap();
}

fn documents(doc_path: &str) -> Value {
    json!({
        "collections": [{"name": "docs", "doc_path": doc_path}],
        "services": [{"name": "bm25", "engine": "BM25", "config": {}}],
    })
}

fn serve(site: &Site, mut command: Command) -> Server {
    command.args(["--port", "0", "--host", "127.0.0.1"]);
    site.start(command)
}

fn coffee(server: &Server) {
    let body = json!({"pipeline": "bm25", "query": "coffee", "collection": "docs"});
    let (status, answer) = server.post("/pipeline", &body);
    assert_eq!(status, 200, "{answer}");
    let found: Vec<_> = answer["scores"].as_object().unwrap().keys().collect();
    assert_eq!(found, ["a"]);
    let (_, answer) = server.post("/content", &json!({"collection": "docs", "id": "b"}));
    assert_eq!(answer["text"], "a pot of tea");
}

#[test]
fn a_collection_is_served_from_a_dataset_with_the_hub_and_then_without() {
    let site = Site::new();
    let hub = StandIn::start(&[("README.md", "x"), ("data/docs.jsonl", DOCUMENTS)], None);
    configure(&site, &documents("hfds:owner/name"));
    let checked = Ran::from(
        with_hub(&site, &hub, &["check", "c.json"])
            .output()
            .unwrap(),
    );
    assert_eq!(checked.status, Some(0), "{}", checked.stderr);
    assert!(hub.asked().is_empty(), "a check fetches nothing");

    let server = serve(&site, with_hub(&site, &hub, &["c.json"]));
    coffee(&server);
    server.stop();
    let asked = hub.asked();
    assert!(
        !asked.iter().any(|path| path.contains("README")),
        "{asked:?}"
    );

    let mut offline = with_hub(&site, &hub, &["c.json"]);
    offline.env("HF_HUB_OFFLINE", "1");
    let server = serve(&site, offline);
    coffee(&server);
    assert!(hub.asked().is_empty());
}

#[test]
fn an_engine_builds_its_index_of_a_compressed_dataset() {
    let site = Site::new();
    let files = [
        ("README.md", b"x".to_vec()),
        ("data/docs.jsonl.gz", gzip(DOCUMENTS)),
    ];
    let hub = StandIn::start(&files, None);
    configure(&site, &documents("hfds:owner/name"));
    let server = serve(&site, with_hub(&site, &hub, &["c.json"]));
    coffee(&server);
    server.stop();
    // What makes the compressed file readable by id lies where the hub's other files do.
    assert!(!site.files("hf", ".routir-blocks").is_empty());

    // One that is cut off on the hub is no corpus.
    let cut = Site::new();
    let packed = gzip(&DOCUMENTS.repeat(100));
    let files = [(
        "docs.jsonl.gz",
        packed.get(..packed.len() / 2).unwrap().to_vec(),
    )];
    let hub = StandIn::start(&files, None);
    configure(&cut, &documents("hfds:owner/name"));
    let ran = Ran::from(with_hub(&cut, &hub, &["c.json"]).output().unwrap());
    assert_ne!(ran.status, Some(0));
    assert!(ran.stderr.contains("docs.jsonl.gz"), "{}", ran.stderr);
}

#[test]
fn a_reranker_reads_the_segmented_ms_marco_from_a_dataset() {
    let site = Site::new();
    let (mut text, mut ids) = (String::new(), Vec::new());
    for (number, segment) in ["a pot of tea", "a cup of coffee"].iter().enumerate() {
        let id = format!("msmarco_v2.1_doc_07_{number}#0_{}", text.len());
        let line = json!({"docid": id, "title": "t", "segment": segment});
        text += &format!("{line}\n");
        ids.push(id);
    }
    let files = [
        ("README.md", b"x".to_vec()),
        (
            "segments/msmarco_v2.1_doc_segmented_07.json.gz",
            gzip(&text),
        ),
    ];
    let hub = StandIn::start(&files, None);
    let run = |(id, score): (&String, u32)| format!("1 Q0 {id} 1 {score} first\n");
    let run: String = ids.iter().zip([2, 1]).map(run).collect();
    fs::write(site.path("first.run"), run).unwrap();
    fs::write(site.path("topics.tsv"), "1\tcoffee\n").unwrap();
    configure(
        &site,
        &json!({
            "collections": [{"name": "docs", "doc_path": "hfds:owner/name",
                "offset_source": "msmarco_seg", "id_field": "docid", "content_field": "segment"}],
            "services": [
                {"name": "first", "engine": "TrecRun",
                    "config": {"run": "first.run", "topics": "topics.tsv"}},
                {"name": "overlap", "engine": "TokenOverlap", "config": {}}],
        }),
    );
    for offline in [false, true] {
        let mut command = with_hub(&site, &hub, &["c.json"]);
        if offline {
            command.env("HF_HUB_OFFLINE", "1");
        }
        let server = serve(&site, command);
        let body = json!({"pipeline": "first >> overlap", "query": "coffee", "collection": "docs"});
        let (status, answer) = server.post("/pipeline", &body);
        assert_eq!(status, 200, "{answer}");
        let found: Vec<_> = answer["scores"].as_object().unwrap().keys().collect();
        assert_eq!(found, [&ids[1], &ids[0]]);
        server.stop();
        let asked = hub.asked();
        let other = asked.iter().any(|path| path.contains("README"));
        assert!(!other && asked.is_empty() == offline, "{asked:?}");
    }
}

#[test]
fn warm_up_fetches_ahead_and_a_hub_that_is_gone_does_no_harm() {
    let site = Site::new();
    let hub = StandIn::start(&[("a.jsonl", DOCUMENTS), ("b.jsonl", DOCUMENTS)], None);
    configure(&site, &documents("hfds:owner/name:b.jsonl"));
    let warm = Ran::from(
        with_hub(&site, &hub, &["warmup", "c.json"])
            .output()
            .unwrap(),
    );
    assert_eq!(warm.status, Some(0), "{}", warm.stderr);
    assert!(warm.stdout.contains("2 documents"), "{}", warm.stdout);
    hub.fault(Fault::Status("503 Service Unavailable"));
    let server = serve(&site, with_hub(&site, &hub, &["c.json"]));
    coffee(&server);
    let log = site.read("server.log");
    assert!(log.contains("from the cache"), "{log}");
}

#[test]
fn what_the_hub_has_not_got_is_told_with_its_place() {
    let site = Site::new();
    let hub = StandIn::start(&[("data/train.parquet", "PAR1")], None);
    for (doc_path, expected) in [
        ("hfds:owner/other", "knows no such dataset"),
        ("hfds:owner/name", "to_json"),
        ("hfds:owner/name/x", "names no dataset"),
        ("hfds:owner/name:../x", "names no dataset"),
    ] {
        configure(&site, &documents(doc_path));
        let ran = Ran::from(with_hub(&site, &hub, &["c.json"]).output().unwrap());
        assert_eq!(ran.status, Some(2), "{}", ran.stderr);
        let told = "collections[0].doc_path: ";
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    // An engine that builds its index cannot do so on the hub.
    let mut config = documents("hfds:owner/name");
    config["services"][0]["config"]["index_path"] = json!("hfds:owner/name");
    configure(&site, &config);
    let ran = Ran::from(
        with_hub(&site, &hub, &["check", "c.json"])
            .output()
            .unwrap(),
    );
    assert!(
        ran.stderr.contains("where the index can be built"),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_index_is_fetched_before_its_engine_opens_it() {
    let site = Site::new();
    let files = [
        ("index/index.faiss", "no index"),
        ("index/index.ids", "a\n"),
        ("x.bin", "x"),
    ];
    let hub = StandIn::start(&files, None);
    let model = site.path("model");
    fs::create_dir_all(&model).unwrap();
    fs::write(model.join("model.onnx"), "no graph").unwrap();
    fs::write(model.join("tokenizer.json"), "{}").unwrap();
    configure(
        &site,
        &json!({"services": [{"name": "dense", "engine": "Qwen3", "config": {
            "embedding_model_name": "model", "index_path": "hfds:owner/name"}}]}),
    );
    let checked = Ran::from(
        with_hub(&site, &hub, &["check", "c.json"])
            .output()
            .unwrap(),
    );
    assert_eq!(checked.status, Some(0), "{}", checked.stderr);
    assert!(hub.asked().is_empty(), "a check fetches nothing");
    // The model is none, so that it does not start; by then the index is here.
    let ran = Ran::from(with_hub(&site, &hub, &["c.json"]).output().unwrap());
    assert_ne!(ran.status, Some(0));
    assert!(!ran.stderr.contains("dataset"), "{}", ran.stderr);
    let snapshots = "hf/hub/datasets--owner--name/snapshots";
    assert_eq!(site.files(snapshots, "index.faiss").len(), 1);
    assert!(site.files("hf", "x.bin").is_empty());
}
