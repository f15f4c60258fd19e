//! Models of a hub, against a small stand-in for it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::Path;

use routir_compute::{GRAPH_FILES, ModelFiles, ModelSource};
use routir_core::{ErrorCode, Result};
use routir_hub::Hub;

#[expect(dead_code, reason = "the hub's own tests need all of it")]
#[path = "../../hub/tests/common/mod.rs"]
mod stand_in;

use stand_in::{COMMIT, StandIn};

fn source() -> ModelSource {
    ModelSource::parse("hf:owner/name").unwrap()
}

fn fetch(hub: &StandIn, cache: &Path) -> Result<ModelFiles> {
    source().files(&Hub::new(&hub.address, cache, false), &[GRAPH_FILES])
}

const FILES: &[(&str, &str)] = &[
    ("README.md", "read me"),
    ("1_Pooling/config.json", "{}"),
    ("config.json", "{}"),
    ("model.safetensors", "weights in another form"),
    ("onnx/model.onnx", "a graph"),
    ("onnx/model.onnx_data", "its weights"),
    ("onnx/model_fp16.onnx", "another graph"),
    ("tokenizer.json", "{\"a\": \"tokenizer\"}"),
];

#[test]
fn fetches_what_it_needs_once_and_keeps_it() {
    let hub = StandIn::start(FILES, None);
    let cache = tempfile::tempdir().unwrap();
    let files = fetch(&hub, cache.path()).unwrap();
    let snapshot = cache
        .path()
        .join("models--owner--name/snapshots")
        .join(COMMIT);
    assert_eq!(files.graph(), snapshot.join("onnx/model.onnx"));
    assert_eq!(std::fs::read_to_string(files.graph()).unwrap(), "a graph");
    assert!(files.folder().join("onnx/model.onnx_data").is_file());
    assert!(files.folder().join("1_Pooling/config.json").is_file());
    let asked = hub.asked();
    for unneeded in ["README", "safetensors", "fp16"] {
        assert!(
            !asked.iter().any(|path| path.contains(unneeded)),
            "{unneeded}"
        );
    }
    fetch(&hub, cache.path()).unwrap();
    assert_eq!(hub.asked(), ["/api/models/owner/name/revision/main"]);
}

#[test]
fn uses_the_cache_when_the_hub_cannot_be_asked() {
    let hub = StandIn::start(FILES, None);
    let cache = tempfile::tempdir().unwrap();
    fetch(&hub, cache.path()).unwrap();
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let away = Hub::new(format!("http://{gone}"), cache.path(), false);
    assert!(source().files(&away, &[GRAPH_FILES]).is_ok());
    let offline = Hub::new(&hub.address, cache.path(), true);
    hub.asked();
    assert!(source().files(&offline, &[GRAPH_FILES]).is_ok());
    assert!(hub.asked().is_empty());
    let error = source()
        .files(&offline, &[&["onnx/model_fp16.onnx"]])
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.message().contains("HF_HUB_OFFLINE"), "{error}");
    assert!(error.message().contains("model_fp16.onnx"), "{error}");
}

#[test]
fn what_neither_has_says_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let away = Hub::new(format!("http://{gone}"), cache.path(), false);
    let error = source().files(&away, &[GRAPH_FILES]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    let message = error.message();
    assert!(
        message.starts_with("model `hf:owner/name`: ") && message.contains("local copy"),
        "{message}"
    );
}

#[test]
fn a_token_opens_what_is_not_for_everybody() {
    let hub = StandIn::start(FILES, Some("secret"));
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&hub, cache.path()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().contains("HF_TOKEN"), "{error}");
    let with_token = Hub::new(&hub.address, cache.path(), false).with_token("secret");
    assert!(source().files(&with_token, &[GRAPH_FILES]).is_ok());
    assert!(!format!("{with_token:?}").contains("secret"));
}

#[test]
fn what_the_repository_has_not_got_is_told() {
    let hub = StandIn::start(
        &[("model.safetensors", "w"), ("tokenizer.json", "{}")],
        None,
    );
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&hub, cache.path()).unwrap_err();
    assert!(error.message().contains("optimum-cli export"), "{error}");
    let other = ModelSource::parse("hf:owner/other").unwrap();
    let hub = Hub::new(&hub.address, cache.path(), false);
    let error = other.files(&hub, &[GRAPH_FILES]).unwrap_err();
    assert!(
        error.message().contains("no such model or revision"),
        "{error}"
    );
}
