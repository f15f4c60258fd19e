//! Names by pattern: what a tenant may see of the operator's services and collections.

/// Whether one of the patterns matches `name`. `*` stands for any letters, also none; everything
/// else for itself. (A crate for this would bring `?`, classes and escapes, which nobody was
/// promised and which a name may contain.)
#[must_use]
pub fn granted(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

/// Each piece between stars is taken at its first place after the piece before, which leaves the
/// most room to the rest; so there is no need ever to go back.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match left.find(piece) {
            Some(at) => left = left.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word for word.
    fn by_definition(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|taken| by_definition(rest, &name[taken..])),
            Some((letter, rest)) => name
                .split_first()
                .is_some_and(|(first, name)| first == letter && by_definition(rest, name)),
        }
    }

    proptest! {
        #[test]
        fn a_star_is_any_letters(pattern in "[ab*é]{0,7}", name in "[abé]{0,8}") {
            let definition = by_definition(
                &pattern.chars().collect::<Vec<_>>(),
                &name.chars().collect::<Vec<_>>(),
            );
            prop_assert_eq!(matches(&pattern, &name), definition);
        }
    }

    #[test]
    fn nothing_is_granted_by_nothing() {
        assert!(!granted(&[], "bm25"));
        assert!(granted(&["x".to_owned(), "bm*".to_owned()], "bm25"));
        assert!(!granted(&["bm".to_owned(), "m25".to_owned()], "bm25"));
    }
}
