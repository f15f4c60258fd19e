//! What the cache has of a repository.
//!
//! The layout is that of Hugging Face's tools: `blobs` by their etags, `snapshots/<commit>` with links
//! to them, `refs/<revision>` with the commit. Beside them, in `routir`, lie a lock and each commit's
//! list of files, by which it is known without the hub whether all that is needed is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use routir_core::{Error, ErrorCode, Result};

use crate::hub::{Hub, Repository, Select};
use crate::list;
use crate::names::{is_commit, is_file};

/// How deep a repository is looked into.
const DEPTH: usize = 5;
/// The largest list of files that is read.
const MAX_LIST_BYTES: u64 = 16 << 20;

/// Where own things lie in a repository's folder.
pub(crate) const OWN: &str = "routir";

impl Hub {
    /// What the cache has of a revision, if it is enough; `why` says why nobody else is asked.
    pub(crate) fn cached(
        &self,
        repository: Repository<'_>,
        select: Select<'_>,
        why: &str,
    ) -> Result<PathBuf> {
        let absent = |what: &str| {
            Error::new(
                ErrorCode::Unavailable,
                format!(
                    "{why}, and the cache has not got it{what}; fetch it once with the hub in reach, \
                     or give a local copy"
                ),
            )
        };
        let base = self.base(repository)?;
        let revision = repository.revision;
        let reference = fs::read_to_string(base.join("refs").join(revision));
        let commit = reference.as_deref().map_or(revision, str::trim);
        if !is_commit(commit) {
            return Err(absent(""));
        }
        let folder = base.join("snapshots").join(commit);
        let there = list(&folder, DEPTH).map_err(|_| absent(""))?;
        let listed = listed(&base, commit);
        // Python's tools keep no list; what they have fetched may be all.
        let names = listed.as_ref().unwrap_or(&there);
        let wanted = select(names).map_err(|missing| absent(&format!(" whole ({missing})")))?;
        match wanted.iter().find(|name| !folder.join(name).is_file()) {
            Some(missing) => Err(absent(&format!(" whole (`{missing}` is missing)"))),
            None => Ok(folder),
        }
    }
}

fn listed(base: &Path, commit: &str) -> Option<Vec<String>> {
    let path = base.join(OWN).join(format!("{commit}.json"));
    let small = fs::metadata(&path).is_ok_and(|it| it.len() <= MAX_LIST_BYTES);
    let text = small.then(|| fs::read(path).ok())??;
    let names: Vec<String> = serde_json::from_slice(&text).ok()?;
    names.iter().all(|name| is_file(name)).then_some(names)
}

/// Notes that `revision` is `commit` and what files that has.
pub(crate) fn note(base: &Path, revision: &str, commit: &str, names: &[String]) -> io::Result<()> {
    let list = base.join(OWN).join(format!("{commit}.json"));
    if !list.is_file() {
        let text = serde_json::to_vec(names).map_err(io::Error::other)?;
        replace(&list, &text)?;
    }
    let reference = base.join("refs").join(revision);
    if fs::read_to_string(&reference).is_ok_and(|it| it.trim() == commit) {
        return Ok(());
    }
    replace(&reference, commit.as_bytes())
}

/// Puts a small file in the place of another in one step.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.{}", std::process::id()));
    fs::write(&draft, text)?;
    fs::rename(draft, path)
}
