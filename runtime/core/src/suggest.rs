//! For messages: the nearest known name, and what was given, cut short.

use std::borrow::Cow;

use serde_json::Value;

/// How much of a caller's text an answer repeats.
const SHOWN: usize = 64;

/// A caller's text as a message may repeat it: cut short, so that no answer grows with the input.
#[must_use]
pub fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// A caller's value as a message may repeat it.
#[must_use]
pub fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("{:?}", shorten(text)),
        other => shorten(&other.to_string()).into_owned(),
    }
}

/// The candidate nearest to `name`, if one is near enough to be meant: at most a third of its
/// letters differ (case aside), or it starts with `name`.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: String = name.chars().flat_map(char::to_lowercase).take(64).collect();
    let letters = wanted.chars().count();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other: String = candidate
                .chars()
                .flat_map(char::to_lowercase)
                .take(64)
                .collect();
            let distance = strsim::osa_distance(&wanted, &other);
            let prefix = letters >= 3 && other.starts_with(&wanted);
            (distance <= (letters / 3).max(1) || prefix).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let names = ["bm25", "dense", "reranker", "RRF"];
        assert_eq!(nearest("bm52", names), Some("bm25"));
        assert_eq!(nearest("rerankr", names), Some("reranker"));
        assert_eq!(nearest("rrf", names), Some("RRF"));
        assert_eq!(nearest("rera", names), Some("reranker"));
        assert_eq!(nearest("splade", names), None);
        assert_eq!(nearest("", names), None);
    }
}
