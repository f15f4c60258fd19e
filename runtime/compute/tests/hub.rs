//! Models of a hub, against a small stand-in for it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use routir_compute::{GRAPH_FILES, Hub, ModelFiles, ModelSource};
use routir_core::{ErrorCode, Result};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with one repository, `owner/name`.
struct StandIn {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl StandIn {
    /// Serves these files; with a `token`, only to those who have it.
    fn start(files: &[(&str, &str)], token: Option<&str>) -> Self {
        let files: BTreeMap<String, String> = files
            .iter()
            .map(|(name, text)| (name.to_string(), text.to_string()))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, token) = (Arc::clone(&asked), token.map(|it| format!("Bearer {it}")));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(&stream, &files, token.as_deref(), &log);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn files(&self, cache: &Path) -> Result<ModelFiles> {
        source().files(&Hub::new(&self.address, cache, false), &[GRAPH_FILES])
    }
}

fn answer(
    stream: &TcpStream,
    files: &BTreeMap<String, String>,
    token: Option<&str>,
    log: &Mutex<Vec<String>>,
) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else {
        return;
    };
    log.lock().unwrap().push(path.to_owned());
    let header = |name: &str| {
        let mut headers = head.iter().filter_map(|line| line.split_once(": "));
        let found = headers.find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let reply = if token.is_some() && header("authorization").as_deref() != token {
        status("401 Unauthorized")
    } else if path == "/api/models/owner/name/revision/main" {
        let siblings = files
            .keys()
            .map(|name| serde_json::json!({"rfilename": name}));
        let siblings: Vec<_> = siblings.collect();
        body(
            "200 OK",
            "",
            &serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string(),
        )
    } else if let Some(name) = path.strip_prefix(&format!("/owner/name/resolve/{COMMIT}/")) {
        match files.get(name) {
            None => status("404 Not Found"),
            Some(text) => {
                let range = header("range").unwrap_or_default();
                let range = range.trim_start_matches("bytes=").split_once('-').unwrap();
                let start: usize = range.0.parse().unwrap();
                let end = range
                    .1
                    .parse()
                    .map_or(text.len(), |end: usize| end + 1)
                    .min(text.len());
                let more = format!(
                    "x-repo-commit: {COMMIT}\r\netag: \"etag-{}\"\r\ncontent-range: bytes {start}-{}/{}\r\n",
                    name.replace('/', "-"),
                    end - 1,
                    text.len()
                );
                body("206 Partial Content", &more, text.get(start..end).unwrap())
            }
        }
    } else {
        status("404 Not Found")
    };
    { stream }.write_all(reply.as_bytes()).unwrap_or_default();
}

fn status(status: &str) -> String {
    body(status, "", "")
}

fn body(status: &str, headers: &str, text: &str) -> String {
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{text}"
    )
}

fn source() -> ModelSource {
    ModelSource::parse("hf:owner/name").unwrap()
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
    let files = hub.files(cache.path()).unwrap();
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
    hub.files(cache.path()).unwrap();
    assert_eq!(hub.asked(), ["/api/models/owner/name/revision/main"]);
}

#[test]
fn uses_the_cache_when_the_hub_cannot_be_asked() {
    let hub = StandIn::start(FILES, None);
    let cache = tempfile::tempdir().unwrap();
    hub.files(cache.path()).unwrap();
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
        message.starts_with("model `hf:owner/name`: ") && message.contains("local folder"),
        "{message}"
    );
}

#[test]
fn a_token_opens_what_is_not_for_everybody() {
    let hub = StandIn::start(FILES, Some("secret"));
    let cache = tempfile::tempdir().unwrap();
    let error = hub.files(cache.path()).unwrap_err();
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
    let error = hub.files(cache.path()).unwrap_err();
    assert!(error.message().contains("optimum-cli export"), "{error}");
    let other = ModelSource::parse("hf:owner/other").unwrap();
    let hub = Hub::new(&hub.address, cache.path(), false);
    let error = other.files(&hub, &[GRAPH_FILES]).unwrap_err();
    assert!(
        error.message().contains("no such model or revision"),
        "{error}"
    );
}
