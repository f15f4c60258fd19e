//! Values are trec_eval's own: see `tests/golden/eval/make.py` for how they came about.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use routir_trec::{EvalOptions, Evaluation, Measure, evaluate, read_qrels, read_run};

fn golden(name: &str) -> PathBuf {
    [
        env!("CARGO_MANIFEST_DIR"),
        "..",
        "..",
        "tests",
        "golden",
        "eval",
        name,
    ]
    .iter()
    .collect()
}

fn evaluated(level: u32, complete: bool, measures: &[Measure]) -> Evaluation {
    let qrels = read_qrels(golden("qrels.txt")).unwrap();
    let run = read_run(golden("run.txt")).unwrap();
    let options = EvalOptions {
        relevance_level: level,
        complete,
        ..EvalOptions::default()
    };
    evaluate(&qrels, &run, measures, &options).unwrap()
}

/// `level, topic, measure, value` of every expected line.
fn expected() -> Vec<(u32, String, Measure, f64)> {
    let text = fs::read_to_string(golden("expected.tsv")).unwrap();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [level, topic, measure, value] = fields[..] else {
            panic!("{line}")
        };
        let measure = measure.parse().unwrap();
        (
            level.parse().unwrap(),
            topic.to_owned(),
            measure,
            value.parse().unwrap(),
        )
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(row)
        .collect()
}

#[test]
fn every_value_of_every_topic_is_trec_evals() {
    let expected = expected();
    assert!(expected.len() > 1500, "{} values", expected.len());
    for level in [1, 2] {
        let rows: Vec<_> = expected.iter().filter(|row| row.0 == level).collect();
        let mut measures: Vec<Measure> = rows.iter().map(|row| row.2).collect();
        measures.sort_unstable();
        measures.dedup();
        let found = evaluated(level, false, &measures);
        for (_, topic, measure, value) in rows {
            let ours = found.value(topic, *measure).unwrap();
            assert!(
                (ours - value).abs() < 1e-9,
                "level {level}, topic {topic}, {measure}: {ours}, trec_eval {value}"
            );
        }
        assert_eq!(
            found.topics.len(),
            26,
            "30 judged, of which 4 are not in the run"
        );
    }
}

#[test]
fn means_are_over_the_topics_that_count() {
    let mut sums: BTreeMap<Measure, (f64, f64)> = BTreeMap::new();
    for (_, _, measure, value) in expected().into_iter().filter(|row| row.0 == 1) {
        let sum = sums.entry(measure).or_default();
        *sum = (sum.0 + value, sum.1 + 1.0);
    }
    let averaged: Vec<Measure> = sums.keys().copied().filter(|m| !m.is_count()).collect();
    let (partial, complete) = (
        evaluated(1, false, &averaged),
        evaluated(1, true, &averaged),
    );
    for measure in averaged {
        let (sum, count) = sums[&measure];
        assert!(
            (partial.overall(measure).unwrap() - sum / count).abs() < 1e-9,
            "{measure}"
        );
        assert!(
            (complete.overall(measure).unwrap() - sum / 30.0).abs() < 1e-9,
            "{measure}"
        );
    }
}
