//! `encode`: every format holds the same vectors, and what was interrupted is gone on with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use routir_vectors::VectorFile;

use crate::indexing::{encode, minilm};
use crate::site::Site;

/// The vectors of all files in a folder, by id.
fn vectors(dir: &Path) -> BTreeMap<String, Vec<f32>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|it| it.to_str());
        if !matches!(extension, Some("npy" | "safetensors")) {
            continue;
        }
        let file = VectorFile::open(&path).unwrap();
        let mut ids = file.ids().unwrap();
        for row in 0..file.rows() {
            let mut vector = Vec::new();
            file.read(row, 1, &mut vector).unwrap();
            let id = ids.next_id().unwrap().unwrap().to_owned();
            assert!(found.insert(id, vector).is_none(), "an id twice");
        }
    }
    found
}

fn assert_alike(a: &BTreeMap<String, Vec<f32>>, b: &BTreeMap<String, Vec<f32>>, within: f32) {
    assert!(a.keys().eq(b.keys()));
    for (id, vector) in a {
        for (x, y) in vector.iter().zip(&b[id]) {
            assert!((x - y).abs() <= within, "{id}: {x} and {y}");
        }
    }
}

#[test]
fn every_format_holds_the_same_vectors() {
    let Some(model) = minilm() else { return };
    let site = Site::new();
    let told = site.succeed(&encode(&model, &["-o", "plain"]));
    assert!(told.contains("documents   277"), "{told}");
    assert!(told.contains("1 file in plain"), "{told}");
    let plain = vectors(&site.path("plain"));
    assert_eq!(plain.len(), 277);
    for vector in plain.values() {
        let length: f32 = vector.iter().map(|it| it * it).sum();
        assert!(
            vector.len() == 384 && (length - 1.0).abs() < 1e-4,
            "{length}"
        );
    }
    for (format, dtype, within) in [("safetensors", "f32", 1e-4), ("routir", "f16", 1e-3)] {
        let more = ["--format", format, "--dtype", dtype, "-o", format];
        // A collection of a configuration, and another cut into files.
        let common = [
            "encode",
            "--config",
            "configs/quickstart/config.json",
            "--model",
            &model,
        ];
        let files = ["--documents-per-file", "100"];
        site.succeed(&[&common[..], &more, &files].concat());
        assert_eq!(site.files(format, format_extension(format)).len(), 3);
        assert_alike(&plain, &vectors(&site.path(format)), within);
    }
}

fn format_extension(format: &str) -> &'static str {
    if format == "safetensors" {
        ".safetensors"
    } else {
        ".npy"
    }
}

#[test]
fn a_killed_encode_goes_on_where_it_stopped_and_shards_share_the_work() {
    let Some(model) = minilm() else { return };
    let site = Site::new();
    // Small calls, so that the first files are there long before the last.
    let small = ["--documents-per-file", "20", "--batch-tokens", "64"];
    let args = |more: &[&'static str]| [&encode(&model, &small)[..], more].concat();
    let killed = args(&["-o", "killed"]);
    let mut running = site
        .command(&killed)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !site.path("killed/part-00001.npy").exists() {
        assert!(running.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    let before = site.files("killed", ".npy");
    assert!(before.len() < 14, "it was killed too late");
    let error = site.run(&["index", "faiss", "killed", "-o", "idx"]);
    assert_eq!(error.status, Some(2));
    assert!(
        error.stderr.contains("killed is not complete"),
        "{}",
        error.stderr
    );

    // As if the machine had stopped while a file was written.
    fs::write(site.path("killed/part-00009.npy.tmp"), "half a file").unwrap();
    let times = |paths: &[PathBuf]| -> Vec<_> {
        paths
            .iter()
            .map(|it| fs::metadata(it).unwrap().modified().unwrap())
            .collect()
    };
    let written = times(&before);
    let ran = site.run(&killed);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("of an earlier `encode` are there already"),
        "{}",
        ran.stderr
    );
    assert_eq!(times(&before), written);
    assert_eq!(site.files("killed", ".npy").len(), 14);
    assert_eq!(site.files("killed", ".tmp").len(), 0);

    for shard in ["1/2", "0/2"] {
        site.succeed(&args(&["-o", "shared", "--shard", shard]));
    }
    let shared = vectors(&site.path("shared"));
    assert_eq!(shared.len(), 277);
    assert_alike(&shared, &vectors(&site.path("killed")), 1e-4);

    let other = site.run(&args(&["-o", "shared", "--max-tokens", "32"]));
    assert_eq!(other.status, Some(2));
    assert!(
        other.stderr.contains("`max_tokens` was 256, and is 32"),
        "{}",
        other.stderr
    );
}
