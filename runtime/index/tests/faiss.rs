//! FAISS: files that Python wrote give what Python found in them; bad input is an error.
//!
//! Needs the library that `native/build.sh` builds; says `SKIPPED` where it is not.
#![expect(
    clippy::unwrap_used,
    reason = "outside a test function clippy does not see that this is a test"
)]

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use routir_core::{ErrorCode, Ranking};
use routir_index::faiss::{
    DenseIndex, DenseIndexBuilder, Faiss, Metric, OpenOptions, SearchOptions, Variant,
};
use serde::Deserialize;

static GO_ON: AtomicBool = AtomicBool::new(false);

#[derive(Deserialize)]
struct Expected {
    queries: Vec<Vec<f32>>,
    indices: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    file: String,
    factory: String,
    metric: String,
    how: How,
    found: Vec<Vec<(String, f64)>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct How {
    nprobe: Option<usize>,
    ef_search: Option<usize>,
    k_factor: Option<f32>,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/faiss")
}

fn faiss() -> Option<Arc<Faiss>> {
    let loaded = Faiss::load(None);
    if let Err(error) = &loaded {
        // Not a print macro: of a test that passes the runner hides those.
        let _ = writeln!(std::io::stderr(), "SKIPPED: FAISS was not tested: {error}");
    }
    loaded.ok()
}

/// A folder of one of the indices that Python wrote.
fn folder(file: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(golden().join(file), dir.path().join("index.faiss")).unwrap();
    fs::copy(golden().join("index.ids"), dir.path().join("index.ids")).unwrap();
    dir
}

fn open(faiss: &Arc<Faiss>, dir: &Path) -> DenseIndex {
    DenseIndex::open(faiss, dir, OpenOptions::default()).unwrap()
}

fn expected() -> Expected {
    serde_json::from_str(&fs::read_to_string(golden().join("expected.json")).unwrap()).unwrap()
}

fn assert_same(found: &Ranking, wanted: &[(String, f64)], sign: f64, what: &str) {
    let found = found.hits();
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (hit, (_, score)) in found.iter().zip(wanted) {
        let near = (hit.score - sign * score).abs() <= 1e-4 * score.abs().max(1.0);
        assert!(near, "{what}: {hit:?}, not {score}");
    }
    // Ties apart: who scores clearly more than the last must be there.
    let last = wanted.last().unwrap().1 * sign;
    let sure = wanted
        .iter()
        .filter(|(_, score)| score * sign > last + 1e-4);
    let sure: HashSet<&str> = sure.map(|(id, _)| id.as_str()).collect();
    let ids: HashSet<&str> = found.iter().map(|hit| hit.doc.as_str()).collect();
    assert!(sure.is_subset(&ids), "{what}: {ids:?}, not {sure:?}");
}

#[test]
fn what_python_wrote_is_searched_as_python_does() {
    let Some(faiss) = faiss() else { return };
    let expected = expected();
    let queries: Vec<f32> = expected.queries.concat();
    for row in &expected.indices {
        let dir = folder(&row.file);
        let sign = if row.metric == "l2" { -1.0 } else { 1.0 };
        let how = SearchOptions {
            nprobe: row.how.nprobe,
            ef_search: row.how.ef_search,
            k_factor: row.how.k_factor,
            subset: None,
        };
        for mmap in [false, true] {
            let options = OpenOptions {
                mmap,
                threads: 2,
                ..OpenOptions::default()
            };
            let index = DenseIndex::open(&faiss, dir.path(), options).unwrap();
            let found = index.search(&queries, 10, &how, &GO_ON).unwrap();
            assert_eq!(found.len(), row.found.len());
            for (number, (found, wanted)) in found.iter().zip(&row.found).enumerate() {
                let what = format!("{} ({}), query {number}", row.factory, index.description());
                assert_same(found, wanted, sign, &what);
            }
        }
    }
}

#[test]
fn an_index_is_built_written_and_found_again() {
    let Some(faiss) = faiss() else { return };
    // Numbers that repeat nowhere, from a multiplicative generator.
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1_u32 << 24) as f32 - 0.5
    };
    let rows: Vec<f32> = (0..1000 * 8).map(|_| next()).collect();
    for (factory, exact) in [
        ("Flat", true),
        ("HNSW16", true),
        ("IVF4,Flat", false),
        ("PQ4x4fs", false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut builder =
            DenseIndexBuilder::new(&faiss, 8, factory, Metric::InnerProduct, 2).unwrap();
        if builder.wants_training().unwrap() {
            assert!(builder.add(&rows).is_err(), "{factory} was not trained");
            builder.train(&rows).unwrap();
        }
        for some in rows.chunks(300 * 8) {
            builder.add(some).unwrap();
        }
        assert_eq!(builder.len(), 1000);
        builder.write(&dir.path().join("index.faiss")).unwrap();
        let ids: String = (0..1000).map(|n| format!("{n}\n")).collect();
        fs::write(dir.path().join("index.ids"), ids).unwrap();
        let index = open(&faiss, dir.path());
        assert_eq!((index.len(), index.dim()), (1000, 8));
        let options = SearchOptions {
            nprobe: Some(4),
            ef_search: Some(200),
            ..SearchOptions::default()
        };
        let found = index.search(&rows[..8], 2000, &options, &GO_ON).unwrap();
        let found = found[0].hits();
        assert!(found.len() >= 200, "{factory}: {}", found.len());
        if exact {
            let product =
                |row: &[f32]| -> f32 { row.iter().zip(&rows[..8]).map(|(a, b)| a * b).sum() };
            let mut all: Vec<f32> = rows.chunks(8).map(product).collect();
            all.sort_by(|a, b| b.total_cmp(a));
            for (hit, score) in found.iter().zip(&all).take(100) {
                assert!((hit.score - f64::from(*score)).abs() < 1e-5, "{factory}");
            }
        }
    }
}

#[test]
fn subsets_are_all_that_is_found_and_unknown_ones_are_refused() {
    let Some(faiss) = faiss() else { return };
    let query = expected().queries.concat();
    let subset_of = |id: &str| -> Option<Arc<str>> {
        let number: usize = id[1..].parse().unwrap();
        Some(Arc::from(if number % 10 == 3 { "rare" } else { "common" }))
    };
    // What FAISS filters itself, and what it cannot.
    for file in [
        "flat.faiss",
        "hnsw.faiss",
        "ivf-pq-fast.faiss",
        "opq.faiss",
        "pq-fast.faiss",
        "pq.faiss",
    ] {
        let dir = folder(file);
        let options = OpenOptions {
            subsets: Some(&subset_of),
            ..OpenOptions::default()
        };
        let index = DenseIndex::open(&faiss, dir.path(), options).unwrap();
        let how = SearchOptions {
            subset: Some("rare"),
            nprobe: Some(8),
            ef_search: Some(400),
            ..SearchOptions::default()
        };
        let found = index.search(&query, 40, &how, &GO_ON).unwrap();
        assert_eq!(found.len(), 6);
        for ranking in found {
            assert!(ranking.len() >= 38, "{file}: {} of 40", ranking.len());
            assert!(
                ranking
                    .hits()
                    .iter()
                    .all(|hit| hit.doc.as_str().ends_with('3')),
                "{file}"
            );
        }
        let unknown = SearchOptions {
            subset: Some("rarr"),
            ..SearchOptions::default()
        };
        let error = index.search(&query, 5, &unknown, &GO_ON).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains("did you mean `rare`?"), "{error}");
    }
}

#[test]
fn a_document_of_several_vectors_counts_with_its_best() {
    let Some(faiss) = faiss() else { return };
    let dir = folder("flat.faiss");
    let ids: String = (0..400).map(|n| format!("doc{}\n", n % 25)).collect();
    fs::write(dir.path().join("index.ids"), ids).unwrap();
    let index = open(&faiss, dir.path());
    let queries = expected().queries.concat();
    let found = index
        .search(&queries, 25, &SearchOptions::default(), &GO_ON)
        .unwrap();
    let best = open(&faiss, folder("flat.faiss").path());
    let best = best
        .search(&queries, 1, &SearchOptions::default(), &GO_ON)
        .unwrap();
    for (ranking, best) in found.iter().zip(best) {
        assert_eq!(ranking.len(), 25);
        assert_eq!(ranking.hits()[0].score, best.hits()[0].score);
    }
}

#[test]
fn bad_input_is_refused() {
    let Some(faiss) = faiss() else { return };
    let dir = folder("flat.faiss");
    let index = open(&faiss, dir.path());
    let search =
        |query: &[f32], limit| index.search(query, limit, &SearchOptions::default(), &GO_ON);
    assert!(
        search(&[0.0; 15], 5)
            .unwrap_err()
            .message()
            .contains("16 dimensions")
    );
    assert!(
        search(&[f32::NAN; 16], 5)
            .unwrap_err()
            .message()
            .contains("not finite")
    );
    assert_eq!(search(&[], 5).unwrap(), []);
    assert!(search(&[1.0; 16], 0).unwrap()[0].is_empty());
    assert_eq!(search(&[1.0; 16], usize::MAX).unwrap()[0].len(), 400);
    let gone = AtomicBool::new(true);
    let left = index.search(&[1.0; 16], 5, &SearchOptions::default(), &gone);
    assert_eq!(left.unwrap_err().code(), ErrorCode::Cancelled);

    let refuse = |dir: &Path| {
        DenseIndex::open(&faiss, dir, OpenOptions::default())
            .err()
            .unwrap()
    };
    let ids = fs::read_to_string(dir.path().join("index.ids")).unwrap();
    for wrong in [&ids[..ids.len() - 5], &format!("{ids}more\n")] {
        fs::write(dir.path().join("index.ids"), wrong).unwrap();
        assert!(refuse(dir.path()).message().contains("belong together"));
    }
    fs::write(dir.path().join("index.ids"), ids).unwrap();
    let whole = fs::read(dir.path().join("index.faiss")).unwrap();
    for (cut, length) in [
        (true, 0),
        (true, 3),
        (true, 40),
        (true, whole.len() - 1),
        (false, 4),
    ] {
        let mut bytes = whole.clone();
        if cut {
            bytes.truncate(length);
        } else {
            bytes[..length].fill(b'x');
        }
        fs::write(dir.path().join("index.faiss"), bytes).unwrap();
        let error = refuse(dir.path());
        assert!(error.message().contains("cannot be read"), "{error}");
    }
    fs::remove_file(dir.path().join("index.faiss")).unwrap();
    assert!(refuse(dir.path()).message().contains("there is no file"));

    let make = |factory| DenseIndexBuilder::new(&faiss, 8, factory, Metric::L2, 1);
    assert!(
        make("Nonsense77")
            .err()
            .unwrap()
            .message()
            .contains("Nonsense77")
    );
    let mut builder = make("IVF64,Flat").ok().unwrap();
    assert!(
        builder.train(&[0.5; 8 * 10]).is_err(),
        "ten vectors for 64 lists"
    );
    assert!(
        builder
            .train(&[f32::INFINITY; 8])
            .unwrap_err()
            .message()
            .contains("not finite")
    );
}

#[test]
fn every_variant_that_is_there_finds_the_same() {
    let Some(best) = faiss() else { return };
    let queries = expected().queries.concat();
    let dir = folder("flat.faiss");
    let found = open(&best, dir.path()).search(&queries, 10, &SearchOptions::default(), &GO_ON);
    let found = found.unwrap();
    for variant in [Variant::Avx2, Variant::Generic] {
        let Ok(faiss) = Faiss::load_one_of(None, &[variant]) else {
            continue;
        };
        let again =
            open(&faiss, dir.path()).search(&queries, 10, &SearchOptions::default(), &GO_ON);
        for (one, other) in found.iter().zip(again.unwrap()) {
            for (a, b) in one.hits().iter().zip(other.hits()) {
                assert_eq!(a.doc, b.doc, "{variant}");
                assert!((a.score - b.score).abs() < 1e-4);
            }
        }
    }
}
