//! The vectors that every implementation of a merger must meet: `tests/golden/fusion.json`, whose
//! expected values come from `fusion_oracle.py` beside it.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use routir_core::{Hit, Params, Ranking};
use routir_fusion::{Method, methods};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    method: String,
    params: serde_json::Map<String, serde_json::Value>,
    rankings: Vec<Vec<(String, f64)>>,
    branches: Option<usize>,
    limit: Option<usize>,
    expected: Option<Vec<(String, f64)>>,
    error: Option<String>,
}

fn cases() -> Vec<Case> {
    let parts = [
        env!("CARGO_MANIFEST_DIR"),
        "..",
        "..",
        "tests",
        "golden",
        "fusion.json",
    ];
    let text = std::fs::read_to_string(parts.iter().collect::<PathBuf>()).unwrap();
    serde_json::from_str::<Vectors>(&text).unwrap().cases
}

fn ranking(hits: &[(String, f64)]) -> Arc<Ranking> {
    let hits = hits
        .iter()
        .map(|(doc, score)| Hit::new(doc.as_str(), *score))
        .collect();
    Arc::new(Ranking::from_hits(hits).unwrap())
}

fn close(ours: f64, expected: f64) -> bool {
    (ours - expected).abs() <= 1e-12 * expected.abs().max(1.0)
}

fn check(case: &Case) -> Result<(), String> {
    let rankings: Vec<_> = case.rankings.iter().map(|hits| ranking(hits)).collect();
    let method = Method::by_name(&case.method).ok_or("unknown method")?;
    let params = Params::from(case.params.clone());
    let fused = method.fuse(&rankings, case.branches.is_some(), case.limit, &params);
    match (fused, &case.expected, &case.error) {
        (Ok(fused), Some(expected), None) => {
            let same = fused.len() == expected.len()
                && fused
                    .hits()
                    .iter()
                    .zip(expected)
                    .all(|(hit, (doc, score))| hit.doc.as_str() == doc && close(hit.score, *score));
            if same {
                Ok(())
            } else {
                Err(format!("{:?}\nexpected {expected:?}", fused.hits()))
            }
        }
        (Err(error), None, Some(code)) if error.code().name() == code => Ok(()),
        (fused, expected, error) => Err(format!("{fused:?}\nexpected {expected:?}{error:?}")),
    }
}

#[test]
fn every_vector_is_met() {
    let failures: Vec<String> = cases()
        .iter()
        .filter_map(|case| check(case).err().map(|why| format!("{}: {why}", case.name)))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_method_has_vectors() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases() {
        *counts.entry(case.method).or_default() += 1;
    }
    for info in methods() {
        let count = counts.get(info.name).copied().unwrap_or(0);
        assert!(count >= 8, "{}: {count} vectors", info.name);
    }
}
