//! Sub-queries that a guest makes of a query.

use std::sync::Arc;

use super::Checked;
use super::limits::MAX_SUB_QUERY;

/// The first `limit` sub-queries, none of them empty or endless. What is cut off is not looked at.
pub(crate) fn sub_queries(made: Vec<String>, limit: Option<usize>) -> Checked<Vec<Arc<str>>> {
    let kept = limit.unwrap_or(usize::MAX);
    made.into_iter()
        .take(kept)
        .enumerate()
        .map(|(place, query)| {
            let place = place + 1;
            if query.trim().is_empty() {
                return Err(format!("answered an empty sub-query (number {place})"));
            }
            // A character has at most four bytes, so most need not be counted.
            if query.len() > MAX_SUB_QUERY && query.chars().count() > MAX_SUB_QUERY {
                return Err(format!(
                    "answered a sub-query of more than {MAX_SUB_QUERY} characters (number {place})"
                ));
            }
            Ok(Arc::from(query))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(queries: &[&str]) -> Vec<String> {
        queries.iter().map(|q| (*q).to_owned()).collect()
    }

    #[test]
    fn keeps_as_many_as_are_wanted() {
        let all = sub_queries(made(&["a", "b", "a"]), None).unwrap();
        assert_eq!(all, ["a".into(), "b".into(), "a".into()] as [Arc<str>; 3]);
        assert_eq!(
            sub_queries(made(&["a", "b", ""]), Some(2)).unwrap().len(),
            2
        );
        assert!(sub_queries(made(&["a"]), Some(0)).unwrap().is_empty());
        assert!(sub_queries(Vec::new(), None).unwrap().is_empty());
    }

    #[test]
    fn refuses_empty_and_endless_ones() {
        let empty = sub_queries(made(&["a", " \n"]), None).unwrap_err();
        assert_eq!(empty, "answered an empty sub-query (number 2)");
        let long = sub_queries(vec!["é".repeat(MAX_SUB_QUERY + 1)], None).unwrap_err();
        assert!(long.contains("65536 characters (number 1)"), "{long}");
        assert!(sub_queries(vec!["é".repeat(MAX_SUB_QUERY)], None).is_ok());
    }
}
