//! Names that become parts of paths and of pipelines.

use routir_core::{Error, Result, shorten};

/// How long a name may be.
const LONGEST: usize = 64;

/// Whether `name` is a letter, then letters, digits, `_` or `-` (all ASCII), at most 64 of them.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= LONGEST
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Refuses what is no name.
///
/// # Errors
/// [`routir_core::ErrorCode::InvalidArgument`], saying what a name is.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{:?} is no name for {what}; a name is a letter, then letters, digits, `_` or `-`, at \
         most {LONGEST} of them (ASCII only)",
        shorten(name)
    )))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn nothing_that_leaves_a_directory_is_a_name() {
        for name in ["rrf", "R", "my-rrf_2", &"a".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(65);
        for name in [
            "", ".", "..", "../x", "a/b", "a\\b", "a.b", "a\0b", "1a", "-a", "_a", "ä", "a b",
            "a\n", &long,
        ] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
