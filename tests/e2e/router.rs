//! The router as users start it: before workers that are processes of their own.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::site::{Server, Site, agent};

const QUERIES: [&str; 4] = [
    "why is the sky blue",
    "how do bees find food",
    "what makes bread rise",
    "who built the pyramids",
];

/// A worker with some services over the quick start's passages.
fn worker(site: &Site, name: &str, services: &Value) -> Server {
    let config = json!({
        "services": services,
        "collections": [{"name": "quickstart", "views": {"text": {"source": {
            "source": "text_jsonl",
            "doc_path": site.path("configs/quickstart/passages.jsonl"),
            "content_fields": ["title", "text"]}}}}],
        "rt": {"worker": {"name": name, "machine_profile": "l4"}},
    });
    let file = format!("{}.json", name.replace(|c: char| !c.is_alphanumeric(), "_"));
    fs::write(site.path(&file), config.to_string()).unwrap();
    site.serve(&file, &["--cache_dir", &format!("cache-{file}")])
}

fn bm25() -> Value {
    json!([{"name": "bm25", "engine": "BM25", "config": {"collection": "quickstart"}}])
}

pub(crate) fn router(site: &Site, workers: &[&Server], more: &[&str]) -> Server {
    let mut args = vec!["router", "serve", "--port", "0", "--host", "127.0.0.1"];
    for worker in workers {
        args.extend(["-w", &worker.base]);
    }
    args.extend(more);
    let router = site.start(site.command(&args));
    await_workers(&router, workers.len());
    router
}

fn await_workers(router: &Server, count: usize) {
    let end = Instant::now() + Duration::from_secs(30);
    while router.get("/health").1["cluster"]["worker_count"] != count {
        assert!(Instant::now() < end, "{}", router.get("/health").1);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ranking(server: &Server, pipeline: &str, query: &str) -> Value {
    let body = json!({"pipeline": pipeline, "query": query, "collection": "quickstart"});
    let (status, answer) = server.post("/pipeline", &body);
    assert_eq!(status, 200, "{answer}");
    answer["scores"].clone()
}

#[test]
fn a_pipeline_over_several_workers_ranks_as_on_one_server() {
    let site = Site::new();
    let services = |names: &[&str]| {
        let all = json!([
            {"name": "bm25", "engine": "BM25", "config": {"collection": "quickstart"}},
            {"name": "short", "engine": "BM25", "config": {"collection": "quickstart", "k1": 1.2, "b": 0.75}},
            {"name": "overlap", "engine": "TokenOverlap", "config": {}},
        ]);
        let all = all.as_array().unwrap().iter();
        let some = all.filter(|it| names.contains(&it["name"].as_str().unwrap()));
        json!(some.collect::<Vec<_>>())
    };
    let whole = worker(&site, "whole", &services(&["bm25", "short", "overlap"]));
    let first = worker(&site, "first", &services(&["bm25"]));
    let second = worker(&site, "second", &services(&["short", "overlap"]));
    let router = router(&site, &[&first, &second], &[]);
    for query in QUERIES {
        for pipeline in [
            "bm25%20",
            "{bm25%50, short%50}RRF%20",
            "{bm25%30, short%30}RRF%30 >> overlap%10",
        ] {
            let expected = ranking(&whole, pipeline, query);
            assert_eq!(ranking(&router, pipeline, query), expected, "{pipeline}");
        }
    }
    let (status, wrong) = router.post(
        "/pipeline",
        &json!({"pipeline": "{bm25, nobody}RRF", "query": "x", "collection": "quickstart"}),
    );
    assert_eq!(status, 400, "{wrong}");
    for server in [router, whole, first, second] {
        server.stop();
    }
}

#[test]
fn a_worker_that_is_killed_costs_no_client_anything() {
    let site = Site::new();
    let mut doomed = worker(&site, "doomed", &bm25());
    let other = worker(&site, "other", &bm25());
    let router = router(&site, &[&doomed, &other], &[]);
    let expected = ranking(&other, "bm25%10", QUERIES[0]);
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(ranking(&router, "bm25%10", QUERIES[0]), expected);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let wait = |more: usize| {
            let (from, end) = (
                answered.load(Ordering::Relaxed),
                Instant::now() + Duration::from_secs(30),
            );
            while answered.load(Ordering::Relaxed) < from + more && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        wait(100);
        doomed.child.kill().unwrap();
        doomed.child.wait().unwrap();
        wait(100);
        stop.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) >= 200);
    await_workers(&router, 1);
    router.stop();
    other.stop();
}

/// A worker whose name would be a script, if it were read as HTML.
const HOSTILE: &str = "<img src=x onerror=document.title=1>";

#[test]
fn the_status_page_shows_workers_in_a_browser() {
    let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter();
    let mut browser = browser.filter(|it| Command::new(it).arg("--version").output().is_ok());
    let Some(browser) = browser.next() else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the status page in a browser: no chromium (setup.sh installs it)"
        );
        return;
    };
    let site = Site::new();
    let worker = worker(&site, HOSTILE, &bm25());
    let router = router(&site, &[&worker], &[]);
    let profile = format!("--user-data-dir={}", site.path("profile").display());
    let shown = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
        .args(["--virtual-time-budget=4000", "--dump-dom", &profile])
        .arg(&router.base)
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&shown.stdout);
    let complaint = String::from_utf8_lossy(&shown.stderr);
    assert!(shown.status.success(), "{complaint}");
    assert!(page.contains("&lt;img src=x onerror"), "{page}{complaint}");
    assert!(!page.contains("<img src=x"), "{page}");
    assert!(!page.contains("<title>1</title>"), "{page}");
    router.stop();
    worker.stop();
}

#[test]
fn mistakes_of_the_operator_are_told_at_the_start() {
    let site = Site::new();
    for (args, told) in [
        (&["-w", "ftp://a:1"][..], "ftp://a:1"),
        (
            &["--config", r#"{"timeouts": {"conect": 1}}"#],
            "did you mean `connect`",
        ),
        (&["--config", r#"{"auth": {"mode": "static"}}"#], "token"),
        (
            &["--config", r#"{"worker_tls": {"ca": "/nowhere.pem"}}"#],
            "`worker_tls.ca`: `/nowhere.pem`",
        ),
    ] {
        let ran = site.run(&[&["router", "serve", "--port", "0"], args].concat());
        assert_eq!(ran.status, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
    let schema: Value = serde_json::from_str(&site.succeed(&["router", "schema"])).unwrap();
    assert!(schema["properties"]["selection"].is_object(), "{schema}");
    let help = site.succeed(&["router", "serve", "--help"]);
    for flag in [
        "--kubernetes",
        "--k8s-service",
        "--json-logs",
        "--log-level",
    ] {
        assert!(help.contains(flag), "{help}");
    }
}

#[test]
fn tokens_guard_the_router() {
    let site = Site::new();
    let worker = worker(&site, "guarded", &bm25());
    let mut command = site.command(&[
        "router",
        "serve",
        "--port",
        "0",
        "--host",
        "127.0.0.1",
        "-w",
        &worker.base,
    ]);
    command
        .env("SIE_AUTH_MODE", "static")
        .env("SIE_AUTH_TOKENS", "one,two");
    let mut router = site.start(command);
    assert_eq!(router.get("/health").0, 401);
    assert_eq!(router.get("/healthz").0, 200);
    router.key = Some("two");
    await_workers(&router, 1);
    assert!(
        !ranking(&router, "bm25%5", QUERIES[1])
            .as_object()
            .unwrap()
            .is_empty()
    );
    let bare = agent().get(format!("{}/v1/models", router.base));
    let bare = bare.header("authorization", "one").call().unwrap();
    assert_eq!(bare.status(), 200);
    router.stop();
    worker.stop();
}
