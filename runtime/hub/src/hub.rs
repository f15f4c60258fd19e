//! A hub and its cache on this machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hf_hub::{Repo, RepoType};
use routir_core::{Error, ErrorCode, Result};

/// How long a hub may send nothing, unless `HF_HUB_DOWNLOAD_TIMEOUT` says otherwise.
const STALL: Duration = Duration::from_secs(30);

/// A hub and its cache on this machine.
#[derive(Clone)]
pub struct Hub {
    pub(crate) endpoint: String,
    pub(crate) token: Option<String>,
    pub(crate) cache: Option<PathBuf>,
    pub(crate) offline: bool,
    pub(crate) stall: Duration,
    pub(crate) tell: Arc<Tell>,
}

/// Picks, of the files of a repository, those to fetch, in the order in which to fetch them.
pub type Select<'a> = &'a dyn Fn(&[String]) -> Result<Vec<String>>;

/// Is told how far a file is.
pub(crate) type Tell = dyn Fn(Fetching<'_>) + Send + Sync;

/// How far a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetching<'a> {
    /// The repository.
    pub repo: &'a str,
    /// The file.
    pub name: &'a str,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A model.
    Model,
    /// A dataset.
    Dataset,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
        }
    }
}

/// A repository at a revision.
#[derive(Clone, Copy, Debug)]
pub struct Repository<'a> {
    /// What it holds.
    pub kind: Kind,
    /// Its name, `owner/name`.
    pub name: &'a str,
    /// A branch, a tag or a commit.
    pub revision: &'a str,
}

impl Repository<'_> {
    pub(crate) fn at(&self, revision: &str) -> Repo {
        let kind = match self.kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        Repo::with_revision(self.name.to_owned(), kind, revision.to_owned())
    }
}

impl Hub {
    /// A hub at `endpoint` (`http://…`) with a cache folder. With `offline` it is never asked, and
    /// only what the cache holds is there.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, cache: impl Into<PathBuf>, offline: bool) -> Self {
        Self {
            endpoint: endpoint.into(),
            token: None,
            cache: Some(cache.into()),
            offline,
            stall: STALL,
            tell: Arc::new(|_| {}),
        }
    }

    /// The same hub, given up when it sends nothing for so long.
    #[must_use]
    pub fn with_stall(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }

    /// The same hub, asked with a token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The same hub; `tell` hears how far files are.
    #[must_use]
    pub fn telling(mut self, tell: impl Fn(Fetching<'_>) + Send + Sync + 'static) -> Self {
        self.tell = Arc::new(tell);
        self
    }

    /// As the environment says, in the variables of Hugging Face's tools: `HF_ENDPOINT`, `HF_TOKEN`
    /// (else the file `token` in `HF_HOME`), `HF_HUB_CACHE` (else `hub` in `HF_HOME`, else in
    /// `~/.cache/huggingface`), `HF_HUB_OFFLINE`, `HF_HUB_DOWNLOAD_TIMEOUT`.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok().filter(|it| !it.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
            let caches = variable("XDG_CACHE_HOME").map(PathBuf::from);
            let caches = caches.or_else(|| Some(Path::new(&variable("HOME")?).join(".cache")))?;
            Some(caches.join("huggingface"))
        });
        let token = variable("HF_TOKEN").or_else(|| {
            let file = std::fs::read_to_string(home.as_ref()?.join("token")).ok()?;
            Some(file.trim().to_owned()).filter(|it| !it.is_empty())
        });
        let endpoint = variable("HF_ENDPOINT");
        let endpoint = endpoint.as_deref().unwrap_or("https://huggingface.co");
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token,
            cache: variable("HF_HUB_CACHE")
                .map(PathBuf::from)
                .or_else(|| Some(home?.join("hub"))),
            offline: variable("HF_HUB_OFFLINE").is_some_and(|it| {
                matches!(
                    it.to_ascii_lowercase().as_str(),
                    "1" | "true" | "yes" | "on"
                )
            }),
            stall: variable("HF_HUB_DOWNLOAD_TIMEOUT")
                .and_then(|it| it.parse().ok())
                .filter(|seconds| (1..=86_400).contains(seconds))
                .map_or(STALL, Duration::from_secs),
            tell: Arc::new(|_| {}),
        }
    }

    /// The folder with a repository's files as they are at its revision. Files that `select` picks
    /// and that are not in the cache are fetched; what is there of a file is gone on with. When the
    /// hub cannot be asked, or sends nothing for long, what the cache has of that revision must do.
    /// Blocking.
    ///
    /// # Errors
    /// When the repository or a file does not exist, or the hub cannot be asked and the cache does not
    /// hold what `select` needs.
    pub fn snapshot(&self, repository: Repository<'_>, select: Select<'_>) -> Result<PathBuf> {
        if self.offline {
            return self.cached(repository, select, "HF_HUB_OFFLINE is set");
        }
        let why = match self.fetch(repository, select) {
            Ok(folder) => return Ok(folder),
            Err(failure) => failure.told(self, repository)?,
        };
        let why = format!("{} cannot be asked ({why})", self.endpoint);
        let folder = self.cached(repository, select, &why)?;
        let Repository { name, revision, .. } = repository;
        let kind = repository.kind.name();
        tracing::warn!(
            repo = name,
            revision,
            why,
            "using the {kind} from the cache"
        );
        Ok(folder)
    }

    pub(crate) fn cache(&self) -> Result<&Path> {
        self.cache.as_deref().ok_or_else(|| {
            Error::new(
                ErrorCode::Unavailable,
                "there is no home folder for what is fetched; set HF_HOME",
            )
        })
    }

    /// The repository's folder in the cache.
    pub(crate) fn base(&self, repository: Repository<'_>) -> Result<PathBuf> {
        let folder = repository.at(repository.revision).folder_name();
        Ok(std::path::absolute(self.cache()?)
            .unwrap_or_else(|_| self.cache.clone().unwrap_or_default())
            .join(folder))
    }
}

impl fmt::Debug for Hub {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(set: &[(&str, &str)]) -> Hub {
        Hub::from_variables(|name| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn reads_the_variables_of_the_python_tools() {
        let plain = hub(&[("HOME", "/home/me")]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(
            plain.cache.unwrap(),
            Path::new("/home/me/.cache/huggingface/hub")
        );
        assert!(!plain.offline && plain.token.is_none() && plain.stall == STALL);
        let set = hub(&[
            ("HF_ENDPOINT", "http://mirror/"),
            ("HF_TOKEN", "secret"),
            ("HF_HOME", "/models"),
            ("HF_HUB_OFFLINE", "1"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "7"),
        ]);
        assert_eq!(set.endpoint, "http://mirror");
        assert_eq!(set.token.as_deref(), Some("secret"));
        assert_eq!(set.cache.as_deref(), Some(Path::new("/models/hub")));
        assert!(set.offline && set.stall == Duration::from_secs(7));
        assert!(!format!("{set:?}").contains("secret"));
        let cache = hub(&[("HF_HOME", "/models"), ("HF_HUB_CACHE", "/cache")]);
        assert_eq!(cache.cache.unwrap(), Path::new("/cache"));
        assert!(hub(&[]).cache().is_err());
    }
}
