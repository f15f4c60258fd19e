//! Models of a hub that speaks Hugging Face's protocol, through the cache that its Python tools use
//! too.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::api::{Progress, RepoInfo};
use hf_hub::{Cache, Repo, RepoType};
use routir_core::{Error, ErrorCode, Result};

use crate::files::list;
use crate::library::guarded;

/// A hub and its cache on this machine.
#[derive(Clone)]
pub struct Hub {
    endpoint: String,
    token: Option<String>,
    cache: Option<PathBuf>,
    offline: bool,
}

/// Picks, of the files of a repository, those to fetch, in the order in which to fetch them.
type Select<'a> = &'a dyn Fn(&[String]) -> Result<Vec<String>>;

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
        }
    }

    /// The same hub, asked with a token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// As the environment says, in the variables of Hugging Face's tools: `HF_ENDPOINT`, `HF_TOKEN`
    /// (else the file `token` in `HF_HOME`), `HF_HUB_CACHE` (else `hub` in `HF_HOME`, else in
    /// `~/.cache/huggingface`), `HF_HUB_OFFLINE`.
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
        }
    }

    /// The folder with a repository's files as they are at `revision`. Files that `select` picks and
    /// that are not in the cache are fetched. When the hub cannot be asked, what the cache has of
    /// that revision must do.
    ///
    /// # Errors
    /// When the repository or a file does not exist, or the hub cannot be asked and the cache does not
    /// hold what `select` needs.
    pub(crate) fn snapshot(
        &self,
        repo: &str,
        revision: &str,
        select: Select<'_>,
    ) -> Result<PathBuf> {
        if self.offline {
            return self.cached(repo, revision, select, "HF_HUB_OFFLINE is set");
        }
        let fetched = guarded(|| self.fetch(repo, revision, select));
        match fetched.unwrap_or_else(|panic| Err(Failure::Unreachable(panic))) {
            Ok(folder) => Ok(folder),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Unreachable(why)) => {
                let why = format!("{} cannot be asked ({why})", self.endpoint);
                let folder = self.cached(repo, revision, select, &why)?;
                tracing::warn!(repo, revision, why, "using the model from the cache");
                Ok(folder)
            }
        }
    }

    fn fetch(&self, repo: &str, revision: &str, select: Select<'_>) -> Result<PathBuf, Failure> {
        let api = self.api()?;
        let named = |revision: &str| {
            Repo::with_revision(repo.to_owned(), RepoType::Model, revision.to_owned())
        };
        let info = api
            .repo(named(revision))
            .info()
            .map_err(|why| self.failure(&why))?;
        let (commit, names) = checked(info)?;
        let cache = Cache::new(self.cache()?.to_owned());
        let folder = cache.repo(named(&commit)).pointer_path(&commit);
        let source = api.repo(named(&commit));
        for name in select(&names)? {
            if !folder.join(&name).exists() {
                let progress = Log::new(repo, &name);
                source
                    .download_with_progress(&name, progress)
                    .map_err(|why| self.failure(&why))?;
            }
        }
        // Last, so that a revision that is found offline is whole.
        cache
            .repo(named(revision))
            .create_ref(&commit)
            .map_err(|why| Failure::Refused(self.unwritable(&why)))?;
        Ok(folder)
    }

    fn api(&self) -> Result<Api, Failure> {
        ApiBuilder::from_cache(Cache::new(self.cache()?.to_owned()))
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_user_agent("routir-rt", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|why| self.failure(&why))
    }

    /// What the cache has of a revision, if it is enough.
    fn cached(&self, repo: &str, revision: &str, select: Select<'_>, why: &str) -> Result<PathBuf> {
        let absent = |what: &str| {
            Error::new(
                ErrorCode::Unavailable,
                format!(
                    "{why}, and the cache has not got it{what}; fetch it once with the hub in reach, \
                     or give a local folder"
                ),
            )
        };
        let base = self
            .cache()?
            .join(format!("models--{}", repo.replace('/', "--")));
        let reference = std::fs::read_to_string(base.join("refs").join(revision));
        let commit = reference.as_deref().map_or(revision, str::trim);
        if !is_word(commit) {
            return Err(absent(""));
        }
        let folder = base.join("snapshots").join(commit);
        let names = list(&folder).map_err(|_| absent(""))?;
        select(&names).map_err(|missing| absent(&format!(" whole ({missing})")))?;
        Ok(folder)
    }

    fn cache(&self) -> Result<&Path> {
        self.cache.as_deref().ok_or_else(|| {
            Error::new(
                ErrorCode::Unavailable,
                "there is no home folder for a cache of models; set HF_HOME",
            )
        })
    }

    fn failure(&self, why: &ApiError) -> Failure {
        let hub = &self.endpoint;
        let status = match why {
            ApiError::RequestError(error) => match **error {
                ureq::Error::StatusCode(status) => status,
                _ => return Failure::Unreachable(error.to_string()),
            },
            ApiError::IoError(error) => return Failure::Refused(self.unwritable(error)),
            other => return Failure::Unreachable(other.to_string()),
        };
        let message = match status {
            401 | 403 => format!(
                "{hub} answers {status}: there is no such model, or it is not for everybody; set \
                 HF_TOKEN to a token that may read it"
            ),
            404 => format!("{hub} knows no such model or revision"),
            _ => return Failure::Unreachable(format!("it answers with status {status}")),
        };
        Failure::Refused(Error::invalid(message))
    }

    fn unwritable(&self, why: &std::io::Error) -> Error {
        let cache = self.cache.as_deref().unwrap_or(Path::new(""));
        Error::new(
            ErrorCode::Unavailable,
            format!(
                "fetching it from {} into `{}`: {why}; check that the folder can be written and has \
                 space, or set HF_HOME",
                self.endpoint,
                cache.display()
            ),
        )
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

/// Why nothing was fetched: for good, or so that the cache may do.
enum Failure {
    Refused(Error),
    Unreachable(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// A listing's commit and file names, if they are fit to become paths in the cache.
fn checked(info: RepoInfo) -> Result<(String, Vec<String>)> {
    let inside = |name: &String| {
        let normal = |part| matches!(part, Component::Normal(_));
        !name.is_empty() && Path::new(name).components().all(normal)
    };
    let names: Vec<String> = info.siblings.into_iter().map(|it| it.rfilename).collect();
    if is_word(&info.sha) && names.iter().all(inside) {
        return Ok((info.sha, names));
    }
    Err(Error::engine("the hub's list of files is not one"))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 100 && text.bytes().all(|it| it.is_ascii_alphanumeric())
}

/// Tells in the log what is fetched and how far it is.
struct Log<'a> {
    repo: &'a str,
    name: &'a str,
    size: usize,
    got: usize,
    told: usize,
}

impl<'a> Log<'a> {
    fn new(repo: &'a str, name: &'a str) -> Self {
        let (size, got, told) = (0, 0, 0);
        Self {
            repo,
            name,
            size,
            got,
            told,
        }
    }
}

impl Progress for Log<'_> {
    fn init(&mut self, size: usize, _: &str) {
        (self.size, self.got, self.told) = (size, 0, 0);
    }

    fn update(&mut self, size: usize) {
        self.got += size;
        let tenths = self.got.saturating_mul(10) / self.size.max(1);
        if tenths > self.told && self.size > 10 << 20 {
            self.told = tenths;
            let Self { repo, name, .. } = self;
            tracing::info!(
                repo,
                name,
                "fetching: {tenths}0 % of {} MB",
                self.size >> 20
            );
        }
    }

    fn finish(&mut self) {
        let Self {
            repo, name, size, ..
        } = self;
        tracing::info!(repo, name, bytes = *size, "fetched");
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
        assert!(!plain.offline && plain.token.is_none());
        let set = hub(&[
            ("HF_ENDPOINT", "http://mirror/"),
            ("HF_TOKEN", "secret"),
            ("HF_HOME", "/models"),
            ("HF_HUB_OFFLINE", "1"),
        ]);
        assert_eq!(set.endpoint, "http://mirror");
        assert_eq!(set.token.as_deref(), Some("secret"));
        assert_eq!(set.cache.unwrap(), Path::new("/models/hub"));
        assert!(set.offline);
        assert!(hub(&[]).cache().is_err());
    }

    #[test]
    fn a_listing_cannot_reach_outside_of_the_cache() {
        let info = |sha: &str, name: &str| RepoInfo {
            sha: sha.to_owned(),
            siblings: vec![hf_hub::api::Siblings {
                rfilename: name.to_owned(),
            }],
        };
        assert!(checked(info("abc123", "onnx/model.onnx")).is_ok());
        for (sha, name) in [
            ("../x", "a"),
            ("abc", "../a"),
            ("abc", "/etc/x"),
            ("", "a"),
            ("abc", ""),
        ] {
            assert!(checked(info(sha, name)).is_err(), "{sha} {name}");
        }
    }
}
