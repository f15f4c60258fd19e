//! Whatever is skipped on the way, the answer is that of scoring every document by the formula.

mod common;

use std::collections::HashMap;

use common::{Corpus, ids, open, search};
use proptest::prelude::*;
use routir_index::{Bm25Params, EnglishAnalyzer};

/// BM25 by definition, in floating point. Only for documents of up to 40 words, whose lengths the
/// index keeps exactly.
fn brute_force(corpus: &Corpus, query: &str, k1: f64, b: f64) -> HashMap<String, f64> {
    let analyzer = EnglishAnalyzer::default();
    let documents: Vec<_> = corpus
        .documents
        .iter()
        .map(|(id, text)| (id, analyzer.counts(text)))
        .collect();
    let length = |counts: &HashMap<String, u32>| f64::from(counts.values().sum::<u32>());
    let n = documents.len() as f64;
    let average = documents
        .iter()
        .map(|(_, counts)| length(counts))
        .sum::<f64>()
        / n;
    let mut scores = HashMap::new();
    for (term, times) in analyzer.counts(query) {
        let df = documents
            .iter()
            .filter(|(_, counts)| counts.contains_key(&term))
            .count() as f64;
        let idf = (1.0 + (n - df + 0.5) / (df + 0.5)).ln();
        for (id, counts) in &documents {
            let Some(tf) = counts.get(&term).map(|tf| f64::from(*tf)) else {
                continue;
            };
            let norm = k1 * (1.0 - b + b * length(counts) / average);
            let score = f64::from(times) * idf * (k1 + 1.0) * tf / (tf + norm);
            *scores.entry((*id).clone()).or_insert(0.0) += score;
        }
    }
    scores
}

/// A corpus of `n` documents over a small Zipf-like vocabulary: long postings, many ties.
fn corpus(n: usize, seed: u64) -> Corpus {
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let documents = (0..n)
        .map(|number| {
            let words = 1 + random(30);
            let word = |_| format!("w{}", random(60).min(random(60)).min(random(60)));
            let text: Vec<String> = (0..words).map(word).collect();
            // Ids neither in reading order nor against it.
            (format!("d{}", (number * 7919) % n), text.join(" "))
        })
        .collect();
    Corpus {
        stamp: format!("{n}-{seed}"),
        documents,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_scoring_everything_and_prefixes_agree(
        n in prop_oneof![1_usize..300, 3_000_usize..6_000],
        seed in any::<u64>(),
        (k1, b) in prop_oneof![Just((1.2, 0.75)), Just((0.9, 0.4)), (0.0..4.0, 0.0..=1.0)],
        queries in prop::collection::vec(prop::collection::vec(0_u32..60, 1..8), 1..6),
    ) {
        let corpus = corpus(n, seed);
        let home = tempfile::tempdir().unwrap();
        let (index, _) = open(home.path(), &corpus, Bm25Params::new(k1, b).unwrap()).unwrap();
        for query in queries {
            let query = query.iter().map(|w| format!("w{w}")).collect::<Vec<_>>().join(" ");
            let expected = brute_force(&corpus, &query, k1, b);
            let all = search(&index, &query, n);
            prop_assert_eq!(all.len(), expected.len());
            for hit in &all {
                let exact = expected[hit.doc.as_str()];
                prop_assert!((hit.score - exact).abs() < 1e-6, "{} {} {}", hit.doc, hit.score, exact);
            }
            for limit in [0, 1, 2, 10, 100, 1000] {
                let some = search(&index, &query, limit);
                prop_assert_eq!(some.hits(), &all.hits()[..limit.min(all.len())], "limit {}", limit);
            }
        }
    }
}

#[test]
fn long_documents_are_bounded_soundly_too() {
    let mut corpus = corpus(6_000, 7);
    for (number, (_, text)) in corpus.documents.iter_mut().enumerate() {
        *text = format!("{text} ").repeat(1 + number % 50);
    }
    for (k1, b) in [(1.2, 0.75), (0.9, 0.4), (3.0, 1.0), (1.0, 0.0)] {
        let home = tempfile::tempdir().unwrap();
        let (index, _) = open(home.path(), &corpus, Bm25Params::new(k1, b).unwrap()).unwrap();
        for query in ["w0", "w40", "w0 w1 w2", "w50 w3 w20", "w55 w55 w56 w0"] {
            let all = search(&index, query, 6_000);
            for limit in [1, 7, 50] {
                assert_eq!(
                    search(&index, query, limit).hits(),
                    &all.hits()[..limit],
                    "{query} {k1} {b}"
                );
            }
        }
    }
}

#[test]
fn among_equal_scores_the_smallest_ids_are_kept() {
    let names: Vec<String> = (0..5_000).rev().map(|n| format!("{n:05}")).collect();
    let corpus = Corpus::new("ties", names.iter().map(|id| (id.as_str(), "same words")));
    let home = tempfile::tempdir().unwrap();
    let (index, _) = open(home.path(), &corpus, Bm25Params::default()).unwrap();
    assert_eq!(
        ids(&search(&index, "words", 3)),
        ["00000", "00001", "00002"]
    );
    assert_eq!(
        ids(&search(&index, "same words", 3)),
        ["00000", "00001", "00002"]
    );
}

#[test]
fn a_repeated_query_term_counts_as_often() {
    let corpus = Corpus::new(
        "qtf",
        [
            ("a", "red blue green"),
            ("b", "red blue blue"),
            ("c", "yellow sea"),
        ],
    );
    let home = tempfile::tempdir().unwrap();
    let (index, _) = open(home.path(), &corpus, Bm25Params::default()).unwrap();
    let score = |query| search(&index, query, 10).hits()[0].score;
    assert!((score("yellow yellow") - 2.0 * score("yellow")).abs() < 1e-8);
}
