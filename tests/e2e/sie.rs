//! SIE's own SDKs, both generations, against the router with real workers behind it.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use serde_json::json;

use crate::indexing::minilm;
use crate::router::router;
use crate::site::{Server, Site, repository};

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

#[test]
fn both_generations_of_the_sdk_complete_the_probe() {
    let Some(dense) = minilm() else { return };
    if !repository().join(".cache/models/tiny/splade").is_dir() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: SIE's SDK: no tiny models in .cache"
        );
        return;
    }
    let made = repository().join(".cache/sie");
    if !made.join("made-of").exists() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: SIE's SDK is not there; `make clients` installs it where its repository can be reached"
        );
        return;
    }
    let site = Site::new();
    catalogue(&site);
    let workers = ["one", "two"].map(|name| worker(&site, name, &dense));
    let config = json!({
        "configured_gpus": ["l4", "a100-80gb"],
        "machine_profiles": {"l4": {}, "a100-80gb": {}},
        "bundles_dir": site.path("bundles"),
        "models_dir": site.path("models"),
    });
    let config = config.to_string();
    let router = router(&site, &[&workers[0], &workers[1]], &["--config", &config]);
    let here = repository().join("tests/clients/sie");
    for generation in GENERATIONS {
        let ran = Command::new(made.join(generation).join("bin/python"))
            .args([
                "-m",
                "pytest",
                "--quiet",
                "-p",
                "no:cacheprovider",
                "-p",
                "cluster",
            ])
            .arg("--rootdir")
            .arg(&here)
            .args([
                "--router",
                &router.base,
                "--model",
                "minilm",
                "--sparse",
                "splade",
            ])
            .args(["--late", "multi-vector", "--reranker", "reranker"])
            .arg(here.join("test_probe.py"))
            .env("PYTHONPATH", &here)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(&here)
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "SDK {generation}: {}{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
    }
    router.stop();
    workers.map(Server::stop);
}
