//! A late-interaction index answers as MaxSim over all its vectors would, exactly when asked to be
//! exhaustive and nearly so by default; files that are damaged or not ours are refused.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "outside a test function clippy does not see that this is a test"
)]

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use half::f16;
use proptest::prelude::*;
use routir_core::{ErrorCode, Ranking};
use routir_index::late::{
    LateBits, LateBuilder, LateIndex, LateOptions, LateQuery, LateSearch, PassageSet,
};

static LIVE: AtomicBool = AtomicBool::new(false);

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    fn row(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.next()).collect()
    }
}

fn unit(row: &[f32]) -> Vec<f32> {
    let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    row.iter().map(|x| x / norm).collect()
}

/// Passages of 4 to 40 unit vectors around `topics` directions, and queries near them.
fn corpus(passages: usize, topics: usize, dim: usize) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let mut numbers = Numbers(7);
    let centers: Vec<Vec<f32>> = (0..topics).map(|_| numbers.row(dim)).collect();
    let mut text = |tokens: usize, noise: f32| -> Vec<f32> {
        let mut near = || ((numbers.next() + 1.0) / 2.0 * topics as f32) as usize % topics;
        let choice: Vec<usize> = (0..tokens).map(|_| near()).collect();
        choice
            .iter()
            .flat_map(|topic| {
                let row: Vec<f32> = centers[*topic]
                    .iter()
                    .map(|x| x + noise * numbers.next())
                    .collect();
                unit(&row)
            })
            .collect()
    };
    let passages = (0..passages).map(|i| text(4 + i % 37, 0.7)).collect();
    let queries = (0..40).map(|_| text(8, 0.7)).collect();
    (passages, queries)
}

fn build(dir: &Path, options: LateOptions, passages: &[Vec<f32>]) -> LateIndex {
    let mut builder = LateBuilder::create(dir, options).unwrap();
    for (number, rows) in passages.iter().enumerate() {
        builder.add(&format!("d{number:05}"), rows).unwrap();
    }
    let summary = builder.finish().unwrap();
    assert_eq!(summary.passages as usize, passages.len());
    LateIndex::open(dir).unwrap()
}

fn ids(ranking: &Ranking) -> Vec<&str> {
    ranking.hits().iter().map(|hit| hit.doc.as_str()).collect()
}

/// The exact order over half-precision vectors.
fn brute_force(query: &[f32], passages: &[Vec<f32>], dim: usize) -> Vec<(String, f32)> {
    let query = LateQuery::new(query, dim).unwrap();
    let mut all: Vec<(String, f32)> = passages
        .iter()
        .enumerate()
        .filter(|(_, rows)| !rows.is_empty())
        .map(|(number, rows)| {
            let rows: Vec<f16> = rows.iter().map(|x| f16::from_f32(*x)).collect();
            (format!("d{number:05}"), query.maxsim_half(&rows))
        })
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn an_exhaustive_search_without_compression_is_maxsim(
        dim in 1_usize..24,
        lengths in prop::collection::vec(0_usize..70, 0..60),
        query_rows in 0_usize..70,
        centroids in 1_usize..40,
        learn_from in 1_usize..2000,
        limit in 0_usize..80,
        seed in any::<u64>(),
    ) {
        let mut numbers = Numbers(seed);
        // Few distinct vectors, so that there are ties.
        let pool: Vec<Vec<f32>> = (0..30).map(|_| numbers.row(dim)).collect();
        let mut pick = |count: usize| -> Vec<f32> {
            (0..count).flat_map(|_| pool[((numbers.next() + 1.0) * 14.9) as usize].clone()).collect()
        };
        let passages: Vec<Vec<f32>> = lengths.iter().map(|count| pick(*count)).collect();
        let query = pick(query_rows);
        let home = tempfile::tempdir().unwrap();
        let options = LateOptions {
            bits: LateBits::Half,
            centroids: Some(centroids),
            learn_from,
            memory_bytes: 64,
            ..LateOptions::new(dim)
        };
        let index = build(&home.path().join("index"), options, &passages);
        let ranking = index.search(&query, limit, &LateSearch::exhaustive(), &LIVE).unwrap();
        let mut wanted = brute_force(&query, &passages, dim);
        wanted.truncate(if query.is_empty() { 0 } else { limit });
        prop_assert_eq!(ids(&ranking), wanted.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>());
        for (hit, (_, score)) in ranking.hits().iter().zip(&wanted) {
            prop_assert_eq!(hit.score, f64::from(*score));
        }
    }
}

/// How many of the ten best of each query, over uncompressed vectors, an index finds among its ten.
fn recall(index: &LateIndex, passages: &[Vec<f32>], queries: &[Vec<f32>], dim: usize) -> f64 {
    let mut found = 0;
    for query in queries {
        let exact = brute_force(query, passages, dim);
        let ranking = index
            .search(query, 10, &LateSearch::for_limit(10), &LIVE)
            .unwrap();
        let ids = ids(&ranking);
        found += exact
            .iter()
            .take(10)
            .filter(|(id, _)| ids.contains(&id.as_str()))
            .count();
    }
    found as f64 / (10 * queries.len()) as f64
}

#[test]
fn the_defaults_find_nearly_all_of_the_best_and_do_not_depend_on_threads() {
    let dim = 64;
    let (passages, queries) = corpus(2500, 600, dim);
    let home = tempfile::tempdir().unwrap();
    for (bits, floor) in [
        (LateBits::Two, 0.80),
        (LateBits::Four, 0.93),
        (LateBits::Half, 0.97),
    ] {
        let build = |name: &str, threads| {
            let options = LateOptions {
                bits,
                ..LateOptions::new(dim)
            };
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| build(&home.path().join(name), options, &passages))
        };
        let (name, again) = (format!("{bits:?}-1"), format!("{bits:?}-3"));
        let index = build(&name, 1);
        let recall = recall(&index, &passages, &queries, dim);
        eprintln!(
            "{bits:?}: recall of the ten best {recall:.3}, {} centroids",
            index.centroids()
        );
        assert!(recall >= floor, "{bits:?}: {recall:.3} is under {floor}");
        build(&again, 3);
        for entry in fs::read_dir(home.path().join(&name)).unwrap() {
            let file = entry.unwrap().file_name();
            let read = |folder: &str| fs::read(home.path().join(folder).join(&file)).unwrap();
            assert!(
                read(&name) == read(&again),
                "{file:?} depends on the number of threads"
            );
        }
    }
}

#[test]
fn a_corpus_larger_than_what_is_learned_from_is_found_too() {
    let dim = 64;
    let (passages, queries) = corpus(1500, 300, dim);
    let home = tempfile::tempdir().unwrap();
    let options = LateOptions {
        learn_from: 4000,
        expected_passages: Some(1500),
        ..LateOptions::new(dim)
    };
    // Learned from the first passages, and from a sample given before.
    let first = build(&home.path().join("first"), options.clone(), &passages);
    let mut builder = LateBuilder::create(&home.path().join("sample"), options).unwrap();
    for rows in passages.iter().step_by(7) {
        builder.learn_from(rows).unwrap();
    }
    for (number, rows) in passages.iter().enumerate() {
        builder.add(&format!("d{number:05}"), rows).unwrap();
    }
    builder.finish().unwrap();
    let sample = LateIndex::open(&home.path().join("sample")).unwrap();
    for index in [first, sample] {
        assert_eq!(index.len(), 1500);
        let recall = recall(&index, &passages, &queries, dim);
        assert!(recall > 0.8, "{recall}");
    }
}

#[test]
fn documents_are_their_best_passage_and_ties_go_to_the_smaller_id() {
    let home = tempfile::tempdir().unwrap();
    let mut builder = LateBuilder::create(&home.path().join("i"), LateOptions::new(2)).unwrap();
    for (id, row) in [
        ("c", [1.0, 0.0]),
        ("b", [0.0, 1.0]),
        ("b", [1.0, 0.0]),
        ("a", [0.0, 1.0]),
        ("e", [0.0, 1.0]),
    ] {
        builder.add(id, &row).unwrap();
    }
    builder.add("empty", &[]).unwrap();
    builder.finish().unwrap();
    let index = LateIndex::open(&home.path().join("i")).unwrap();
    let search = |limit| {
        index
            .search(&[1.0, 0.0], limit, &LateSearch::for_limit(limit), &LIVE)
            .unwrap()
    };
    assert_eq!(ids(&search(100)), ["b", "c", "a", "e"]);
    assert_eq!(ids(&search(1)), ["b"]);
    assert_eq!(ids(&search(3)), ["b", "c", "a"]);
    assert!(ids(&search(0)).is_empty());
    let empty = index
        .search(&[], 5, &LateSearch::for_limit(5), &LIVE)
        .unwrap();
    assert!(empty.is_empty());
}

#[test]
fn a_subset_is_searched_however_few_and_far_it_is() {
    let dim = 16;
    let (passages, queries) = corpus(1200, 300, dim);
    let home = tempfile::tempdir().unwrap();
    let options = LateOptions {
        bits: LateBits::Half,
        ..LateOptions::new(dim)
    };
    let index = build(&home.path().join("i"), options, &passages);
    for step in [3, 100, 1201] {
        let mut subset = PassageSet::new(index.len());
        (0..1200).step_by(step).for_each(|at| {
            subset.insert(at);
        });
        let how = LateSearch {
            subset: Some(&subset),
            ..LateSearch::exhaustive()
        };
        let some = LateSearch {
            subset: Some(&subset),
            ..LateSearch::for_limit(10)
        };
        for query in &queries {
            let exact = brute_force(query, &passages, dim);
            let within = |id: &str| subset.contains(id[1..].parse().unwrap());
            let wanted: Vec<&str> = exact
                .iter()
                .map(|(id, _)| id.as_str())
                .filter(|id| within(id))
                .take(10)
                .collect();
            assert_eq!(ids(&index.search(query, 10, &how, &LIVE).unwrap()), wanted);
            let found = index.search(query, 10, &some, &LIVE).unwrap();
            assert_eq!(found.len(), wanted.len());
            assert!(ids(&found).into_iter().all(within));
        }
    }
}

#[test]
fn more_than_there_are_is_all_there_are() {
    let (passages, queries) = corpus(300, 100, 16);
    let home = tempfile::tempdir().unwrap();
    let index = build(&home.path().join("i"), LateOptions::new(16), &passages);
    let ranking = index
        .search(&queries[0], 5000, &LateSearch::for_limit(5000), &LIVE)
        .unwrap();
    assert_eq!(ranking.len(), 300);
    let huge = index.search(
        &queries[0],
        usize::MAX,
        &LateSearch::for_limit(usize::MAX),
        &LIVE,
    );
    assert_eq!(huge.unwrap().len(), 300);
}

#[test]
fn bad_queries_fail_and_a_caller_that_left_gets_nothing() {
    let (passages, queries) = corpus(100, 50, 8);
    let home = tempfile::tempdir().unwrap();
    let index = build(&home.path().join("i"), LateOptions::new(8), &passages);
    let how = LateSearch::for_limit(10);
    let code = |query: &[f32]| index.search(query, 10, &how, &LIVE).unwrap_err().code();
    assert_eq!(code(&[1.0; 7]), ErrorCode::InvalidArgument);
    assert_eq!(code(&[f32::NAN; 8]), ErrorCode::InvalidArgument);
    assert_eq!(code(&vec![0.1; 8 * 1025]), ErrorCode::InvalidArgument);
    let gone = AtomicBool::new(true);
    let error = index.search(&queries[0], 10, &how, &gone).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Cancelled);
}

#[test]
fn bad_passages_are_refused_and_an_unfinished_index_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("i");
    assert!(LateBuilder::create(&dir, LateOptions::new(0)).is_err());
    let mut builder = LateBuilder::create(&dir, LateOptions::new(2)).unwrap();
    for (id, rows) in [
        ("", &[1.0, 0.0][..]),
        ("a", &[1.0]),
        ("a", &[f32::NAN, 1.0]),
        ("a", &[1e6, 1.0]),
    ] {
        let error = builder.add(id, rows).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
    }
    drop(builder);
    assert_eq!(
        LateIndex::open(&dir).err().unwrap().code(),
        ErrorCode::Unavailable
    );
    assert!(!home.path().join("i.building").exists());
    // Nothing at all is an index too.
    let index = build(&dir, LateOptions::new(2), &[]);
    assert!(
        index
            .search(&[1.0, 0.0], 5, &LateSearch::for_limit(5), &LIVE)
            .unwrap()
            .is_empty()
    );
    assert!(LateBuilder::create(&dir, LateOptions::new(2)).is_err());
    let replace = LateOptions {
        replace: true,
        ..LateOptions::new(2)
    };
    assert_eq!(build(&dir, replace.clone(), &[vec![1.0, 0.0]]).len(), 1);
    // What is no index is never replaced.
    let foreign = home.path().join("papers");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("draft.txt"), "x").unwrap();
    let error = LateBuilder::create(&foreign, replace).err().unwrap();
    assert!(
        error.message().contains("no late-interaction index"),
        "{error}"
    );
    assert!(foreign.join("draft.txt").is_file());
}

#[test]
fn damaged_and_foreign_folders_are_refused_and_never_a_panic() {
    let (passages, queries) = corpus(200, 100, 16);
    let home = tempfile::tempdir().unwrap();
    let (good, bad) = (home.path().join("good"), home.path().join("bad"));
    build(&good, LateOptions::new(16), &passages);
    let files: Vec<_> = fs::read_dir(&good)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    let restore = || {
        let _ = fs::remove_dir_all(&bad);
        fs::create_dir(&bad).unwrap();
        for file in &files {
            fs::copy(good.join(file), bad.join(file)).unwrap();
        }
    };
    for file in &files {
        let path = bad.join(file);
        for cut in [0, 1, 2] {
            restore();
            let bytes = fs::read(&path).unwrap();
            let keep = [bytes.len() - 1, bytes.len() / 2, 0][cut];
            fs::write(&path, &bytes[..keep]).unwrap();
            let error = LateIndex::open(&bad)
                .err()
                .unwrap_or_else(|| panic!("{file:?} {keep}"));
            assert_eq!(error.code(), ErrorCode::EngineFailure, "{file:?}: {error}");
            assert!(error.message().contains("damaged"), "{file:?}: {error}");
        }
        restore();
        fs::remove_file(&path).unwrap();
        assert!(LateIndex::open(&bad).is_err(), "{file:?}");
        // Of the right size, but nonsense: an error when opened or searched, or a wrong answer.
        for value in [0xff, 0x7f, 0x01] {
            restore();
            let length = fs::metadata(&path).unwrap().len() as usize;
            fs::write(&path, vec![value; length]).unwrap();
            if let Ok(index) = LateIndex::open(&bad) {
                for query in &queries {
                    let _ = index.search(query, 10, &LateSearch::for_limit(10), &LIVE);
                    let _ = index.search(query, 10, &LateSearch::exhaustive(), &LIVE);
                }
            }
        }
    }
    restore();
    let manifest = fs::read_to_string(bad.join("manifest.json")).unwrap();
    let altered = |from: &str, to: &str| {
        assert!(manifest.contains(from), "{from}");
        fs::write(bad.join("manifest.json"), manifest.replace(from, to)).unwrap();
        LateIndex::open(&bad).err().unwrap()
    };
    assert_eq!(
        altered("\"version\": 1", "\"version\": 2").code(),
        ErrorCode::Unsupported
    );
    assert!(altered("routir-late", "other").message().contains("other"));
    altered("\"dim\": 16", "\"dim\": 60000");
    altered("\"bits\": 4", "\"bits\": 3");
    altered("\"tokens\": ", "\"tokens\": 18446744073709551");
    altered("\"passages\": 200", "\"passages\": 4000000000");

    let foreign = home.path().join("plaid");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("centroids.pt"), "x").unwrap();
    let error = LateIndex::open(&foreign).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Unsupported);
    assert!(error.message().contains("routir-rt index"), "{error}");
}
