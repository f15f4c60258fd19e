//! An index is complete and fits its corpus, or it is not opened.
#![allow(clippy::unwrap_used, reason = "a helper is not seen as a test")]

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Barrier, Mutex};

use common::{Corpus, ids, open, search};
use routir_core::{DocumentScan, Error, ErrorCode, Result, TextDocument};
use routir_index::{Bm25Index, Bm25Params, BuildOptions, BuildPhase, MAX_QUERY_TERMS};

fn small() -> Corpus {
    Corpus::new(
        "v1",
        [
            ("d1", "Compact memories have flexible capacities"),
            ("d2", "An electronic analogue computer"),
            ("d3", "Computers and their memory; computing memories"),
        ],
    )
}

fn index(corpus: &Corpus) -> (tempfile::TempDir, Bm25Index) {
    let home = tempfile::tempdir().unwrap();
    let (index, built) = open(home.path(), corpus, Bm25Params::default()).unwrap();
    assert!(built);
    (home, index)
}

#[test]
fn an_index_is_reused_until_its_corpus_changes() {
    let (home, first) = index(&small());
    assert_eq!(ids(&search(&first, "memory", 10)), ["d3", "d1"]);
    let other = Bm25Params::new(0.9, 0.4).unwrap();
    let (_, built) = open(home.path(), &small(), other).unwrap();
    assert!(!built, "the constants are no part of the index");

    let changed = Corpus::new("v2", [("n1", "memory")]);
    let (second, built) = open(home.path(), &changed, Bm25Params::default()).unwrap();
    assert!(built);
    assert_eq!(ids(&search(&second, "memory", 10)), ["n1"]);
    // Who has the old one open keeps it.
    assert_eq!(ids(&search(&first, "memory", 10)), ["d3", "d1"]);
    assert_eq!(
        ids(&search(
            &Bm25Index::open(home.path(), other).unwrap(),
            "memory",
            10
        )),
        ["n1"]
    );
}

#[test]
fn an_interrupted_build_is_not_an_index() {
    struct Breaks(Corpus);
    impl DocumentScan for Breaks {
        fn stamp(&self) -> Result<String> {
            self.0.stamp()
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn scan(&self, each: &mut dyn FnMut(TextDocument) -> ControlFlow<()>) -> Result<()> {
            self.0.scan(each)?;
            Err(Error::engine("the disk went away"))
        }
    }
    let home = tempfile::tempdir().unwrap();
    let build = |source: &dyn DocumentScan| {
        Bm25Index::open_or_build(
            home.path(),
            source,
            Bm25Params::default(),
            BuildOptions::default(),
            &mut |_| {},
        )
    };
    let error = build(&Breaks(small())).unwrap_err();
    assert!(error.message().contains("the disk went away"), "{error}");
    assert!(
        home.path().join("building").exists(),
        "the test should leave an interrupted build"
    );
    assert!(Bm25Index::open(home.path(), Bm25Params::default()).is_err());
    assert_eq!(build(&small()).unwrap().len(), 3);
    assert!(!home.path().join("building").exists());
}

#[test]
fn a_corpus_that_changes_under_the_build_is_refused() {
    struct Moves(Corpus, Mutex<u32>);
    impl DocumentScan for Moves {
        fn stamp(&self) -> Result<String> {
            let mut count = self.1.lock().unwrap();
            *count += 1;
            Ok(format!("v{count}"))
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn scan(&self, each: &mut dyn FnMut(TextDocument) -> ControlFlow<()>) -> Result<()> {
            self.0.scan(each)
        }
    }
    let home = tempfile::tempdir().unwrap();
    let source = Moves(small(), Mutex::new(0));
    let error = Bm25Index::open_or_build(
        home.path(),
        &source,
        Bm25Params::default(),
        BuildOptions::default(),
        &mut |_| {},
    )
    .unwrap_err();
    assert!(error.message().contains("the corpus changed"), "{error}");
    assert!(Bm25Index::open(home.path(), Bm25Params::default()).is_err());
}

#[test]
fn several_builders_at_once_agree_on_one_index() {
    let home = tempfile::tempdir().unwrap();
    let start = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (start, dir) = (Arc::clone(&start), home.path().to_owned());
            std::thread::spawn(move || {
                start.wait();
                let (index, built) = open(&dir, &small(), Bm25Params::default()).unwrap();
                assert_eq!(ids(&search(&index, "memory", 10)), ["d3", "d1"]);
                built
            })
        })
        .collect();
    let built = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .filter(|built| *built)
        .count();
    assert_eq!(built, 1);
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn damage_is_an_error_that_says_what_to_do() {
    let (home, _) = index(&small());
    let whole: Vec<_> = files(&home.path().join("index"))
        .into_iter()
        .map(|path| (fs::read(&path).unwrap(), path))
        .filter(|(bytes, path)| !bytes.is_empty() && path.file_name().unwrap() != "stamp.json")
        .collect();
    assert!(whole.len() > 5, "{whole:?}");
    let try_it = || {
        let index = Bm25Index::open(home.path(), Bm25Params::default())?;
        index.search("memory computer", 10, &AtomicBool::new(false))
    };
    for (bytes, path) in &whole {
        fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        let error = try_it().unwrap_err();
        assert_eq!(error.code(), ErrorCode::EngineFailure);
        assert!(
            error.message().contains("delete that directory"),
            "{}: {error}",
            path.display()
        );
        // As long as before but overwritten: an error or an answer, never a panic.
        for fill in [0_u8, 0x7f, 0xff] {
            fs::write(path, vec![fill; bytes.len()]).unwrap();
            if let Err(error) = try_it() {
                assert_eq!(
                    error.code(),
                    ErrorCode::EngineFailure,
                    "{}: {error}",
                    path.display()
                );
            }
        }
        fs::write(path, bytes).unwrap();
    }
    try_it().unwrap();
    fs::write(home.path().join("index/stamp.json"), "{}").unwrap();
    let (_, built) = open(home.path(), &small(), Bm25Params::default()).unwrap();
    assert!(built, "an index of unknown make is replaced");
}

#[test]
fn progress_counts_every_document() {
    let documents: Vec<_> = (0..3_000)
        .map(|n| (format!("d{n}"), format!("text {n}")))
        .collect();
    let corpus = Corpus {
        stamp: "many".into(),
        documents,
    };
    let home = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    let options = BuildOptions {
        threads: 3,
        memory_bytes: 0,
    };
    Bm25Index::open_or_build(
        home.path(),
        &corpus,
        Bm25Params::default(),
        options,
        &mut |p| seen.push(p),
    )
    .unwrap();
    assert!(seen.iter().all(|p| p.total == 3_000 && p.done <= p.total));
    assert!(
        seen.iter()
            .any(|p| p.phase == BuildPhase::Reading && p.done == 2_048)
    );
    assert_eq!(
        seen.last().map(|p| (p.phase, p.done)),
        Some((BuildPhase::Merging, 3_000))
    );
}

#[test]
fn odd_corpora_and_queries() {
    let (_home, empty) = index(&Corpus::new("empty", []));
    assert!(empty.is_empty() && search(&empty, "anything", 10).is_empty());

    let (_home, odd) = index(&Corpus::new(
        "odd",
        [("only", ""), ("stop", "the of and"), ("x", "word")],
    ));
    assert_eq!(ids(&search(&odd, "word", 10)), ["x"]);
    for query in ["", "the", "+-!(){}[]^\"~*?:\\/", "nothing here", "\u{0}"] {
        assert!(search(&odd, query, 10).is_empty(), "{query}");
    }
    assert_eq!(
        ids(&search(&odd, "text:word AND (unclosed", usize::MAX)),
        ["x"]
    );
}

#[test]
fn queries_over_a_limit_are_refused() {
    let (_home, index) = index(&small());
    let go = |query: &str| {
        index
            .search(query, 10, &AtomicBool::new(false))
            .map(|r| r.len())
    };
    let different = |n: usize| {
        (0..n)
            .map(|w| format!("w{w}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(go(&different(MAX_QUERY_TERMS)).unwrap(), 0);
    assert_eq!(
        go(&different(MAX_QUERY_TERMS + 1)).unwrap_err().code(),
        ErrorCode::TooLarge
    );
    assert_eq!(go(&"memory ".repeat(65_536)).unwrap(), 2);
    assert_eq!(
        go(&"memory ".repeat(65_537)).unwrap_err().code(),
        ErrorCode::TooLarge
    );
    let cancelled = index
        .search("memory", 10, &AtomicBool::new(true))
        .unwrap_err();
    assert_eq!(cancelled.code(), ErrorCode::Cancelled);
}
