//! What the commands print that need no server.

use std::fs;

use serde_json::Value;

use crate::site::{Site, repository};

const CONFIG: &str = "configs/quickstart/config.json";

#[test]
fn check_lists_what_a_configuration_gives() {
    let site = Site::new();
    expect_test::expect![[r#"
        configs/quickstart/config.json: ok
          search          bm25, title, trigram
          score           overlap
          fuse            Borda, CombMNZ, DBSF, MinMaxFusion, RRF, ScoreFusion, WeightedRRF, ZScoreFusion
          decompose_query none
          collections     quickstart
          aliases         hybrid, reranked
    "#]].assert_eq(&site.succeed(&["check", CONFIG]));

    let json: Value =
        serde_json::from_str(&site.succeed(&["check", CONFIG, "--format", "json"])).unwrap();
    assert_eq!(json["valid"], true);
    let ran = site.run(&[
        "check",
        "configs/wrong/unknown-key.json",
        "--format",
        "json",
    ]);
    assert_eq!(ran.status, Some(2));
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["valid"], false);
    assert_eq!(json["problems"][0]["line"], 7);
    assert_eq!(json["problems"][0]["path"], "services[0].batch_sizes");
}

#[test]
fn devices_tells_what_there_is_whether_or_not_there_is_a_gpu() {
    let site = Site::new();
    let json: Value =
        serde_json::from_str(&site.succeed(&["devices", "--format", "json"])).unwrap();
    let count = json["devices"].as_array().unwrap().len();
    // One or the other: a GPU, or why there is none.
    assert_eq!(json["absent"].is_null(), count > 0, "{json}");
    let auto = json["auto"]["exact_search"].as_str().unwrap();
    assert_eq!(
        auto == "cpu",
        json["auto_is_cpu_because"].is_string(),
        "{json}"
    );
    if count == 0 {
        assert_eq!(auto, "cpu");
    }
    let text = site.succeed(&["devices"]);
    for line in ["driver  ", "compiler  ", "  exact search  "] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn schema_prints_what_is_published() {
    let site = Site::new();
    let printed: Value = serde_json::from_str(&site.succeed(&["schema"])).unwrap();
    let published = fs::read_to_string(repository().join("docs/config.schema.json")).unwrap();
    assert_eq!(printed, serde_json::from_str::<Value>(&published).unwrap());
}

#[test]
fn explain_shows_the_plan_three_ways() {
    let site = Site::new();
    let pipeline = "hybrid >> overlap@title%5";
    expect_test::expect![[r#"
        {bm25%50, title%50, trigram%50}RRF[fusion]%50 >> overlap@title%5
        collection quickstart
        #4 rerank overlap on view title %5
        └─ #3 fuse RRF as fusion %50
           ├─ #0 search bm25 %50
           ├─ #1 search title %50
           └─ #2 search trigram %50
    "#]]
    .assert_eq(&site.succeed(&["explain", CONFIG, pipeline]));
    expect_test::expect![[r#"
        flowchart TD
          query([query])
          answer([answer])
          n0["search bm25 %10"]
          n1["search title %10"]
          n2["fuse RRF"]
          query --> n0
          query --> n1
          n0 --> n2
          n1 --> n2
          n2 --> answer
    "#]]
    .assert_eq(&site.succeed(&["explain", CONFIG, "{bm25, title}RRF", "--format", "mermaid"]));
    let json = site.succeed(&["explain", CONFIG, pipeline, "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["nodes"].as_array().unwrap().len(), 5);
}

#[test]
fn explain_points_at_everything_wrong_with_a_pipeline() {
    let site = Site::new();
    let ran = site.run(&["explain", CONFIG, "hybird >> overlap@titel%5"]);
    assert_eq!(ran.status, Some(2));
    expect_test::expect![[r#"
        error: no service `hybird` that can search
          1 | hybird >> overlap@titel%5
            | ^^^^^^
          help: did you mean `hybrid`?

        error: collection `quickstart` has no view `titel`
          1 | hybird >> overlap@titel%5
            |                   ^^^^^
          help: did you mean `title`?
    "#]]
    .assert_eq(&ran.stderr);
}

#[test]
fn eval_shows_measures_three_ways() {
    let site = Site::new();
    fs::write(site.path("q"), "1 0 a 1\n1 0 b 0\n2 0 c 2\n3 0 d 1\n").unwrap();
    fs::write(
        site.path("r"),
        "1 Q0 b 1 2 s\n1 Q0 a 2 1 s\n2 Q0 c 1 1 s\n9 Q0 a 1 1 s\n",
    )
    .unwrap();
    let eval =
        |more: &[&str]| site.run(&[&["eval", "r", "q", "-m", "num_q,MRR,nDCG@10"], more].concat());
    let ran = eval(&[]);
    expect_test::expect![[r#"
        num_q             3
        recip_rank   0.5000
        ndcg_cut_10  0.5436
    "#]]
    .assert_eq(&ran.stdout);
    expect_test::expect![[r#"
        warning: judged topics that are not in the run: 1 (3); they count with 0
        warning: topics of the run that have no judgements: 1 (9); they are left out
    "#]]
    .assert_eq(&ran.stderr);
    expect_test::expect![[r#"
        topic  num_q  recip_rank  ndcg_cut_10
        1          1      0.5000       0.6309
        2          1      1.0000       1.0000
        all        2      0.7500       0.8155
    "#]]
    .assert_eq(&eval(&["--per-topic", "--skip-missing"]).stdout);
    expect_test::expect![[r#"
        num_q	1	1
        recip_rank	1	0.5000
        ndcg_cut_10	1	0.6309
        num_q	2	1
        recip_rank	2	1.0000
        ndcg_cut_10	2	1.0000
        num_q	3	1
        recip_rank	3	0.0000
        ndcg_cut_10	3	0.0000
        num_q	all	3
        recip_rank	all	0.5000
        ndcg_cut_10	all	0.5436
    "#]]
    .assert_eq(&eval(&["--per-topic", "--format", "tsv"]).stdout);
    let json: Value = serde_json::from_str(&eval(&["--format", "json", "-q"]).stdout).unwrap();
    assert_eq!(json["per_topic"]["1"]["recip_rank"], 0.5);
    assert_eq!(json["missing"][0], "3");
}

#[test]
fn wrong_input_is_exit_status_two_and_says_what_to_do() {
    let site = Site::new();
    for (args, part) in [
        (&["eval", "no.run", "no.qrels"][..], "cannot open no"),
        (
            &["eval", CONFIG, "configs/quickstart/qrels.txt"],
            "config.json:1: ",
        ),
        (
            &["eval", "a", "b", "-m", "nDGC@10"],
            "unknown measure `nDGC@10`",
        ),
        (
            &["run", CONFIG, "--topics", "no.tsv", "--pipeline", "bm25"],
            "cannot open no.tsv",
        ),
        (
            &[
                "run",
                CONFIG,
                "--topics",
                "configs/quickstart/topics.tsv",
                "--pipeline",
                "bm52",
            ],
            "did you mean `bm25`?",
        ),
        (
            &[
                "run",
                CONFIG,
                "--topics",
                "configs/quickstart/topics.tsv",
                "--pipeline",
                "bm25",
                "--tag",
                "two words",
            ],
            "\"two words\"",
        ),
        (
            &["query", "localhost:5000", "--server", "localhost"],
            "is not a server's URL",
        ),
        (&["run", "--topics", "x", "--pipeline", "y"], "CONFIG"),
        (&[], "Usage"),
    ] {
        let ran = site.run(args);
        assert_eq!(ran.status, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(part), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

#[test]
fn the_version_is_told() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        Site::new().succeed(&["--version"]),
        format!("routir-rt {version}\n")
    );
}
