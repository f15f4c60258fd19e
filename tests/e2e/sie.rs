//! SIE's own SDKs, both generations, against the router with real workers behind it.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::indexing::minilm;
use crate::router::router;
use crate::site::{Server, Site, agent, repository};

const GENERATIONS: [&str; 2] = ["0.2", "0.3"];

/// A worker that hosts one model of each kind.
fn worker(site: &Site, name: &str, dense: &str) -> Server {
    let tiny = repository().join(".cache/models/tiny");
    let tiny = |name: &str| tiny.join(name).to_str().unwrap().to_owned();
    let config = json!({
        "services": [{"name": "reranker", "engine": "CrossEncoder",
            "config": {"model_name_or_path": tiny("cross-encoder")}}],
        "rt": {"worker": {"name": name, "machine_profile": "l4", "models": [
            {"name": "dense", "engine": "SentenceTransformerEngine",
                "config": {"embedding_model_name": dense, "file": "model_int8.onnx"}},
            {"name": "sparse", "engine": "LSR", "config": {"model_name": tiny("splade")}},
            {"name": "late", "engine": "PLAIDX", "config": {"checkpoint": tiny("multi-vector")}},
        ]}},
    });
    let file = format!("{name}.json");
    fs::write(site.path(&file), config.to_string()).unwrap();
    site.serve(&file, &[])
}

/// A catalogue in which all models are in the bundle `default`, and `other` has none.
fn catalogue(site: &Site) {
    let write = |file: &str, text: &str| {
        let path = site.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for (bundle, adapter) in [("default", "ours"), ("other", "theirs")] {
        let text = format!("name: {bundle}\nadapters: [{adapter}]\n");
        write(&format!("bundles/{bundle}.yaml"), &text);
    }
    for model in ["minilm", "splade", "multi-vector", "reranker"] {
        let profiles = "profiles: {default: {adapter_path: 'ours:Model'}}";
        let text = format!("sie_id: {model}\n{profiles}\n");
        write(&format!("models/{model}.yaml"), &text);
    }
}

/// The router before two workers, on the machines that the probe knows.
struct Cluster {
    router: Server,
    workers: [Server; 2],
}

impl Cluster {
    /// `None`, which is told, where models are missing.
    fn start(site: &Site) -> Option<Self> {
        let dense = minilm()?;
        if !repository().join(".cache/models/tiny/splade").is_dir() {
            skip("no tiny models in .cache (make models makes them)");
            return None;
        }
        catalogue(site);
        let workers = ["one", "two"].map(|name| worker(site, name, &dense));
        let config = json!({
            "configured_gpus": ["l4", "a100-80gb"],
            "machine_profiles": {"l4": {}, "a100-80gb": {}},
            "bundles_dir": site.path("bundles"),
            "models_dir": site.path("models"),
        });
        let config = ["--config", &config.to_string()];
        let router = router(site, &[&workers[0], &workers[1]], &config);
        Some(Self { router, workers })
    }

    fn stop(self) {
        self.router.stop();
        self.workers.into_iter().for_each(Server::stop);
    }

    /// The probe, run by an SDK; it must succeed.
    fn probe(&self, generation: &str, more: &[&str]) {
        let here = repository().join("tests/clients/sie");
        let made = repository().join(".cache/sie");
        let ran = Command::new(made.join(generation).join("bin/python"))
            .args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"])
            .args(["-p", "cluster", "--rootdir"])
            .arg(&here)
            .args(["--router", &self.router.base, "--model", "minilm"])
            .args(["--sparse", "splade", "--late", "multi-vector"])
            .args(["--reranker", "reranker"])
            .args(more)
            .arg(here.join("test_probe.py"))
            .env("PYTHONPATH", &here)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(&here)
            .output()
            .unwrap();
        let told = [ran.stdout, ran.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        assert!(ran.status.success(), "SDK {generation}: {}", told.concat());
    }
}

fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: SIE's SDKs: {why}");
}

#[test]
fn both_generations_of_the_sdk_complete_the_probe() {
    if !repository().join(".cache/sie/made-of").exists() {
        skip(
            "they are not there; `make clients` installs them where their repository can be reached. What they say is played from a record",
        );
        return;
    }
    let site = Site::new();
    let Some(cluster) = Cluster::start(&site) else {
        return;
    };
    for generation in GENERATIONS {
        match std::env::var("UPDATE_EXCHANGE") {
            // Writes the record anew.
            Ok(_) => {
                let file = record(generation);
                let _ = fs::remove_file(&file);
                let more = ["-p", "recorder", "--exchange", file.to_str().unwrap()];
                cluster.probe(generation, &more);
            }
            Err(_) => cluster.probe(generation, &[]),
        }
    }
    cluster.stop();
}

fn record(generation: &str) -> PathBuf {
    let file = format!("tests/clients/sie/exchange-{generation}.jsonl");
    repository().join(file)
}

#[test]
fn what_the_sdk_was_recorded_to_say_is_answered_in_the_same_form() {
    let site = Site::new();
    let Some(cluster) = Cluster::start(&site) else {
        return;
    };
    for generation in GENERATIONS {
        for line in fs::read_to_string(record(generation)).unwrap().lines() {
            replay(&cluster.router, &serde_json::from_str(line).unwrap());
        }
    }
    cluster.stop();
}

/// Says what was said, and holds the answer against what was answered.
fn replay(router: &Server, exchange: &Value) {
    let url = format!("{}{}", router.base, exchange["path"].as_str().unwrap());
    let method = exchange["method"].as_str().unwrap();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in exchange["headers"].as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    let body = BASE64.decode(exchange["body"].as_str().unwrap()).unwrap();
    let mut answer = agent().run(request.body(body).unwrap()).unwrap();
    let bytes = answer.body_mut().read_to_vec().unwrap();
    assert_eq!(answer.status().as_u16(), exchange["status"], "{exchange}");
    assert_eq!(
        answer.headers()["content-type"],
        *exchange["kind"].as_str().unwrap()
    );
    let form = match serde_json::from_slice(&bytes) {
        Ok(json) => shape(&json),
        Err(_) => json!(bytes.len()),
    };
    assert_eq!(form, exchange["answer"], "{exchange}");
}

/// What an answer is made of, as the recorder tells it.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter();
            Value::Object(fields.map(|(key, it)| (key.clone(), shape(it))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().take(1).map(shape).collect()),
        Value::Null => json!("NoneType"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("str"),
    }
}
