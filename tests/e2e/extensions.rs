//! Extensions, served: from the configuration, by tenants, through the commands of `ext`.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::site::{Ran, Server, Site, agent};
use crate::wrap;

const ACME: &str = "acme-key-0123456789abcdef";
const OTHER: &str = "other-key-0123456789abcdef";
const OPERATOR: &str = "operator-key-0123456789";

/// The component of the fusion in `rrf.wat`.
fn rrf() -> Vec<u8> {
    wrap::component_of(include_str!("rrf.wat"))
}

/// A site whose quick start has `more` besides, as `configs/quickstart/more.json`.
fn site(more: impl FnOnce(&mut Value)) -> (Site, PathBuf) {
    let site = Site::new();
    let mut config: Value =
        serde_json::from_str(&site.read("configs/quickstart/config.json")).unwrap();
    more(&mut config);
    let path = site.path("configs/quickstart/more.json");
    fs::write(&path, config.to_string()).unwrap();
    (site, path)
}

fn extension(name: &str) -> Value {
    json!({"name": name, "engine": "Extension", "config": {"component": "rrf.wasm"}})
}

fn pipeline(merger: &str) -> Value {
    json!({
        "pipeline": format!("{{bm25%20, title%20}}{merger}%10"),
        "query": "how do honeybees tell each other where to find food",
        "collection": "quickstart",
        "runtime_kwargs": if merger == "RRF" { json!({"RRF": {"rrf_k": 60}}) } else { json!({}) },
    })
}

/// One request with a key.
fn ask(server: &Server, method: &str, path: &str, key: &str, body: &[u8]) -> (u16, Value) {
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.base))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/wasm")
        .body(body)
        .unwrap();
    let mut answer = agent().run(request).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (answer.status().as_u16(), json)
}

fn run(server: &Server, key: &str, merger: &str) -> (u16, Value) {
    let body = pipeline(merger).to_string();
    ask(server, "POST", "/pipeline", key, body.as_bytes())
}

#[test]
fn a_fusion_of_the_configuration_ranks_as_the_native_one_does() {
    let (site, config) = site(|config| {
        let services = config["services"].as_array_mut().unwrap();
        services.push(extension("wasm-rrf"));
        let mut trusted = extension("trusted-rrf");
        trusted["config"]["trusted"] = json!(true);
        services.push(trusted);
    });
    fs::write(site.path("configs/quickstart/rrf.wasm"), rrf()).unwrap();
    let server = site.serve(config.to_str().unwrap(), &[]);
    let (status, native) = server.post("/pipeline", &pipeline("RRF"));
    assert_eq!(status, 200, "{native}");
    assert!(native["scores"].as_object().unwrap().len() == 10);
    for merger in ["wasm-rrf", "trusted-rrf"] {
        for _ in 0..3 {
            let (status, guest) = server.post("/pipeline", &pipeline(merger));
            assert_eq!(status, 200, "{guest}");
            assert_eq!(guest["scores"], native["scores"]);
        }
    }
    server.stop();
}

#[test]
fn a_broken_component_ends_the_start_at_its_place_in_the_configuration() {
    let (site, config) = site(|config| {
        let services = config["services"].as_array_mut().unwrap();
        services.push(extension("wasm-rrf"));
    });
    fs::write(site.path("configs/quickstart/rrf.wasm"), b"\0asm garbage").unwrap();
    for command in ["check", "serve"] {
        let ran = site.run(&[command, config.to_str().unwrap()]);
        assert_eq!(ran.status, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains("more.json:"), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("rrf.wasm") || ran.stderr.contains("wasm-rrf"),
            "{}",
            ran.stderr
        );
    }
}

/// A site with two tenants: one that may use what the pipeline needs, one that may use nothing.
fn tenants() -> (Site, PathBuf) {
    site(|config| {
        config["tenants"] = json!([
            {
                "name": "acme",
                "keys": [ACME],
                "grants": {"services": ["bm25", "tit*"], "collections": ["quickstart"]},
                "limits": {"cpu_ms": 200, "time_ms": 1000},
                "on_failure": {"trip_after": 3, "retry_after": 600},
            },
            {"name": "other", "keys": [OTHER]},
        ]);
    })
}

fn serve(site: &Site, config: &std::path::Path) -> Server {
    site.serve(
        config.to_str().unwrap(),
        &["--api_key", OPERATOR, "--cache_dir", "cache"],
    )
}

#[test]
fn a_tenant_brings_an_extension_which_is_its_own_and_outlives_a_restart() {
    let (site, config) = tenants();
    let server = serve(&site, &config);
    assert_eq!(run(&server, ACME, "mine").0, 400);
    let (status, report) = ask(&server, "PUT", "/extensions/mine", ACME, &rrf());
    assert_eq!(status, 201, "{report}");
    assert_eq!(report["roles"], json!(["fuse"]), "{report}");
    let (_, native) = run(&server, ACME, "RRF");
    let (status, guest) = run(&server, ACME, "mine");
    assert_eq!(status, 200, "{guest}");
    assert_eq!(guest["scores"], native["scores"]);

    // Neither the other tenant nor the operator knows the name, nor does the other see services.
    for key in [OTHER, OPERATOR] {
        let (status, answer) = run(&server, key, "mine");
        assert_eq!(status, 400, "{answer}");
        assert!(answer.to_string().contains("mine"), "{answer}");
    }
    assert_eq!(ask(&server, "GET", "/extensions/mine", OTHER, b"").0, 404);
    let (_, avail) = ask(&server, "GET", "/avail", OTHER, b"");
    assert!(!avail.to_string().contains("bm25"), "{avail}");
    assert_eq!(
        ask(&server, "GET", "/avail", "no-such-key-0123456789", b"").0,
        401
    );

    // A second version that is broken changes nothing; one that is not can be taken back.
    let (status, refused) = ask(&server, "PUT", "/extensions/mine", ACME, b"\0asm nonsense");
    assert_eq!(status, 400, "{refused}");
    assert_eq!(run(&server, ACME, "mine").1["scores"], native["scores"]);
    let evil = wrap::asleep("answer_nan");
    let (status, report) = ask(&server, "PUT", "/extensions/mine", ACME, &evil);
    assert_eq!(status, 200, "{report}");
    let (status, failed) = run(&server, ACME, "mine");
    assert_eq!(status, 502, "{failed}");
    assert!(failed.to_string().contains("acme/mine"), "{failed}");
    let (status, back) = ask(&server, "POST", "/extensions/mine/rollback", ACME, b"");
    assert_eq!(status, 200, "{back}");
    assert_eq!(run(&server, ACME, "mine").1["scores"], native["scores"]);
    server.stop();

    let server = serve(&site, &config);
    assert_eq!(run(&server, ACME, "mine").1["scores"], native["scores"]);
    assert_eq!(ask(&server, "DELETE", "/extensions/mine", ACME, b"").0, 204);
    assert_eq!(run(&server, ACME, "mine").0, 400);
    server.stop();
    let audit = site.files("cache", "audit.jsonl");
    let audit = fs::read_to_string(audit.first().unwrap()).unwrap();
    assert!(audit.lines().count() >= 5, "{audit}");
    assert!(!audit.contains(ACME), "a key is in the audit");
}

#[test]
fn a_hostile_extension_fails_by_name_and_is_kept_out_while_others_answer() {
    let (site, config) = tenants();
    let server = serve(&site, &config);
    let spin = wrap::asleep("spin_fuse");
    let (status, report) = ask(&server, "PUT", "/extensions/spin", ACME, &spin);
    assert_eq!(status, 201, "{report}");
    assert_eq!(ask(&server, "PUT", "/extensions/mine", ACME, &rrf()).0, 201);
    for _ in 0..3 {
        let (status, failed) = run(&server, ACME, "spin");
        assert_eq!(status, 502, "{failed}");
        assert!(failed.to_string().contains("acme/spin"), "{failed}");
        assert_eq!(run(&server, ACME, "mine").0, 200);
    }
    let (status, out) = run(&server, ACME, "spin");
    assert_eq!(status, 503, "{out}");
    let (_, report) = ask(&server, "GET", "/extensions/spin", ACME, b"");
    assert_eq!(report["state"], "tripped", "{report}");
    assert_eq!(run(&server, ACME, "mine").0, 200);
    server.stop();
}

#[test]
fn a_directory_is_watched() {
    let (site, config) = site(|config| {
        config["tenants"] = json!([{
            "name": "acme",
            "keys": [ACME],
            "extension_dirs": ["dropped"],
            "grants": {"services": ["*"], "collections": ["*"]},
        }]);
    });
    let dir = site.path("configs/quickstart/dropped");
    fs::create_dir(&dir).unwrap();
    let server = serve(&site, &config);
    let becomes = |status: u16| {
        let arrived = (0..300).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            run(&server, ACME, "evil").0 == status
        });
        assert!(arrived, "the directory's change to {status} was not seen");
    };
    // The manifest of the test's fusion says `evil`, as all that are made of the same parts do.
    fs::write(dir.join("evil.wasm.part"), rrf()).unwrap();
    fs::rename(dir.join("evil.wasm.part"), dir.join("evil.wasm")).unwrap();
    becomes(200);
    fs::remove_file(dir.join("evil.wasm")).unwrap();
    becomes(400);
    server.stop();
}

#[test]
fn the_commands_make_check_and_call_extensions() {
    let site = Site::new();
    let core = wrap::core_of(include_str!("rrf.wat"));
    fs::write(site.path("core.wasm"), core).unwrap();
    site.succeed(&[
        "ext",
        "wrap",
        "core.wasm",
        "--world",
        "fusion",
        "-o",
        "rrf.wasm",
    ]);
    let report: Value =
        serde_json::from_str(&site.succeed(&["ext", "check", "rrf.wasm", "--format", "json"]))
            .unwrap();
    assert_eq!(report["admitted"], true, "{report}");
    let laws = report["laws"].as_array().unwrap();
    assert!(
        laws.iter()
            .all(|law| law["kept"] == true && law["used"]["fuel"].as_u64() > Some(0)),
        "{report}"
    );

    let case = json!({
        "query": "q",
        "lists": [
            {"source": "a", "hits": [["x", 3.0], ["y", 2.0]]},
            {"source": "b", "hits": [["y", 9.0], ["z", 1.0]]},
        ],
    });
    fs::write(site.path("case.json"), case.to_string()).unwrap();
    let shown = site.succeed(&["ext", "run", "rrf.wasm", "--case", "case.json"]);
    let order: Vec<_> = shown
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .collect();
    assert_eq!(order, ["y", "x", "z"], "{shown}");

    fs::write(site.path("spin.wasm"), wrap::evil("spin_fuse")).unwrap();
    let Ran { status, stderr, .. } = site.run(&["ext", "check", "spin.wasm", "--cpu-ms", "100"]);
    assert_eq!(status, Some(2), "{stderr}");
    for wrong in [
        &["ext", "check", "core.wasm"][..],
        &["ext", "wrap", "rrf.wasm", "-o", "x"],
    ] {
        let Ran { status, stderr, .. } = site.run(wrong);
        assert_eq!(status, Some(2), "{stderr}");
    }

    site.succeed(&["ext", "new", "--lang", "c", "my-fusion"]);
    assert!(site.path("my-fusion/build.sh").is_file());
    assert_eq!(
        site.run(&["ext", "new", "--lang", "c", "my-fusion"]).status,
        Some(2)
    );
}
