//! RoutIR 0.0.2 itself, where it is installed.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use routir_client::{CallOptions, Client};
use routir_remote::relay::{PeerSettings, Transport};
use serde_json::json;
use tempfile::TempDir;

use crate::common::oracle::{DOCS, number};
use crate::common::peer;

/// A server of RoutIR, until it is dropped.
pub(crate) struct Routir {
    pub(crate) base: String,
    child: Child,
    grpc: Option<u16>,
    _dir: TempDir,
}

/// Where `tests/bench/against_routir.py` and the tests of the official client install it.
const HOMES: [&str; 2] = ["clients/venv", "bench/routir-0.0.2"];

impl Routir {
    /// Starts it with the toys; says loudly that it is skipped where RoutIR is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache");
        let mut programs = HOMES.iter().map(|home| cache.join(home).join("bin/routir"));
        // RoutIR 0.0.2 imports numpy without requiring it.
        let serves = |program: &PathBuf| {
            let mut ask = Command::new(program.with_file_name("python"));
            ask.args(["-c", "import routir.serve"])
                .stderr(Stdio::null());
            ask.status().is_ok_and(|status| status.success())
        };
        let Some(program) = programs.find(serves) else {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: pipelines over RoutIR itself: RoutIR 0.0.2 is not installed; \
                 `make clients` installs it under .cache/clients"
            );
            return None;
        };
        let python = program.with_file_name("python");
        let mut ask = Command::new(python);
        ask.args(["-c", "import grpc"]).stderr(Stdio::null());
        let has_grpc = ask.status().is_ok_and(|status| status.success());
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let port = free_port();
        let grpc = has_grpc.then(free_port);
        let mut command = Command::new(program);
        command
            .arg(config)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .arg("--cache_dir")
            .arg(dir.path().join("cache"))
            .current_dir(dir.path());
        if let Some(grpc) = grpc {
            command.args(["--grpc", "--grpc-port", &grpc.to_string()]);
        }
        let log = fs::File::create(dir.path().join("log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut routir = Self {
            base: format!("http://127.0.0.1:{port}"),
            child: command.spawn().unwrap(),
            grpc,
            _dir: dir,
        };
        routir.await_answer().await;
        Some(routir)
    }

    async fn await_answer(&mut self) {
        let client = Client::new(peer(&self.base)).unwrap();
        for _ in 0..600 {
            if client.ping(CallOptions::default()).await.is_ok() {
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = fs::read_to_string(self._dir.path().join("log"));
                panic!("RoutIR ended with {status}: {}", log.unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("RoutIR does not answer");
    }

    /// The ways to speak to it.
    pub(crate) fn transports(&self) -> Vec<PeerSettings> {
        let rest = peer(&self.base);
        let grpc = self.grpc.map(|port| PeerSettings {
            transport: Transport::Grpc,
            grpc_endpoint: Some(format!("127.0.0.1:{port}")),
            ..rest.clone()
        });
        if grpc.is_none() {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: pipelines over RoutIR's gRPC: RoutIR is installed without it"
            );
        }
        [Some(rest), grpc].into_iter().flatten().collect()
    }
}

impl Drop for Routir {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn config(dir: &Path) -> PathBuf {
    let documents: String = DOCS
        .iter()
        .map(|doc| {
            let text = format!("text of {doc} {}", number(doc));
            format!("{}\n", json!({"id": doc, "text": text}))
        })
        .collect();
    fs::write(dir.join("docs.jsonl"), documents).unwrap();
    let toys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/routir/toys.py");
    let service = |name: &str| {
        let engine = if name.starts_with('s') {
            "ToySearch"
        } else {
            "ToyScore"
        };
        json!({"name": name, "engine": engine, "config": {}, "cache": -1, "max_wait_time": 0.001})
    };
    let services = ["s1", "s2", "s3", "r1", "r2"].map(service);
    let config = json!({
        "file_imports": [toys],
        "services": services,
        "collections": [{
            "name": "docs",
            "doc_path": dir.join("docs.jsonl"),
            "cache_path": dir.join("docs.offsets"),
        }],
    });
    let path = dir.join("config.json");
    fs::write(&path, config.to_string()).unwrap();
    path
}
