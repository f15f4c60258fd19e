//! What a worker tells of a model beyond its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::one::lower;

/// The most models that are taken.
const MAX_MODELS: usize = 4096;

/// What is known of a model beyond its name, as `/v1/models` has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Card {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inputs: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outputs: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dims: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_sequence_length: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profiles: Option<Value>,
}

impl Card {
    /// What is not known here, from there.
    pub(crate) fn or(&mut self, other: &Self) {
        let pairs = [
            (&mut self.inputs, &other.inputs),
            (&mut self.outputs, &other.outputs),
            (&mut self.dims, &other.dims),
            (&mut self.max_sequence_length, &other.max_sequence_length),
            (&mut self.profiles, &other.profiles),
        ];
        for (here, there) in pairs {
            if here.is_none() {
                here.clone_from(there);
            }
        }
    }
}

/// The cards of a worker's `/v1/models`, by lower-case name; entries that are none are passed over.
/// `None` for what is no list of models.
pub(super) fn read(bytes: &[u8]) -> Option<BTreeMap<Arc<str>, Card>> {
    #[derive(Deserialize)]
    struct Models {
        models: Vec<Value>,
    }
    #[derive(Deserialize)]
    struct Entry {
        name: Arc<str>,
        #[serde(flatten)]
        card: Card,
    }
    let models: Models = serde_json::from_slice(bytes).ok()?;
    let entries = models.models.into_iter().take(MAX_MODELS);
    let entries = entries.filter_map(|entry| serde_json::from_value::<Entry>(entry).ok());
    Some(
        entries
            .map(|entry| (lower(Arc::clone(&entry.name)), entry.card))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_that_are_none_are_passed_over_and_what_is_missing_is_added() {
        let models = json!({"models": [
            {"name": "A/b", "inputs": ["text"], "dims": {"dense": 384}, "loaded": true},
            7, {"name": 3}, null, {"outputs": []},
        ]});
        let cards = read(models.to_string().as_bytes()).unwrap();
        assert_eq!(
            cards.keys().map(|name| &**name).collect::<Vec<_>>(),
            ["a/b"]
        );
        let mut card = cards["a/b"].clone();
        card.or(&Card {
            inputs: Some(json!(["image"])),
            outputs: Some(json!(["dense"])),
            ..Card::default()
        });
        assert_eq!(
            serde_json::to_value(card).unwrap(),
            json!({"inputs": ["text"], "outputs": ["dense"], "dims": {"dense": 384}})
        );
        for wrong in ["", "[]", "{}", r#"{"models": 7}"#] {
            assert!(read(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
