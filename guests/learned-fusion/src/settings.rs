//! The parameters of one call.

use serde_json::{Map, Value as Json};

use crate::RankedList;
use crate::normalise::Normalisation;
use crate::routir::extension::types::{Params, Value};

pub(crate) struct Settings {
    weights: Weights,
    bias: f64,
    pub(crate) normalisation: Normalisation,
    pub(crate) missing_is_min: bool,
}

enum Weights {
    BySource(Map<String, Json>),
    ByBranch(Vec<f64>),
}

impl Settings {
    /// Reads and checks them; the error says which one makes no sense, and why.
    pub(crate) fn read(params: &Params) -> Result<Self, String> {
        let (mut weights, mut bias) = (None, 0.0);
        let (mut normalisation, mut missing_is_min) = (Normalisation::MinMax, true);
        for (name, value) in params {
            match (name.as_str(), value) {
                ("weights", value) => weights = Some(read_weights(value)?),
                ("bias", Value::Number(number)) => bias = *number,
                ("normalisation", Value::Text(text)) => {
                    normalisation = match text.as_str() {
                        "min-max" => Normalisation::MinMax,
                        "z-score" => Normalisation::ZScore,
                        "none" => Normalisation::None,
                        _ => {
                            return Err(format!(
                                "`normalisation` must be min-max, z-score or none, not `{text}`"
                            ));
                        }
                    }
                }
                ("missing", Value::Text(text)) => {
                    missing_is_min = match text.as_str() {
                        "min" => true,
                        "zero" => false,
                        _ => return Err(format!("`missing` must be min or zero, not `{text}`")),
                    }
                }
                _ => {}
            }
        }
        let weights = weights.ok_or(
            "`weights` is needed: weights by source, or one number per branch; give them in the \
             service's `params`",
        )?;
        Ok(Self {
            weights,
            bias,
            normalisation,
            missing_is_min,
        })
    }

    /// One weight per list.
    pub(crate) fn weights_of(&self, lists: &[RankedList]) -> Result<Vec<f64>, String> {
        match &self.weights {
            Weights::BySource(by_source) => {
                let of = |list: &RankedList| by_source.get(&list.source).and_then(Json::as_f64);
                let weights = lists.iter().map(|list| of(list).unwrap_or(self.bias));
                Ok(weights.collect())
            }
            Weights::ByBranch(numbers) => {
                if numbers.is_empty() || !lists.len().is_multiple_of(numbers.len()) {
                    let (given, needed) = (numbers.len(), lists.len());
                    return Err(format!(
                        "`weights` has {given} for {needed} lists; give one per branch"
                    ));
                }
                // Under an expander a branch has one list per sub-query.
                let each = lists.len() / numbers.len();
                let weights = numbers.iter().flat_map(|n| std::iter::repeat_n(*n, each));
                Ok(weights.collect())
            }
        }
    }
}

fn read_weights(value: &Value) -> Result<Weights, String> {
    let wrong = || "`weights` must be numbers by source, or a list of numbers".to_owned();
    let json = match value {
        Value::Numbers(numbers) => return Ok(Weights::ByBranch(numbers.clone())),
        Value::Json(text) => serde_json::from_str(text).map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    match json {
        Json::Object(map) if map.values().all(Json::is_number) => Ok(Weights::BySource(map)),
        Json::Array(list) => {
            let numbers: Option<Vec<_>> = list.iter().map(Json::as_f64).collect();
            numbers.map(Weights::ByBranch).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}
