//! What is missing of a repository, from the hub into the cache.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::Cache;
use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{Api, ApiBuilder};
use routir_core::{Error, Result};

use crate::download::{Source, download};
use crate::failure::Failure;
use crate::hub::{Fetching, Hub, Repository, Select};
use crate::kept::{OWN, note};
use crate::lock::{lock, weight};
use crate::names::{in_address, is_commit, is_etag, is_file};
use crate::watch::{Bytes, watched};

/// How often a file is gone on with that broke off.
const ATTEMPTS: u32 = 4;
/// How long is waited before that at first.
const PAUSE: Duration = Duration::from_millis(200);

impl Hub {
    pub(crate) fn fetch(
        &self,
        repository: Repository<'_>,
        select: Select<'_>,
    ) -> Result<PathBuf, Failure> {
        let base = self.base(repository)?;
        let (hub, repo) = (self.clone(), repository.at(repository.revision));
        let asked = watched(self.stall, &|_| {}, move |_| {
            let info = hub.api()?.repo(repo).info();
            info.map_err(Failure::from)
        });
        let (commit, names) = checked(asked.map_err(Failure::Unreachable)??)?;
        let wanted = select(&names)?;
        let folder = base.join("snapshots").join(&commit);
        let is_whole = || wanted.iter().all(|name| folder.join(name).is_file());
        if is_whole() {
            // Others' caches may be read that cannot be written.
            let noted = note(&base, repository.revision, &commit, &names);
            if let Err(why) = noted {
                tracing::debug!(cache = %base.display(), %why, "the cache cannot be written");
            }
            return Ok(folder);
        }
        let (own, blobs) = (base.join(OWN), base.join("blobs"));
        for needed in [&own, &blobs, &folder] {
            fs::create_dir_all(needed).map_err(Failure::Unwritable)?;
        }
        let _lock = lock(&own.join("lock"), self.stall, &|| weight(&blobs))?;
        for name in &wanted {
            // Another process may have fetched it meanwhile.
            if !folder.join(name).is_file() {
                self.fetch_file(repository, &commit, name, (&blobs, &folder))?;
            }
        }
        // Last, so that a revision that is found offline is whole.
        note(&base, repository.revision, &commit, &names).map_err(Failure::Unwritable)?;
        Ok(folder)
    }

    fn fetch_file(
        &self,
        repository: Repository<'_>,
        commit: &str,
        name: &str,
        (blobs, folder): (&Path, &Path),
    ) -> Result<(), Failure> {
        let repo = repository.at(commit).url();
        let address = format!(
            "{}/{repo}/resolve/{commit}/{}",
            self.endpoint,
            in_address(name)
        );
        let (hub, asked) = (self.clone(), address.clone());
        let told = watched(self.stall, &|_| {}, move |_| {
            hub.api()?.metadata(&asked).map_err(Failure::from)
        });
        let told = told.map_err(Failure::Unreachable)??;
        let etag = told.etag();
        let etag = etag.strip_prefix("W/").unwrap_or(etag);
        if !is_etag(etag) {
            return Err(Failure::Refused(Error::engine(format!(
                "{} gives `{name}` an etag that cannot be the name of a file; it is not a hub",
                self.endpoint
            ))));
        }
        let size = told.size() as u64;
        let blob = blobs.join(etag);
        if !fs::metadata(&blob).is_ok_and(|it| it.is_file() && it.len() == size) {
            let source = Source {
                address,
                token: self.token.clone(),
                patience: self.stall,
                size,
                sha256: is_sha256(etag).then(|| etag.to_owned()),
                part: blobs.join(format!("{etag}.part")),
            };
            self.fetch_blob(repository, name, &source)?;
            fs::rename(&source.part, &blob).map_err(Failure::Unwritable)?;
            tracing::info!(repo = repository.name, name, bytes = size, "fetched");
        }
        link(&blob, folder, name).map_err(Failure::Unwritable)
    }

    /// Fetches until it is whole, as long as each attempt gets further.
    fn fetch_blob(
        &self,
        repository: Repository<'_>,
        name: &str,
        source: &Source,
    ) -> Result<(), Failure> {
        let tell = |bytes: Bytes| {
            (self.tell)(Fetching {
                repo: repository.name,
                name,
                done: bytes.done,
                total: bytes.total,
            });
        };
        let mut attempt = 0;
        loop {
            let had = fs::metadata(&source.part).map_or(0, |it| it.len());
            let this = source.clone();
            let fetched = watched(self.stall, &tell, move |beat| download(&this, beat));
            let why = match fetched {
                Ok(Ok(())) => return Ok(()),
                // What halts once would do so again.
                Err(why) => return Err(Failure::Unreachable(format!("{why}, for `{name}`"))),
                Ok(Err(Failure::Unreachable(why))) => why,
                Ok(Err(other)) => return Err(other),
            };
            let has = fs::metadata(&source.part).map_or(0, |it| it.len());
            if has > had {
                attempt = 0;
            }
            attempt += 1;
            if attempt >= ATTEMPTS {
                return Err(Failure::Unreachable(why));
            }
            tracing::warn!(
                repo = repository.name,
                name,
                why,
                "fetching it broke off; going on"
            );
            std::thread::sleep(PAUSE * 2_u32.pow(attempt - 1));
        }
    }

    fn api(&self) -> Result<Api, Failure> {
        let builder = ApiBuilder::from_cache(Cache::new(self.cache()?.to_owned()));
        let api = builder
            .with_endpoint(self.endpoint.clone())
            .with_token(self.token.clone())
            .with_user_agent("routir-rt", env!("CARGO_PKG_VERSION"))
            .build();
        api.map_err(Failure::from)
    }
}

/// A listing's commit and file names, if they are fit to become paths in the cache.
fn checked(info: RepoInfo) -> Result<(String, Vec<String>)> {
    let names: Vec<String> = info.siblings.into_iter().map(|it| it.rfilename).collect();
    if is_commit(&info.sha) && names.iter().all(|name| is_file(name)) {
        return Ok((info.sha, names));
    }
    Err(Error::engine("the hub's list of files is not one"))
}

/// Whether an etag is the digest of its file, as large files have it.
fn is_sha256(etag: &str) -> bool {
    etag.len() == 64
        && etag
            .bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// Puts a link to `blob` at `name` in the snapshot's folder, in one step.
fn link(blob: &Path, folder: &Path, name: &str) -> io::Result<()> {
    let place = folder.join(name);
    let within = place.parent().unwrap_or(folder);
    fs::create_dir_all(within)?;
    // From `snapshots/<commit>/…` up to `blobs`.
    let up = 2 + name.matches('/').count();
    let mut target: PathBuf = std::iter::repeat_n("..", up).collect();
    target.push("blobs");
    target.push(blob.file_name().unwrap_or_default());
    let draft = within.join(format!(".link.{}", std::process::id()));
    let _ = fs::remove_file(&draft);
    std::os::unix::fs::symlink(target, &draft)?;
    fs::rename(draft, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_cannot_reach_outside_of_the_cache() {
        let info = |sha: &str, name: &str| RepoInfo {
            sha: sha.to_owned(),
            siblings: vec![hf_hub::api::Siblings {
                rfilename: name.to_owned(),
            }],
        };
        assert!(checked(info("abc123", "onnx/model.onnx")).is_ok());
        for (sha, name) in [("../x", "a"), ("abc", "../a"), ("abc", "/etc/x"), ("", "a")] {
            assert!(checked(info(sha, name)).is_err(), "{sha} {name}");
        }
    }
}
