//! What may become a path in the cache or a part of an address.

use std::path::{Component, Path};

/// The longest name of a file that is taken.
const MAX_NAME: usize = 1024;

/// Whether `name` is that of a file inside of a repository.
pub(crate) fn is_file(name: &str) -> bool {
    let normal = |part| matches!(part, Component::Normal(_));
    (1..=MAX_NAME).contains(&name.len())
        && !name.ends_with('/')
        && !name.chars().any(char::is_control)
        && Path::new(name).components().all(normal)
}

/// Whether `text` is a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_alphanumeric())
}

/// Whether `text` can be the name of a blob.
pub(crate) fn is_etag(text: &str) -> bool {
    (1..=200).contains(&text.len())
        && !text.starts_with('.')
        && !text.ends_with(".part")
        && text
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it))
}

/// Whether `text` is `name` or `owner/name`.
pub(crate) fn is_repository(text: &str) -> bool {
    text.len() <= 200 && text.split('/').count() <= 2 && text.split('/').all(is_word)
}

/// Whether `text` is a branch, a tag or a commit.
pub(crate) fn is_revision(text: &str) -> bool {
    text.len() <= 200 && text.split('/').all(is_word)
}

fn is_word(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with('.')
        && !word.contains("..")
        && word
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it))
}

/// The name of a file as it stands in an address.
pub(crate) fn in_address(name: &str) -> String {
    let mut address = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02X}"));
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_cache() {
        assert!(is_file("onnx/model.onnx") && is_file("with space+.jsonl"));
        for name in ["", "../a", "/etc/x", "a/../b", "a/", "a\nb", "./a/../../b"] {
            assert!(!is_file(name), "{name}");
        }
        assert!(is_etag("abc-123.x"));
        for etag in ["", "../../x", "a/b", ".hidden", "x.part"] {
            assert!(!is_etag(etag), "{etag}");
        }
        assert!(is_commit("abc123") && !is_commit("../x") && !is_commit(""));
        assert!(is_repository("a/b") && is_repository("gpt2"));
        for name in ["", "a/b/c", "../x", "a/", "a/..", ".a/b", "a b"] {
            assert!(!is_repository(name), "{name}");
        }
        assert!(is_revision("refs/pr/3") && !is_revision("../x") && !is_revision("a//b"));
    }

    #[test]
    fn addresses_are_escaped() {
        assert_eq!(in_address("a b/ü#?.jsonl"), "a%20b/%C3%BC%23%3F.jsonl");
    }
}
