//! Where the shared libraries are that the server loads at run time: ONNX Runtime and FAISS. And what
//! a machine's GPUs are, as their driver's library tells.
//!
//! Guards: what is loaded was named by the operator or lies where an installation puts it; a library
//! that is not found is an error that lists where it was looked for. Must never know: what the
//! libraries do.

mod gpu;

use std::path::{Path, PathBuf};

use routir_core::{Error, ErrorCode, Result};

pub use gpu::{Gpu, Gpus};

/// Names the folder that holds a folder per library, before all others.
pub const FOLDER_VARIABLE: &str = "ROUTIR_NATIVE";

/// The folders that may hold the files of `library`, likeliest first:
/// `$ROUTIR_NATIVE/<library>`, `native/<library>` beside the binary, `../lib/routir-rt/<library>` of
/// an installation, and `.cache/native/<library>` of a checkout that the binary was built in.
#[must_use]
pub fn folders(library: &str) -> Vec<PathBuf> {
    let named = std::env::var_os(FOLDER_VARIABLE).filter(|it| !it.is_empty());
    let binary = std::env::current_exe().ok();
    let beside = binary.as_deref().and_then(Path::parent);
    let mut folders: Vec<PathBuf> = named.map(PathBuf::from).into_iter().collect();
    if let Some(beside) = beside {
        folders.push(beside.join("native"));
        folders.extend(beside.parent().map(|it| it.join("lib/routir-rt")));
        let checkout = beside.ancestors().map(|it| it.join(".cache/native"));
        folders.extend(checkout.filter(|it| it.is_dir()).take(1));
    }
    folders.iter().map(|it| it.join(library)).collect()
}

/// The first of `candidates` that is a file.
///
/// # Errors
/// [`ErrorCode::Unavailable`] when none is: what was looked for, where, and `advice`.
pub fn first_file(
    what: &str,
    candidates: impl IntoIterator<Item = PathBuf>,
    advice: &str,
) -> Result<PathBuf> {
    let mut tried = Vec::new();
    for candidate in candidates {
        if candidate.is_file() {
            return Ok(candidate);
        }
        tried.push(format!("`{}`", candidate.display()));
    }
    let tried = tried.join(", ");
    Err(Error::new(
        ErrorCode::Unavailable,
        format!("{what} was not found; looked for {tried}; {advice}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_found_says_where_it_was_looked_for_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let (absent, there) = (dir.path().join("a.so"), dir.path().join("b.so"));
        let find = || first_file("the library", [absent.clone(), there.clone()], "get one");
        let error = find().unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable);
        let (first, second) = (absent.display(), there.display());
        assert_eq!(
            error.message(),
            format!("the library was not found; looked for `{first}`, `{second}`; get one")
        );
        std::fs::write(&there, "").unwrap();
        assert_eq!(find().unwrap(), there);
    }
}
