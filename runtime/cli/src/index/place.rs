//! An index folder in the making: built beside its place and put there whole.
//!
//! ```text
//! <output>.building/   locked by the process that builds; kept when it is killed, to be gone on with
//! <output>/            the index
//! ```

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::failure::wrong;

const LOCK: &str = ".lock";

/// A folder that will be the index.
#[derive(Debug)]
pub(crate) struct NewIndex {
    output: PathBuf,
    building: PathBuf,
    committed: bool,
    /// Held as long as the index is built.
    _lock: File,
}

impl NewIndex {
    /// Starts the index that will be `output`, or goes on with what an interrupted process left. An
    /// index that is there already is replaced only with `overwrite`, and only when it is one by
    /// `is_index`.
    ///
    /// # Errors
    /// As [`check`]; when another process builds it.
    pub(crate) fn create(
        output: &Path,
        is_index: impl Fn(&Path) -> bool,
        overwrite: bool,
    ) -> anyhow::Result<Self> {
        check(output, is_index, overwrite)?;
        let shown = output.display();
        let building = with_suffix(output, ".building");
        let place = || format!("cannot write {}", building.display());
        fs::create_dir_all(&building).with_context(place)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(building.join(LOCK))
            .with_context(place)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "another process builds the index {shown}; wait for it, or give another --output"
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(place),
        }
        Ok(Self {
            output: output.to_owned(),
            building,
            committed: false,
            _lock: lock,
        })
    }

    /// Where to build.
    pub(crate) fn dir(&self) -> &Path {
        &self.building
    }

    /// Removes what an interrupted process left.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        let clear = || -> std::io::Result<()> {
            for entry in fs::read_dir(&self.building)? {
                let path = entry?.path();
                if path.is_dir() {
                    fs::remove_dir_all(path)?;
                } else if !path.ends_with(LOCK) {
                    fs::remove_file(path)?;
                }
            }
            Ok(())
        };
        clear().with_context(|| format!("cannot clear {}", self.building.display()))
    }

    /// Puts the index in its place.
    ///
    /// # Errors
    /// When a folder cannot be renamed.
    pub(crate) fn commit(mut self) -> anyhow::Result<()> {
        self.committed = true;
        let old = with_suffix(&self.output, ".old");
        let commit = || -> std::io::Result<()> {
            fs::remove_file(self.building.join(LOCK))?;
            File::open(&self.building)?.sync_all()?;
            if self.output.exists() {
                if old.exists() {
                    fs::remove_dir_all(&old)?;
                }
                fs::rename(&self.output, &old)?;
            }
            fs::rename(&self.building, &self.output)?;
            let parent = self.output.parent().filter(|it| !it.as_os_str().is_empty());
            let _ = File::open(parent.unwrap_or(Path::new("."))).and_then(|it| it.sync_all());
            if old.exists() {
                fs::remove_dir_all(&old)?;
            }
            Ok(())
        };
        commit().with_context(|| {
            format!(
                "cannot put the index in place; it is whole in {}",
                self.building.display()
            )
        })
    }
}

impl Drop for NewIndex {
    /// Leaves nothing behind that is of no use: what can be gone on with stays.
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let _ = fs::remove_file(self.building.join(LOCK));
        let _ = fs::remove_dir(&self.building);
    }
}

/// Checks that an index may be put at `output`: that there is nothing, or with `overwrite` an index.
///
/// # Errors
/// When there is an index that is not to be replaced, or something else.
pub(crate) fn check(
    output: &Path,
    is_index: impl Fn(&Path) -> bool,
    overwrite: bool,
) -> anyhow::Result<()> {
    let shown = output.display();
    if !output.exists() {
        return Ok(());
    }
    let entries = || fs::read_dir(output).with_context(|| format!("cannot read {shown}"));
    if output.is_dir() && entries()?.next().is_none() {
        return Ok(());
    }
    if !is_index(output) {
        return Err(wrong(format!(
            "{shown} is there already and is no such index; give another --output"
        )));
    }
    if overwrite {
        return Ok(());
    }
    Err(wrong(format!(
        "there is an index in {shown} already; give another --output, or --overwrite"
    )))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    // A folder that is named with a slash at its end has the same name without.
    let mut name = path.components().as_path().as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_replaced_whole_and_only_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("idx/");
        let is_index = |dir: &Path| dir.join("index.faiss").is_file();
        let create = |overwrite| NewIndex::create(&output, is_index, overwrite);
        for text in ["one", "two"] {
            let new = create(true).unwrap();
            fs::write(new.dir().join("index.faiss"), text).unwrap();
            let error = create(true).unwrap_err().to_string();
            assert!(error.contains("another process"), "{error}");
            new.commit().unwrap();
            assert_eq!(
                fs::read_to_string(output.join("index.faiss")).unwrap(),
                text
            );
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
        let error = create(false).unwrap_err().to_string();
        assert!(
            error.contains("already; give another --output, or --overwrite"),
            "{error}"
        );
        fs::remove_file(output.join("index.faiss")).unwrap();
        assert!(create(false).is_ok());
        fs::write(output.join("letters.txt"), "").unwrap();
        let error = create(true).unwrap_err().to_string();
        assert!(error.contains("is no such index"), "{error}");
    }

    #[test]
    fn what_was_left_over_can_be_gone_on_with_or_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let create = || NewIndex::create(&dir.path().join("idx"), |_| true, false).unwrap();
        let new = create();
        fs::write(new.dir().join("trained"), "").unwrap();
        drop(new);
        let new = create();
        assert!(new.dir().join("trained").exists());
        new.clear().unwrap();
        assert!(!new.dir().join("trained").exists());
        drop(new);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
