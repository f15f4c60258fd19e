//! RoutIR's official client, its own tests of it, and stubs of our contract, from Python against
//! the real binary.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::site::{Server, Site, quick_start_and, repository};

const KEY: &str = "k3y-of-the-test";

/// Where gRPC is served, as the server says at its start.
pub(crate) fn grpc(server: &Server) -> String {
    let line = server.banner.lines().find_map(|line| {
        let (what, value) = line.trim().split_once(' ')?;
        (what == "gRPC").then(|| value.trim().to_owned())
    });
    line.unwrap_or_else(|| panic!("no gRPC in {}", server.banner))
}

/// Runs pytest on files or folders; its exit must be 0.
fn pytest(python: &Path, of: &[&Path], servers: &[&str], more: &[&str]) {
    let here = repository().join("tests/clients");
    let ran = Command::new(python)
        .args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"])
        .args(["-o", "asyncio_mode=auto", "--rootdir"])
        .arg(&here)
        .arg("-p")
        .arg("servers")
        .args(servers)
        .args(more)
        .args(of)
        .env("PYTHONPATH", &here)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&here)
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}

/// The quick start, and the toy service that RoutIR's own tests ask for.
fn config(site: &Site) -> String {
    let (run, topics) = (site.path("toy.run"), site.path("toy.tsv"));
    fs::write(&run, "1 Q0 doc1 1 1.0 toy\n1 Q0 doc2 2 0.5 toy\n").unwrap();
    fs::write(&topics, "1\thello\n").unwrap();
    quick_start_and(&[("trivial", "TrecRun", json!({"run": run, "topics": topics}))])
}

#[test]
fn the_official_client_and_stubs_of_our_contract() {
    let made = repository().join(".cache/clients");
    let python = made.join("venv/bin/python");
    if !made.join("venv/made-of").exists() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: RoutIR's official client is not there; `make clients` installs it"
        );
        return;
    }
    let site = Site::new();
    let config = &config(&site);
    let ports = ["--grpc", "--grpc-port", "0"];
    let both = site.serve(config, &ports);
    let rest_only = site.serve(config, &[]);
    let mut guarded = site.command(&[config, "--port", "0", "--host", "127.0.0.1"]);
    guarded.args(ports).env("ROUTIR_API_KEY", KEY);
    let authed = site.start(guarded);
    let servers = [
        "--both",
        &both.base,
        &grpc(&both),
        "--rest-only",
        &rest_only.base,
        "--authed",
        &authed.base,
        &grpc(&authed),
        KEY,
    ];
    let here = repository().join("tests/clients");
    pytest(&python, &[&here.join("test_official.py")], &servers, &[]);
    pytest(&python, &[&here.join("test_next_level.py")], &servers, &[]);

    // RoutIR's own tests of its client, aimed at us. Left out is one that wants `/avail` to say no
    // more than 0.0.2's client shows of gRPC's (the next level says more, and so does ours); what
    // there is here is asked for above. Its other tests start no server.
    let theirs = made.join("routir-tests/test_client_transports.py");
    let but = "not test_ping_avail_match";
    pytest(&python, &[&theirs], &servers, &["-k", but]);
    for server in [both, rest_only, authed] {
        server.stop();
    }
}
