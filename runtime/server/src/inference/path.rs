//! The model that a path names.

use routir_core::{Error, Result};

/// The longest name of a model, in bytes.
const MAX_NAME: usize = 512;

/// What follows `before` in `path`, with `%` and two digits read once.
///
/// # Errors
/// When there is nothing, or no text.
pub(super) fn model(path: &str, before: &str) -> Result<String> {
    let name = path.strip_prefix(before).unwrap_or_default();
    let malformed = || Error::invalid("the path names no model; it ends with a model's name");
    if name.is_empty() || name.len() > 3 * MAX_NAME {
        return Err(malformed());
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let coded = match (first, after) {
            (b'%', [high, low, left @ ..]) => {
                digit(*high).zip(digit(*low)).map(|pair| (pair, left))
            }
            _ => None,
        };
        match coded {
            Some(((high, low), left)) => {
                bytes.push(high << 4 | low);
                rest = left;
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    let name = String::from_utf8(bytes).map_err(|_| malformed())?;
    match name.len() {
        1..=MAX_NAME => Ok(name),
        _ => Err(malformed()),
    }
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_once() {
        let name = |path: &str| model(path, "/v1/encode/").ok();
        assert_eq!(
            name("/v1/encode/BAAI/bge-m3").as_deref(),
            Some("BAAI/bge-m3")
        );
        assert_eq!(
            name("/v1/encode/BAAI%2Fbge%2dm3").as_deref(),
            Some("BAAI/bge-m3")
        );
        assert_eq!(
            name("/v1/encode/a%252Fb%zz%4").as_deref(),
            Some("a%2Fb%zz%4")
        );
        for bad in ["/v1/encode/", "/v1/score/x", "/v1/encode/%ff"] {
            assert_eq!(name(bad), None, "{bad}");
        }
        assert_eq!(name(&format!("/v1/encode/{}", "x".repeat(513))), None);
    }
}
