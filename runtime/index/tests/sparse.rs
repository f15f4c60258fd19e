//! Learned sparse indices: exact against brute force, refused when damaged, the same on any number of
//! threads.

#![expect(clippy::unwrap_used, reason = "a test's own files are there")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use routir_core::ErrorCode;
use routir_index::late::PassageSet;
use routir_index::sparse::{SparseBuilder, SparseIndex, SparseOptions, SparseSearch, import_jsonl};

type Weights = Vec<(u32, f32)>;

static LIVE: AtomicBool = AtomicBool::new(false);

fn options(vocabulary: usize) -> SparseOptions {
    SparseOptions {
        vocabulary,
        model: "splade".to_owned(),
        stamp: "corpus 1".to_owned(),
        ..SparseOptions::default()
    }
}

fn build(dir: &Path, documents: &[Weights], options: SparseOptions) -> SparseIndex {
    let mut builder = SparseBuilder::create(dir, options).unwrap();
    for (number, weights) in documents.iter().enumerate() {
        builder.add(&format!("d{number}"), weights).unwrap();
    }
    builder.finish(&mut |_, _, _| {}).unwrap();
    SparseIndex::open(dir).unwrap()
}

fn search(index: &SparseIndex, query: &[(u32, f32)], limit: usize) -> Vec<(String, f64)> {
    hits(index, query, limit, &SparseSearch::default())
}

fn hits(
    index: &SparseIndex,
    query: &[(u32, f32)],
    limit: usize,
    how: &SparseSearch<'_>,
) -> Vec<(String, f64)> {
    let ranking = index.search(query, limit, how, &LIVE).unwrap();
    ranking
        .hits()
        .iter()
        .map(|hit| (hit.doc.to_string(), hit.score))
        .collect()
}

/// Inner products, in total order, over the given weights.
fn brute_force(
    documents: &[(String, Weights)],
    query: &[(u32, f32)],
    limit: usize,
) -> Vec<(String, f64)> {
    let mut wanted = BTreeMap::<u32, f64>::new();
    for (term, weight) in query {
        *wanted.entry(*term).or_default() += f64::from(*weight);
    }
    let score = |weights: &Weights| {
        weights
            .iter()
            .map(|it| f64::from(it.1) * wanted.get(&it.0).copied().unwrap_or_default())
            .sum::<f64>()
    };
    let mut all: Vec<(String, f64)> = documents
        .iter()
        .map(|(id, it)| (id.clone(), score(it)))
        .collect();
    all.retain(|it| it.1 > 0.0);
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(limit);
    all
}

/// What the index keeps of all documents.
fn kept(index: &SparseIndex) -> Vec<(String, Weights)> {
    let document = |number| {
        (
            index.id(number).unwrap().to_owned(),
            index.weights(number).unwrap(),
        )
    };
    (0..index.len() as u32).map(document).collect()
}

/// Repeatable numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }

    /// Weights of terms of one of 40 topics and of terms that all topics share, rare ones rarely.
    fn document(&mut self, terms: u32) -> Weights {
        let topic = self.below(40);
        let mut weights = BTreeMap::new();
        for _ in 0..terms {
            let term = match self.below(3) {
                0 => self.below(2000).min(self.below(2000)).min(self.below(2000)),
                _ => 2000 + topic * 50 + self.below(50).min(self.below(50)),
            };
            weights.insert(term, 0.05 + self.below(3000) as f32 / 1000.0);
        }
        weights.into_iter().collect()
    }
}

fn corpus(documents: usize) -> Vec<Weights> {
    let mut numbers = Numbers(11);
    (0..documents).map(|_| numbers.document(60)).collect()
}

fn whole() -> impl Strategy<Value = Weights> {
    // Few terms and few weights, so that scores tie.
    prop::collection::vec((0..30_u32, 0..4_u8), 0..12).prop_map(|it| {
        it.into_iter()
            .map(|(term, weight)| (term * term, f32::from(weight)))
            .collect()
    })
}

fn real() -> impl Strategy<Value = Weights> {
    prop::collection::vec((0..60_u32, 0.0..3.5_f32), 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whole_numbers_are_searched_exactly_ties_and_all(
        documents in prop::collection::vec(whole(), 0..300),
        repeat in 1..8_usize,
        queries in prop::collection::vec(whole(), 1..6),
        keep_order: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let documents: Vec<_> = documents.iter().cycle().take(documents.len() * repeat).cloned().collect();
        let index = build(&dir.path().join("i"), &documents, SparseOptions { keep_order, ..options(900) });
        let numbered: Vec<_> = documents.iter().enumerate().map(|(at, it)| (format!("d{at}"), it.clone())).collect();
        for query in queries {
            for limit in [0, 1, 7, 100, documents.len() + 5] {
                prop_assert_eq!(search(&index, &query, limit), brute_force(&numbered, &query, limit));
            }
        }
    }

    #[test]
    fn real_numbers_are_searched_exactly_over_what_is_kept(
        documents in prop::collection::vec(real(), 1..300),
        repeat in 1..6_usize,
        queries in prop::collection::vec(real(), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let documents: Vec<_> = documents.iter().cycle().take(documents.len() * repeat).cloned().collect();
        let index = build(&dir.path().join("i"), &documents, options(60));
        let kept = kept(&index);
        for query in queries {
            let all = brute_force(&kept, &query, usize::MAX);
            let found = search(&index, &query, usize::MAX);
            prop_assert_eq!(found.len(), all.len());
            let near = 1e-4 * all.first().map_or(0.0, |it| it.1);
            for (found, wanted) in found.iter().zip(&all) {
                prop_assert!((found.1 - wanted.1).abs() <= near, "{:?} {:?}", found, wanted);
            }
            for limit in [1, 10, 100] {
                prop_assert_eq!(&search(&index, &query, limit)[..], &found[..limit.min(found.len())]);
            }
        }
    }
}

#[test]
fn thousands_of_documents_are_searched_exactly_and_kept_closely() {
    let dir = tempfile::tempdir().unwrap();
    let documents = corpus(5000);
    let index = build(&dir.path().join("i"), &documents, options(4000));
    let kept = kept(&index);
    for (id, weights) in &kept {
        let number: usize = id[1..].parse().unwrap();
        assert_eq!(weights.len(), documents[number].len());
        for (kept, given) in weights.iter().zip(&documents[number]) {
            // A term's largest weight is at most 3.05.
            assert!(kept.0 == given.0 && (kept.1 - given.1).abs() <= 3.05 / 510.0 + 1e-6);
        }
    }
    let mut numbers = Numbers(5);
    for _ in 0..20 {
        let query = numbers.document(25);
        let found = search(&index, &query, 50);
        let wanted = brute_force(&kept, &query, 50);
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!(
                (found.1 / wanted.1 - 1.0).abs() < 1e-5,
                "{found:?} {wanted:?}"
            );
        }
        let same = found
            .iter()
            .zip(&wanted)
            .filter(|(a, b)| a.0 == b.0)
            .count();
        assert!(same >= 48, "{same}");
    }
}

#[test]
fn approximate_answers_find_most_of_the_best() {
    let dir = tempfile::tempdir().unwrap();
    let index = build(&dir.path().join("i"), &corpus(20_000), options(4000));
    let mut numbers = Numbers(5);
    let (mut found, mut of) = (0, 0);
    for _ in 0..40 {
        let query = numbers.document(25);
        let exact = search(&index, &query, 10);
        let how = SparseSearch {
            alpha: 0.8,
            subset: None,
        };
        let near = hits(&index, &query, 10, &how);
        assert_eq!(near.len(), exact.len());
        found += exact.iter().filter(|it| near.contains(it)).count();
        of += exact.len();
    }
    assert!(found * 100 >= of * 90, "{found} of {of}");
}

#[test]
fn a_subset_is_searched_as_if_it_were_all() {
    let dir = tempfile::tempdir().unwrap();
    let index = build(&dir.path().join("i"), &corpus(3000), options(4000));
    let query = Numbers(3).document(25);
    let all = search(&index, &query, usize::MAX);
    for every in [1, 3, 700] {
        let mut subset = PassageSet::new(index.len());
        let inside = |id: &str| id[1..].parse::<usize>().unwrap() % every == 0;
        for document in 0..index.len() as u32 {
            if inside(index.id(document).unwrap()) {
                assert!(subset.insert(document));
            }
        }
        let how = SparseSearch {
            subset: Some(&subset),
            ..SparseSearch::default()
        };
        let wanted: Vec<_> = all
            .iter()
            .filter(|it| inside(&it.0))
            .take(20)
            .cloned()
            .collect();
        assert_eq!(hits(&index, &query, 20, &how), wanted);
    }
}

#[test]
fn an_index_is_the_same_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let documents = corpus(4000);
    let files = |threads: usize| {
        let path = dir.path().join(threads.to_string());
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| build(&path, &documents, options(4000)));
        let names = fs::read_dir(&path)
            .unwrap()
            .map(|it| it.unwrap().file_name());
        names
            .map(|it| (it.clone(), fs::read(path.join(it)).unwrap()))
            .collect::<BTreeMap<_, _>>()
    };
    let one = files(1);
    assert_eq!(one.len(), 7, "{:?}", one.keys());
    assert!(one == files(4));
}

#[test]
fn what_a_document_cannot_be_is_refused_and_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = SparseBuilder::create(&dir.path().join("i"), options(10)).unwrap();
    for bad in [(1, f32::NAN), (1, -0.5), (1, f32::INFINITY), (10, 1.0)] {
        let error = builder.add("d", &[bad]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
        assert!(error.message().contains("document `d`"), "{error}");
    }
    assert!(builder.add("", &[(1, 1.0)]).is_err());
    builder.add("d", &[(1, 1.0), (1, 2.0), (2, 0.0)]).unwrap();
    builder.add("empty", &[]).unwrap();
    assert_eq!(builder.len(), 2);
    let summary = builder.finish(&mut |_, _, _| {}).unwrap();
    assert_eq!(
        (summary.documents, summary.postings, summary.terms),
        (2, 1, 1)
    );
    let index = SparseIndex::open(&dir.path().join("i")).unwrap();
    assert_eq!(
        search(&index, &[(1, 2.0), (5, 1.0)], 5),
        [("d".to_owned(), 6.0)]
    );
    assert_eq!(
        (index.model(), index.stamp(), index.vocabulary()),
        ("splade", "corpus 1", 10)
    );
    let files = fs::read_dir(dir.path().join("i")).unwrap();
    let bytes: u64 = files.map(|it| it.unwrap().metadata().unwrap().len()).sum();
    let manifest = fs::metadata(dir.path().join("i/manifest.json"))
        .unwrap()
        .len();
    assert_eq!(
        (index.disk_bytes() + manifest, summary.bytes),
        (bytes, bytes)
    );
}

#[test]
fn queries_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let index = build(&dir.path().join("i"), &corpus(10), options(4000));
    let refused = |query: &[(u32, f32)], alpha, code| {
        let how = SparseSearch {
            alpha,
            subset: None,
        };
        assert_eq!(
            index.search(query, 5, &how, &LIVE).unwrap_err().code(),
            code
        );
    };
    for bad in [f32::NAN, f32::NEG_INFINITY, -1.0] {
        refused(&[(1, bad)], 1.0, ErrorCode::InvalidArgument);
    }
    refused(&[(4000, 1.0)], 1.0, ErrorCode::InvalidArgument);
    for alpha in [0.0, 1.5, f32::NAN] {
        refused(&[(1, 1.0)], alpha, ErrorCode::InvalidArgument);
    }
    refused(&vec![(1, 1.0); 5000], 1.0, ErrorCode::TooLarge);
    let cancelled = AtomicBool::new(true);
    let error = index
        .search(&[(1, 1.0)], 5, &SparseSearch::default(), &cancelled)
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Cancelled);
    assert!(search(&index, &[], 5).is_empty());
}

#[test]
fn ids_that_are_not_one_documents_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i");
    let mut builder = SparseBuilder::create(&path, options(10)).unwrap();
    for id in ["a", "b", "a"] {
        builder.add(id, &[(1, 1.0)]).unwrap();
    }
    let error = builder.finish(&mut |_, _, _| {}).unwrap_err();
    assert!(
        error.message().contains("more than one document `a`"),
        "{error}"
    );
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(left, ["i.lock"]);
}

#[test]
fn an_index_is_replaced_only_when_told_and_nothing_else_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i");
    build(&path, &corpus(10), options(4000));
    assert!(SparseBuilder::create(&path, options(4000)).is_err());
    let replacing = || SparseOptions {
        replace: true,
        ..options(4000)
    };
    assert_eq!(build(&path, &corpus(20), replacing()).len(), 20);
    drop(SparseBuilder::create(&path, replacing()).unwrap());
    assert_eq!(SparseIndex::open(&path).unwrap().len(), 20);
    let other = dir.path().join("letters");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("love.txt"), "").unwrap();
    assert!(SparseBuilder::create(&other, replacing()).is_err());
}

#[test]
fn who_waited_for_another_builder_does_not_replace_what_that_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i");
    let mut first = SparseBuilder::create(&path, options(4000)).unwrap();
    let second = {
        let path = path.clone();
        thread::spawn(move || SparseBuilder::create(&path, options(4000)).map(drop))
    };
    // By then it waits; if not, it only finds sooner what is there.
    thread::sleep(Duration::from_millis(100));
    first.add("d", &[(1, 1.0)]).unwrap();
    first.finish(&mut |_, _, _| {}).unwrap();
    assert!(second.join().unwrap().is_err());
    assert_eq!(SparseIndex::open(&path).unwrap().len(), 1);
}

#[test]
fn what_is_no_index_or_not_whole_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let code = |path: &Path| SparseIndex::open(path).unwrap_err().code();
    assert_eq!(code(&dir.path().join("none")), ErrorCode::Unavailable);
    fs::write(dir.path().join("segments_1"), "").unwrap();
    assert_eq!(code(dir.path()), ErrorCode::Unsupported);
    let path = dir.path().join("i");
    build(&path, &corpus(2500), options(4000));
    for entry in fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        let good = fs::read(&file).unwrap();
        for length in [0, good.len() / 2, good.len() - 1] {
            fs::write(&file, &good[..length]).unwrap();
            assert_eq!(
                code(&path),
                ErrorCode::EngineFailure,
                "{} of {length}",
                file.display()
            );
        }
        fs::write(&file, &good).unwrap();
    }
    let manifest = path.join("manifest.json");
    let good = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, good.replace("\"version\": 1", "\"version\": 9")).unwrap();
    assert_eq!(code(&path), ErrorCode::Unsupported);
    for lie in ["\"documents\": 4000000000", "\"documents\": 2499"] {
        fs::write(&manifest, good.replace("\"documents\": 2500", lie)).unwrap();
        assert_eq!(code(&path), ErrorCode::EngineFailure);
    }
}

#[test]
fn damaged_bytes_are_an_error_or_a_wrong_score_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i");
    build(&path, &corpus(1500), options(4000));
    let mut numbers = Numbers(9);
    for name in [
        "rows.bin",
        "rows.ends.u64",
        "ids.bytes",
        "ids.ends",
        "scales.f32",
    ] {
        let good = fs::read(path.join(name)).unwrap();
        for _ in 0..60 {
            let mut bad = good.clone();
            for _ in 0..1 + numbers.below(200) {
                let at = numbers.below(bad.len() as u32) as usize;
                bad[at] = numbers.below(256) as u8;
            }
            fs::write(path.join(name), &bad).unwrap();
            if let Ok(index) = SparseIndex::open(&path) {
                let _ = index.search(&numbers.document(25), 20, &SparseSearch::default(), &LIVE);
                let _ = index.weights(numbers.below(1500));
            }
        }
        fs::write(path.join(name), &good).unwrap();
    }
}

#[test]
fn lines_of_term_weights_are_imported_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i");
    let vocabulary = ["cat", "dog", "##s"];
    let term = |text: &str| {
        vocabulary
            .iter()
            .position(|it| *it == text)
            .map(|it| it as u32)
    };
    let import = |text: &str| {
        let mut builder = SparseBuilder::create(
            &path,
            SparseOptions {
                replace: true,
                ..options(3)
            },
        )
        .unwrap();
        let imported = import_jsonl(Cursor::new(text.to_owned()), term, &mut builder, |_| true)?;
        builder.finish(&mut |_, _, _| {})?;
        Ok::<_, routir_core::Error>(imported)
    };
    let lines = "{\"id\": \"a\", \"contents\": \"x\", \"vector\": {\"cat\": 71, \"##s\": 3}}\n\n\
                 {\"id\": 7, \"vector\": {\"dog\": 200}}\n{\"id\": \"e\", \"vector\": {}}";
    let imported = import(lines).unwrap();
    assert_eq!((imported.documents, imported.empty), (3, 1));
    let index = SparseIndex::open(&path).unwrap();
    let found = search(&index, &[(0, 2.0), (1, 1.0), (2, 1.0)], 5);
    assert_eq!(found, [("7".to_owned(), 200.0), ("a".to_owned(), 145.0)]);
    for (bad, why) in [
        (
            "{\"id\": \"a\", \"vector\": {\"cat\": 1}}\n{\"id\": \"b\"}",
            "line 2: ",
        ),
        (
            "{\"id\": \"a\", \"vector\": {\"bird\": 1}}",
            "no term `bird`",
        ),
        (
            "{\"id\": \"a\", \"vector\": {\"cat\": -1}}",
            "line 1: document `a`",
        ),
        ("[1, 2]", "line 1: it is not of the form"),
    ] {
        let error = import(bad).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains(why), "{error}");
    }
}
