//! Where a model comes from: a local folder, or a repository of a model hub.

use std::fmt;
use std::path::{Path, PathBuf};

use routir_core::{Error, Result};
use routir_hub::{Hub, Kind, Repository};

use crate::files::{ModelFiles, choose, needed};

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModelSource {
    /// A local folder.
    Folder(PathBuf),
    /// A repository of a hub.
    Hub {
        /// `owner/name`.
        repo: String,
        /// A branch, tag or commit.
        revision: String,
    },
}

impl ModelSource {
    /// Reads `hf:owner/name`, `hf:owner/name@revision`, or a folder's path. As in Python, a name of the
    /// form `owner/name` that is no folder here is a repository.
    ///
    /// # Errors
    /// When it is neither a folder nor has the form of a repository's name.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(name) = text.strip_prefix("hf:") {
            return Self::repository(name).ok_or_else(|| {
                Error::invalid(format!(
                    "`{text}` names no model; write hf:owner/name or hf:owner/name@revision"
                ))
            });
        }
        let path = Path::new(text);
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        match Self::repository(text) {
            Some(source) if text.matches('/').count() == 1 => Ok(source),
            _ => Err(Error::invalid(format!(
                "there is no folder `{text}` with a model in it; give the path of one, or \
                 hf:owner/name for a model of a hub"
            ))),
        }
    }

    fn repository(text: &str) -> Option<Self> {
        let (repo, revision) = text.split_once('@').unwrap_or((text, "main"));
        let word = |word: &str, more: &str| {
            !word.is_empty()
                && !word.starts_with('.')
                && !word.contains("..")
                && word
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c) || more.contains(c))
        };
        let parts = repo.split('/').count();
        let fits = parts <= 2 && repo.split('/').all(|part| word(part, "")) && word(revision, "/");
        fits.then(|| Self::Hub {
            repo: repo.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// Its files, fetched if need be: see [`ModelFiles::open`] about `graphs`, and [`Hub`] about
    /// fetching. Blocks.
    ///
    /// # Errors
    /// When a file is missing, or the hub cannot be reached and the files are not in its cache.
    pub fn files(&self, hub: &Hub, graphs: &[&[&str]]) -> Result<ModelFiles> {
        match self {
            Self::Folder(folder) => ModelFiles::open(folder, graphs),
            Self::Hub { repo, revision } => {
                let select = |names: &[String]| Ok(needed(names, &choose(names, graphs)?));
                let repository = Repository {
                    kind: Kind::Model,
                    name: repo,
                    revision,
                };
                let folder = hub
                    .snapshot(repository, &select)
                    .map_err(|why| why.at(format_args!("model `{self}`")))?;
                ModelFiles::open(&folder, graphs)
            }
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Hub { repo, revision } if revision == "main" => write!(f, "hf:{repo}"),
            Self::Hub { repo, revision } => write!(f, "hf:{repo}@{revision}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_repositories_and_writes_them_as_it_reads_them() {
        for text in [
            "hf:owner/name",
            "hf:owner/name@v1.0",
            "hf:o/n@refs/pr/3",
            "hf:gpt2",
        ] {
            assert_eq!(ModelSource::parse(text).unwrap().to_string(), text);
        }
        let plain = ModelSource::parse("owner/name").unwrap();
        assert_eq!(plain, ModelSource::parse("hf:owner/name@main").unwrap());
    }

    #[test]
    fn refuses_what_is_neither_a_folder_nor_a_repository() {
        for text in [
            "",
            "nowhere",
            "/no/such/folder",
            "./no/such",
            "hf:",
            "hf:a/b/c",
            "hf:../x",
            "hf:a/b@../x",
            "hf:a/b@",
        ] {
            assert!(ModelSource::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_folder_that_exists_is_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().to_str().unwrap();
        assert_eq!(
            ModelSource::parse(text).unwrap(),
            ModelSource::Folder(dir.path().to_owned())
        );
    }
}
