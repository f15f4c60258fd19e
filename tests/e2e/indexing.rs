//! From documents to a served index: `index` of every kind, whole and interrupted.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use routir_vectors::{Element, Format, VectorWriter};
use serde_json::json;

use crate::site::{Site, repository};

const PASSAGES: &str = "configs/quickstart/passages.jsonl";

/// The folder of MiniLM, if it and ONNX Runtime are there.
pub(crate) fn minilm() -> Option<String> {
    let cache = repository().join(".cache");
    let model = cache.join("models/minilm");
    let there = model.join("tokenizer.json").is_file() && cache.join("native/onnxruntime").is_dir();
    if !there {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: encoding with MiniLM: no model or no ONNX Runtime in .cache (make run sets them up)"
        );
    }
    there.then(|| model.to_str().unwrap().to_owned())
}

/// Whether FAISS is there.
pub(crate) fn faiss() -> bool {
    let there = repository().join(".cache/native/faiss").is_dir();
    if !there {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: a FAISS index: no FAISS in .cache/native (make run sets it up)"
        );
    }
    there
}

/// The arguments that encode the quick start's passages.
pub(crate) fn encode<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common = [
        "encode",
        PASSAGES,
        "--fields",
        "title,text",
        "--model",
        model,
    ];
    [&common[..], more].concat()
}

#[test]
fn passages_are_encoded_indexed_served_and_found() {
    let (Some(model), true) = (minilm(), faiss()) else {
        return;
    };
    let site = Site::new();
    site.succeed(&encode(
        &model,
        &["-o", "vectors", "--documents-per-file", "100"],
    ));
    for (name, index_string) in [("flat", "Flat"), ("pq", "PQ96x4fs")] {
        let told = site.succeed(&[
            "index",
            "faiss",
            "vectors",
            "--index-string",
            index_string,
            "-o",
            name,
        ]);
        assert!(told.contains("vectors     277 from 3 files"), "{told}");
        assert_eq!(site.read(&format!("{name}/index.ids")).lines().count(), 277);
    }
    let again = ["index", "faiss", "vectors", "-o", "flat"];
    assert!(site.run(&again).stderr.contains("--overwrite"));
    site.succeed(&[&again[..], &["--overwrite"]].concat());

    let service = |name: &str| {
        json!({"name": name, "engine": "SentenceTransformerEngine",
               "config": {"embedding_model_name": model, "index_path": name}})
    };
    let config = json!({
        "services": [service("flat"), service("pq")],
        "collections": [{"name": "quickstart", "doc_path": "configs/quickstart/passages.jsonl"}],
    });
    fs::write(site.path("dense.json"), config.to_string()).unwrap();
    let server = site.serve("dense.json", &[]);
    for (query, wanted) in [
        (
            "how do bees tell each other where the flowers are",
            "bees-01",
        ),
        ("a clock that found the longitude of ships", "sea-01"),
    ] {
        for pipeline in ["flat%10", "pq%10"] {
            let ids = server.ids(pipeline, query);
            assert!(
                ids.iter().take(3).any(|id| id == wanted),
                "{pipeline}: {ids:?}"
            );
        }
    }
    server.stop();
}

#[test]
fn an_index_of_words_is_what_the_engine_would_build() {
    let site = Site::new();
    let args = [
        "index",
        "bm25",
        PASSAGES,
        "--fields",
        "title,text",
        "-o",
        "words",
    ];
    let told = site.succeed(&args);
    assert!(
        told.contains("documents   277") && told.contains("time"),
        "{told}"
    );
    let told = site.succeed(&args);
    assert!(told.contains("as it was: it fits the documents"), "{told}");
    let mut config: serde_json::Value =
        serde_json::from_str(&site.read("configs/quickstart/config.json")).unwrap();
    config["services"][0]["config"]["index_path"] = json!(site.path("words"));
    fs::write(
        site.path("configs/quickstart/words.json"),
        config.to_string(),
    )
    .unwrap();
    let stamp = || {
        fs::metadata(site.path("words/index/stamp.json"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let built = stamp();
    let server = site.serve("configs/quickstart/words.json", &[]);
    assert!(!server.ids("bm25%3", "java coffee").is_empty());
    server.stop();
    assert_eq!(stamp(), built, "it was built again");
}

/// The folder of one of the tiny models, if they and ONNX Runtime are there.
fn tiny(name: &str) -> Option<String> {
    let cache = repository().join(".cache");
    let model = cache.join("models/tiny").join(name);
    let there = model.join("model.onnx").is_file() && cache.join("native/onnxruntime").is_dir();
    if !there {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: an index by the tiny model {name}: no such model or no ONNX Runtime in .cache"
        );
    }
    there.then(|| model.to_str().unwrap().to_owned())
}

#[test]
fn token_vectors_are_encoded_into_an_index_that_is_served() {
    let Some(model) = tiny("multi-vector") else {
        return;
    };
    let site = Site::new();
    let args = [
        "index",
        "late",
        PASSAGES,
        "--fields",
        "title,text",
        "--model",
        &model,
        "-o",
        "late",
    ];
    let told = site.succeed(&args);
    assert!(
        told.contains("documents   277") && told.contains("token vectors"),
        "{told}"
    );
    let ran = site.run(&args);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("or --overwrite"), "{}", ran.stderr);
    site.succeed(&[&args[..], &["--overwrite", "--bits", "16"]].concat());
    let config = json!({
        "services": [{"name": "late", "engine": "PLAIDX",
                      "config": {"checkpoint": model, "index_path": "late"}}],
        "collections": [{"name": "quickstart", "doc_path": "configs/quickstart/passages.jsonl"}],
    });
    fs::write(site.path("late.json"), config.to_string()).unwrap();
    let server = site.serve("late.json", &[]);
    assert_eq!(
        server.ids("late%10", "how do bees tell each other").len(),
        10
    );
    server.stop();
}

#[test]
fn term_weights_are_encoded_or_taken_as_they_are() {
    let Some(model) = tiny("splade") else { return };
    let site = Site::new();
    let common = ["index", "sparse", "--model", &model];
    let args = [
        &common[..],
        &[PASSAGES, "--fields", "title,text", "-o", "sparse"],
    ]
    .concat();
    let told = site.succeed(&args);
    assert!(
        told.contains("documents   277") && told.contains("weights of"),
        "{told}"
    );
    assert!(site.run(&args).stderr.contains("or --overwrite"));
    site.succeed(&[&args[..], &["--overwrite", "--max-terms", "3"]].concat());

    // A token that every tokenizer of this kind has.
    let weights = r#"{"id": "a", "vector": {"[CLS]": 1.5}, "contents": ""}
{"id": 7, "vector": {}}
"#;
    fs::write(site.path("w.jsonl"), weights).unwrap();
    let args = |output| [&common[..], &["w.jsonl", "--weights", "-o", output]].concat();
    let told = site.succeed(&args("taken"));
    assert!(told.contains("documents   2 (1 without weights)"), "{told}");
    fs::write(
        site.path("w.jsonl"),
        weights.replace("[CLS]", "no such term"),
    )
    .unwrap();
    let ran = site.run(&args("other"));
    assert_eq!(ran.status, Some(2));
    assert!(
        ran.stderr
            .contains("w.jsonl: line 1: the vocabulary has no term"),
        "{}",
        ran.stderr
    );
    assert!(!site.path("other").exists());
}

/// Vectors whose numbers are those of `rows`.
fn write(path: &Path, rows: &[(&str, Vec<f32>)]) {
    let dim = rows[0].1.len();
    let mut writer = VectorWriter::create(path, Format::Routir, Element::F32, dim).unwrap();
    for (id, row) in rows {
        writer.push(id, row).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn what_cannot_be_indexed_is_told_with_its_file() {
    let site = Site::new();
    let dir = site.path("v");
    fs::create_dir(&dir).unwrap();
    for (number, dim) in [(0, 4), (1, 4), (2, 3)] {
        write(
            &dir.join(format!("shard{number}.npy")),
            &[("a", vec![1.0; dim])],
        );
    }
    let fails = |args: &[&str], why: &str| {
        let ran = site.run(&[&["index", "faiss", "-o", "idx"], args].concat());
        assert_eq!(ran.status, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        assert!(!site.path("idx").exists());
    };
    fails(
        &["v"],
        "shard2.npy` has vectors of 3 numbers, but `v/shard0.npy` has vectors of 4",
    );
    fails(
        &["v/shard0.npy", "--index-string", "IVF64,Flat"],
        "`IVF64` of `IVF64,Flat` learns 64 centroids",
    );
    fails(&["nowhere"], "check the path");
    fails(&["configs"], "there are no files of vectors");
    fs::write(site.path("evil.npy"), evil()).unwrap();
    fails(&["evil.npy"], "`os.system`");
    fs::create_dir(site.path("mine")).unwrap();
    fs::write(site.path("mine/letters.txt"), "").unwrap();
    let ran = site.run(&[
        "index",
        "faiss",
        "v/shard0.npy",
        "-o",
        "mine",
        "--overwrite",
    ]);
    assert!(ran.stderr.contains("is no such index"), "{}", ran.stderr);

    let ran = site.run(&["encode", PASSAGES, "--model", "no/such/model", "-o", "out"]);
    assert!(matches!(ran.status, Some(1 | 2)), "{}", ran.stderr);
    assert!(!site.path("out").exists());
    let ran = site.run(&["encode", "nowhere.jsonl", "--model", "m", "-o", "out"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("nowhere.jsonl"), "{}", ran.stderr);
}

/// A pickle that would run a command.
fn evil() -> Vec<u8> {
    let header = "{'descr': '|O', 'fortran_order': False, 'shape': (), }";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.");
    bytes
}

#[test]
fn a_killed_build_does_not_learn_again() {
    if !faiss() {
        return;
    }
    let site = Site::new();
    let mut state = 1_u32;
    let mut number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from((state >> 16) as u16) / 65536.0 - 0.5
    };
    let ids: Vec<String> = (0..30_000).map(|at| format!("d{at}")).collect();
    let row = |id| (id, (0..32).map(|_| number()).collect::<Vec<f32>>());
    let rows: Vec<_> = ids.iter().map(String::as_str).map(row).collect();
    write(&site.path("v.npy"), &rows);
    // A graph is quick to learn for and slow to add to.
    let build = |more: &[&'static str]| {
        let common = [
            "index",
            "faiss",
            "v.npy",
            "-o",
            "idx",
            "--index-string",
            "HNSW32,SQ8",
        ];
        [&common[..], more].concat()
    };
    let mut command = site.command(&build(&["--threads", "1"]));
    let mut running = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !site.path("idx.building/learned.txt").exists() {
        assert!(running.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(2));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(!site.path("idx").exists());
    let ran = site.run(&build(&[]));
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout
            .contains("learned     before, by a build that was interrupted"),
        "{}",
        ran.stdout
    );
    assert_eq!(site.read("idx/index.ids").lines().count(), 30_000);
    assert_eq!(fs::read_dir(site.path("idx")).unwrap().count(), 2);
    assert!(!site.path("idx.building").exists());
}

#[test]
fn rows_that_are_no_numbers_are_left_out_and_ids_that_stand_twice_are_told() {
    if !faiss() {
        return;
    }
    let site = Site::new();
    write(
        &site.path("a.npy"),
        &[
            ("a", vec![1.0, 0.0]),
            ("nan", vec![f32::NAN, 0.0]),
            ("b", vec![0.0, 1.0]),
        ],
    );
    write(
        &site.path("b.npy"),
        &[("inf", vec![0.0, f32::INFINITY]), ("a", vec![0.6, 0.8])],
    );
    let ran = site.run(&[
        "index", "faiss", "a.npy", "b.npy", "-o", "idx", "--metric", "l2",
    ]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout
            .contains("vectors     3 from 2 files (2 with numbers that are not finite left out)"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr.contains("1 id stands more than once: a"),
        "{}",
        ran.stderr
    );
    assert_eq!(site.read("idx/index.ids"), "a\nb\na\n");

    write(&site.path("c.npy"), &[("nan", vec![f32::NAN, 0.0])]);
    let ran = site.run(&["index", "faiss", "c.npy", "-o", "none"]);
    assert_eq!(ran.status, Some(2));
    assert!(
        ran.stderr.contains("no vector has only finite numbers"),
        "{}",
        ran.stderr
    );
    assert!(!site.path("none").exists());
}
