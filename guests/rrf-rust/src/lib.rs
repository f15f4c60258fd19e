//! Reciprocal rank fusion: the sum over lists of `weight / (rrf_k + rank)`, rank from 1.

wit_bindgen::generate!({ path: "../../wit/since_v0.1.0", world: "fusion" });

use exports::routir::extension::manifest::{Guest as Manifest, Info, Param, ParamKind};
use routir::extension::types::Value;

struct Rrf;

impl Manifest for Rrf {
    fn describe() -> Info {
        Info {
            name: "rrf-rust".into(),
            version: "0.1.0".into(),
            description: "reciprocal rank fusion in Rust".into(),
            params: Some(vec![
                Param {
                    name: "rrf_k".into(),
                    kind: ParamKind::Number,
                    default: Some("0".into()),
                    description: "added to every rank, at least 0".into(),
                },
                Param {
                    name: "weights".into(),
                    kind: ParamKind::Numbers,
                    default: None,
                    description: "one number of at least 0 per branch; 1 for all when absent"
                        .into(),
                },
            ]),
        }
    }
}

impl Guest for Rrf {
    fn fuse(
        _query: String,
        lists: Vec<RankedList>,
        doc_count: u32,
        params: Params,
    ) -> Result<Vec<f64>, Error> {
        let (mut k, mut weights) = (0.0, None);
        for (name, value) in params {
            match (name.as_str(), value) {
                ("rrf_k", Value::Number(number)) => k = number,
                ("weights", Value::Numbers(numbers)) => weights = Some(numbers),
                _ => {}
            }
        }
        if k < 0.0 {
            let message = format!("`rrf_k` must be a number of at least 0, not {k}");
            return Err(Error::Invalid(message));
        }
        let weights = weights.unwrap_or_else(|| vec![1.0]);
        check(&weights, lists.len())?;
        // Under an expander a branch has one list per sub-query.
        let lists_per_branch = lists.len() / weights.len();
        let mut sums = vec![Sum::default(); doc_count as usize];
        for (place, list) in lists.iter().enumerate() {
            let weight = weights[place / lists_per_branch];
            for (place, doc) in list.docs.iter().enumerate() {
                let rank = (place + 1) as f64;
                sums[*doc as usize].add(weight / (k + rank));
            }
        }
        Ok(sums.iter().map(|sum| sum.high + sum.low).collect())
    }
}

/// The weights must be shared evenly among the lists.
fn check(weights: &[f64], lists: usize) -> Result<(), Error> {
    let message = if weights.is_empty() || lists % weights.len() != 0 {
        let given = weights.len();
        format!("`weights` has {given} for {lists} lists; give one per branch")
    } else if weights.iter().any(|weight| *weight < 0.0) {
        "`weights` must be at least 0".into()
    } else if weights.iter().all(|weight| *weight == 0.0) {
        "`weights` must have a number above 0".into()
    } else {
        return Ok(());
    };
    Err(Error::Invalid(message))
}

/// A sum that keeps what rounding takes from it (Knuth's two-sum), so that the order of the lists
/// does not show in the last digit, as in the native fusion.
#[derive(Clone, Copy, Default)]
struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.high + value;
        let part = sum - self.high;
        self.low += (self.high - (sum - part)) + (value - part);
        self.high = sum;
    }
}

export!(Rrf);
