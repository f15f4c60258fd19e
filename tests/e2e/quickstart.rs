//! The quick start: it serves, fuses and reranks, and its rankings are worth something.

use serde_json::json;

use crate::site::Site;

const CONFIG: &str = "configs/quickstart/config.json";
const TOPICS: &str = "configs/quickstart/topics.tsv";
const QRELS: &str = "configs/quickstart/qrels.txt";

#[test]
fn every_endpoint_answers() {
    let site = Site::new();
    let server = site.serve(CONFIG, &[]);
    assert!(
        server.banner.contains("quickstart (277 documents)"),
        "{}",
        server.banner
    );
    assert!(
        server.banner.contains("bm25, title, trigram"),
        "{}",
        server.banner
    );
    assert_eq!(server.get("/ping"), (200, json!({"status": "pong"})));
    assert_eq!(server.get("/readyz").0, 200);
    let (_, avail) = server.get("/avail");
    assert_eq!(avail["search"], json!(["bm25", "title", "trigram"]));
    assert_eq!(avail["score"], json!(["overlap"]));
    assert_eq!(avail["content"], json!(["quickstart"]));
    assert!(avail["fuse"].as_array().unwrap().contains(&json!("RRF")));

    let search = json!({"service": "bm25", "query": "java coffee", "limit": 3});
    let (status, found) = server.post("/search", &search);
    assert_eq!((status, &found["cached"]), (200, &json!(false)));
    assert_eq!(found["scores"].as_object().unwrap().len(), 3);
    let best = found["scores"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    assert_eq!(server.post("/search", &search).1["cached"], json!(true));

    let (status, document) =
        server.post("/content", &json!({"collection": "quickstart", "id": best}));
    assert_eq!(status, 200);
    assert!(
        document["text"]
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains("coffee"),
        "{document}"
    );

    let reranked = server.ids(
        "hybrid >> overlap%5",
        "how did sailors find their longitude at sea",
    );
    assert_eq!(reranked.len(), 5);
    assert_eq!(server.ids("reranked", "java coffee").len(), 10);
    let explained = server.post("/explain", &json!({"pipeline": "hybrid"})).1;
    assert!(
        explained["text"]
            .as_str()
            .unwrap()
            .contains("fuse RRF as fusion %50"),
        "{explained}"
    );
    server.stop();
}

#[test]
fn runs_are_worth_something_and_the_same_from_a_server() {
    let site = Site::new();
    let server = site.serve(CONFIG, &[]);
    // Floors a little below what each reaches: a broken ranking falls far below.
    for (pipeline, floor) in [("bm25", 0.68), ("hybrid", 0.66), ("reranked", 0.63)] {
        let run = [
            "--topics",
            TOPICS,
            "--pipeline",
            pipeline,
            "--collection",
            "quickstart",
        ];
        let here = site.succeed(&[&["run", CONFIG], &run[..]].concat());
        let there = site.succeed(&[&["run", "--server", &server.base], &run[..]].concat());
        assert!(
            here == there,
            "{pipeline} differs between process and server"
        );
        std::fs::write(site.path("a.run"), here).unwrap();
        let json = [
            "eval",
            "a.run",
            QRELS,
            "--measures",
            "nDCG@10",
            "--format",
            "json",
        ];
        let measured: serde_json::Value = serde_json::from_str(&site.succeed(&json)).unwrap();
        let ndcg = measured["overall"]["ndcg_cut_10"].as_f64().unwrap();
        assert!(
            ndcg >= floor,
            "{pipeline}: nDCG@10 is {ndcg}, below {floor}"
        );
        assert_eq!(measured["missing"], json!([]));
    }
}

#[test]
fn lines_of_json_say_what_was_asked_and_measure_the_same() {
    let site = Site::new();
    let run = [
        "run",
        CONFIG,
        "--topics",
        TOPICS,
        "--pipeline",
        "bm25%20",
        "--output",
    ];
    site.succeed(&[&run[..], &["a.jsonl", "--format", "jsonl"]].concat());
    site.succeed(&[&run[..], &["a.run"]].concat());
    let lines = site.read("a.jsonl");
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let keys: Vec<_> = first.as_object().unwrap().keys().collect();
    let expected = [
        "endpoint",
        "pipeline",
        "collection",
        "query_id",
        "query",
        "results",
    ];
    assert_eq!(keys, expected);
    assert_eq!(first["query_id"], "q01");
    assert_eq!(first["results"][0]["rank"], 1);
    assert_eq!(lines.lines().count(), 30);
    let [of_lines, of_run] =
        ["a.jsonl", "a.run"].map(|file| site.succeed(&["eval", file, QRELS, "--per-topic"]));
    assert_eq!(of_lines, of_run);
}

#[test]
fn topics_that_fail_are_named_and_the_others_kept() {
    let site = Site::new();
    std::fs::write(
        site.path("t.tsv"),
        "a\tjava coffee\nb\tno topic of the run\nc\tjava coffee\n",
    )
    .unwrap();
    let ran = site.run(&["run", CONFIG, "--topics", "t.tsv", "--pipeline", "title%1"]);
    assert_eq!(ran.status, Some(1));
    let topics: Vec<_> = ran.stdout.lines().map(|line| &line[..1]).collect();
    assert_eq!(topics, ["a", "c"]);
    assert!(
        ran.stderr.contains("1 of 3 topics failed:\n  b: "),
        "{}",
        ran.stderr
    );
}
