//! What a folder holds.

use std::path::Path;

use routir_core::{Error, Result};

/// The most files of a folder that are looked at.
const MAX_LISTED: usize = 10_000;

/// The names of the files in a folder and in the folders in it, `depth` folders deep, relative to it,
/// sorted.
///
/// # Errors
/// When it cannot be read.
pub fn list(folder: &Path, depth: usize) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(|why| {
        Error::invalid(format!(
            "the folder {} cannot be read: {why}",
            folder.display()
        ))
    })?;
    let mut names = Vec::new();
    let mut ahead: Vec<_> = entries.flatten().map(|it| (it.path(), depth)).collect();
    while let Some((path, depth)) = ahead.pop() {
        if names.len() + ahead.len() >= MAX_LISTED && path.is_dir() {
            continue;
        }
        if path.is_file() {
            let name = path.strip_prefix(folder).ok().and_then(Path::to_str);
            names.extend(name.map(|name| name.replace(std::path::MAIN_SEPARATOR, "/")));
        } else if depth > 1 && path.is_dir() {
            let below = std::fs::read_dir(&path).into_iter().flatten().flatten();
            ahead.extend(below.map(|it| (it.path(), depth - 1)).take(MAX_LISTED));
        }
    }
    names.truncate(MAX_LISTED);
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_deep_as_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for name in ["z", "a/y", "a/b/x"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(list(dir.path(), 1).unwrap(), ["z"]);
        assert_eq!(list(dir.path(), 2).unwrap(), ["a/y", "z"]);
        assert_eq!(list(dir.path(), 3).unwrap(), ["a/b/x", "a/y", "z"]);
        assert!(list(&dir.path().join("none"), 1).is_err());
    }
}
