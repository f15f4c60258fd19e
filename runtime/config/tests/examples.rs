//! The example configurations: the good ones load and are not refused; the wrong ones say what is
//! wrong, word for word. `UPDATE_EXPECT=1` rewrites what they say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helpers may fail loudly"
)]

use std::path::{Path, PathBuf};

use expect_test::expect_file;
use routir_config::{Config, ConfigProblem, Loaded};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../configs")
        .canonicalize()
        .unwrap()
}

fn json_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    assert!(
        !files.is_empty(),
        "no configuration in {}",
        directory.display()
    );
    files
}

/// The mergers that are always there.
const MERGERS: [&str; 8] = [
    "Borda",
    "CombMNZ",
    "DBSF",
    "MinMaxFusion",
    "RRF",
    "ScoreFusion",
    "WeightedRRF",
    "ZScoreFusion",
];

/// What is wrong here and now with a configuration that is right in itself.
fn beyond_the_text(loaded: &Loaded) -> Vec<ConfigProblem> {
    let mut problems = loaded.refusals();
    problems.extend(loaded.missing_files());
    problems.extend(loaded.unknown_names(&MERGERS, &[]));
    problems.extend(loaded.tenant_keys(key).err().unwrap_or_default());
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

/// The keys that the examples' tenants have in the environment.
fn key(variable: &str) -> Option<String> {
    (variable == "ACME_KEY").then(|| "acme-key-0123456789abcdef".to_owned())
}

#[test]
fn good_ones_load() {
    for file in json_files(&configs()) {
        let loaded = Config::load(file.to_str().unwrap()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(beyond_the_text(&loaded), [], "{}", file.display());
    }
}

#[test]
fn wrong_ones_say_what_is_wrong() {
    for file in json_files(&configs().join("wrong")) {
        let error = match Config::load(file.to_str().unwrap()) {
            Err(error) => error,
            Ok(loaded) => loaded.error(beyond_the_text(&loaded)),
        };
        assert!(
            !error.problems().is_empty(),
            "{} is not wrong",
            file.display()
        );
        let directory = format!("{}/", file.parent().unwrap().display());
        expect_file![file.with_extension("txt")]
            .assert_eq(&format!("{error}\n").replace(&directory, ""));
    }
}
