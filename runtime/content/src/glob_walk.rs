//! The files that match a pattern, as Python's `glob` finds them.
//!
//! Single names are matched by the `glob` crate; its own walk is not for us, since it panics on names
//! that are not UTF-8, and takes `..` for a match of `.*`.

use std::fs;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};
use routir_core::{Error, Result};

use crate::bytes_view::Room;
use crate::failure::{fault, io_error};
use crate::files::is_absence;

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    // By `Part` itself, which knows that `.*` says the dot.
    require_literal_leading_dot: false,
};

/// One name of a pattern.
enum Part {
    Name(PathBuf),
    Any { pattern: Pattern, hidden: bool },
}

/// A walk for the files of one document.
struct Walk<'w, 'r> {
    id: &'w str,
    room: &'w mut Room<'r>,
    found: Vec<PathBuf>,
}

/// All paths that match `pattern`, sorted: those of the document `id`.
///
/// # Errors
/// When there are more than a document may have parts; when a directory cannot be read; when nobody
/// waits.
pub(crate) fn matching(pattern: &str, id: &str, room: &mut Room<'_>) -> Result<Vec<PathBuf>> {
    let single = single_stars(pattern);
    let parts = Path::new(&single).components().map(part);
    let parts = parts.collect::<Result<Vec<_>, _>>().map_err(|error| {
        Error::engine(format!(
            "the glob {pattern:?} cannot be used: {error}; check `path_glob`"
        ))
    })?;
    let mut walk = Walk {
        id,
        room,
        found: Vec::new(),
    };
    walk.below(PathBuf::new(), &parts)?;
    walk.found.sort();
    Ok(walk.found)
}

fn part(component: Component<'_>) -> Result<Part, glob::PatternError> {
    let name = component.as_os_str().to_str().unwrap_or_default();
    if !name.contains(['*', '?', '[']) {
        return Ok(Part::Name(name.into()));
    }
    Ok(Part::Any {
        pattern: Pattern::new(name)?,
        hidden: name.starts_with('.'),
    })
}

impl Walk<'_, '_> {
    /// Finds what matches `parts` below `path`. As deep as there are parts.
    fn below(&mut self, mut path: PathBuf, mut parts: &[Part]) -> Result<()> {
        while let Some((Part::Name(name), rest)) = parts.split_first() {
            path.push(name);
            parts = rest;
        }
        let Some((Part::Any { pattern, hidden }, rest)) = parts.split_first() else {
            // A link that leads nowhere is told from nothing when it is opened.
            if fs::symlink_metadata(&path).is_ok() {
                self.found.push(path);
                Room::check_parts(self.id, self.found.len())?;
            }
            return Ok(());
        };
        let here = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &path
        };
        let failed = |error: std::io::Error| fault(io_error("reading", here, &error));
        let entries = match fs::read_dir(here) {
            Ok(entries) => entries,
            Err(error) if is_absence(&error) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            self.room.take(self.id, 0)?;
            let name = entry.map_err(failed)?.file_name();
            let text = name.to_string_lossy();
            if (*hidden || !text.starts_with('.')) && pattern.matches_with(&text, OPTIONS) {
                self.below(path.join(&name), rest)?;
            }
        }
        Ok(())
    }
}

/// Python's `glob.glob` knows no `**` unless it is told to.
fn single_stars(text: &str) -> String {
    let mut single = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter != '*' || !single.ends_with('*') {
            single.push(letter);
        }
    }
    single
}
