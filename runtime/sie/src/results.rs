//! What is answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Array;

/// The answer to an encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodeReply {
    /// The model, as the request called it.
    pub model: String,
    /// A result for each item, in their order.
    pub items: Vec<EncodeResult>,
    /// Where the time went.
    pub timing: Option<Timing>,
}

/// What became of one item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EncodeResult {
    /// The item's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// One vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dense: Option<Dense>,
    /// Weights of terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse: Option<Sparse>,
    /// A vector per token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multivector: Option<Multivector>,
}

/// One vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    /// How many numbers the model made, also where they are packed into fewer bytes.
    pub dims: usize,
    /// Which numbers.
    pub dtype: String,
    /// The numbers.
    pub values: Array,
}

/// Weights of terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sparse {
    /// How many terms there are, where that is known.
    pub dims: Option<usize>,
    /// Which numbers the weights are.
    pub dtype: String,
    /// The terms.
    pub indices: Array,
    /// Their weights.
    pub values: Array,
}

/// A vector per token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Multivector {
    /// How many numbers each has, also where they are packed.
    pub token_dims: usize,
    /// How many there are.
    pub num_tokens: usize,
    /// Which numbers.
    pub dtype: String,
    /// Token by token.
    pub values: Array,
}

/// Where the time of a request went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// All of it.
    pub total_ms: f64,
    /// Waiting for the model.
    pub queue_ms: f64,
    /// Making tokens of texts.
    pub tokenization_ms: f64,
    /// In the model.
    pub inference_ms: f64,
    /// Turning vectors into the numbers asked for.
    pub postprocessing_ms: Option<f64>,
}

/// The answer to a scoring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreReply {
    /// The model, as the request called it.
    pub model: String,
    /// The query's id.
    pub query_id: Option<String>,
    /// The items, best first.
    pub scores: Vec<ScoreEntry>,
}

/// An item's score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreEntry {
    /// The item's id, or `item-` and its place in the request.
    pub item_id: String,
    /// The larger the better.
    pub score: f64,
    /// Its place among all, from 0.
    pub rank: usize,
}

impl ScoreReply {
    /// Ranks `scores`, which are the items' in their order with their ids. Equal ones keep theirs.
    pub fn new(
        model: impl Into<String>,
        query_id: Option<String>,
        scores: impl IntoIterator<Item = (Option<String>, f64)>,
    ) -> Self {
        let named = scores.into_iter().enumerate().map(|(at, (id, score))| {
            let id = id.unwrap_or_else(|| format!("item-{at}"));
            (id, score)
        });
        let mut named: Vec<_> = named.collect();
        named.sort_by(|a, b| b.1.total_cmp(&a.1));
        let entries = named.into_iter().enumerate();
        let entries = entries.map(|(rank, (item_id, score))| ScoreEntry {
            item_id,
            score,
            rank,
        });
        Self {
            model: model.into(),
            query_id,
            scores: entries.collect(),
        }
    }
}

/// The answer to `GET /v1/models`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelList {
    /// The models, by name.
    pub models: Vec<ModelEntry>,
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// Its name in requests.
    pub name: String,
    /// What it reads: `text`.
    pub inputs: Vec<String>,
    /// What it makes: `dense`, `sparse`, `multivector`, `score`.
    pub outputs: Vec<String>,
    /// How many numbers its vectors have, by output.
    pub dims: BTreeMap<String, usize>,
    /// Whether it answers now.
    pub loaded: bool,
    /// The longest text that it reads whole, in tokens.
    pub max_sequence_length: Option<usize>,
    /// Sets of options by name.
    pub profiles: BTreeMap<String, Profile>,
}

/// A set of options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Whether it holds for requests that name none.
    pub is_default: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Form, OutputDtype};

    fn reply() -> EncodeReply {
        EncodeReply {
            model: "m".to_owned(),
            items: vec![
                EncodeResult {
                    id: Some("a".to_owned()),
                    dense: Some(Dense {
                        dims: 2,
                        dtype: "float32".to_owned(),
                        values: OutputDtype::Float32.vector(&[0.5, 0.1]),
                    }),
                    ..EncodeResult::default()
                },
                EncodeResult {
                    sparse: Some(Sparse {
                        dims: None,
                        dtype: "float32".to_owned(),
                        indices: Array::integers(&[7]),
                        values: Array::floats(&[1.5]),
                    }),
                    multivector: Some(Multivector {
                        token_dims: 1,
                        num_tokens: 2,
                        dtype: "int8".to_owned(),
                        values: OutputDtype::Int8.rows(&[1.0, -1.0], 1),
                    }),
                    ..EncodeResult::default()
                },
            ],
            timing: None,
        }
    }

    #[test]
    fn json_has_lists_where_msgpack_has_arrays() {
        let json = Form::Json.write(&reply()).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"model":"m","items":[{"id":"a","dense":{"dims":2,"dtype":"float32","values":[0.5,0.1]}},{"sparse":{"dims":null,"dtype":"float32","indices":[7],"values":[1.5]},"multivector":{"token_dims":1,"num_tokens":2,"dtype":"int8","values":[[127],[-127]]}}],"timing":null}"#
        );
        let msgpack = Form::Msgpack.write(&reply()).unwrap();
        assert_eq!(
            Form::Msgpack.read::<EncodeReply>(&msgpack).unwrap(),
            reply()
        );
    }

    #[test]
    fn items_are_ranked_and_named() {
        let id = |id: &str| Some(id.to_owned());
        let scored = [(None, 1.0), (id("b"), 2.0), (None, 1.0), (id("d"), -1.0)];
        let reply = ScoreReply::new("m", None, scored);
        let order: Vec<_> = reply
            .scores
            .iter()
            .map(|entry| (entry.item_id.as_str(), entry.rank))
            .collect();
        assert_eq!(order, [("b", 0), ("item-0", 1), ("item-2", 2), ("d", 3)]);
    }
}
