//! "Did you mean": the nearest known name.

/// The candidate nearest to `name`, if one is near enough to be meant: at most a third of its
/// letters differ (case aside), or it starts with `name`.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: String = name.chars().flat_map(char::to_lowercase).take(64).collect();
    let letters = wanted.chars().count();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other: String = candidate.chars().flat_map(char::to_lowercase).take(64).collect();
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
