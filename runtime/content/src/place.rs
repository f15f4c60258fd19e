//! Where index files lie, and how they get there whole.
//!
//! Names: beside a corpus `corpus.jsonl` lies `corpus.jsonl.<hash>.routir-offsets`, the hash being
//! of the id field, so that the corpus and its index may move together; in a directory that many
//! corpora share, the hash is of the corpus's absolute path too. The blocks of a compressed corpus
//! end in `.routir-blocks`; the members of a tar archive in `.routir-members`, and the seek index of a
//! gzip file in `.routir-gzip`. RoutIR's own `.offsetmap` files are neither read nor written: they are
//! Python pickles, which run code when they are loaded.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::hash::Hasher;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use routir_core::{Error, Result};
use siphasher::sip::SipHasher13;

use crate::failure::io_error;
use crate::options::Location;

/// One of the places where the index files of a corpus may lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The sidecar.
    pub(crate) offsets: PathBuf,
    /// The blocks, when the corpus is compressed.
    pub(crate) blocks: PathBuf,
}

/// The places for the index files of the corpus at `location`, the first choice first.
pub(crate) fn places(location: &Location) -> Vec<Place> {
    places_with(
        location,
        user_cache(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")),
    )
}

/// The places for an index of the file at `path` whose name ends in `suffix`, the first choice first:
/// `cache_dir` and nothing else, if it is named; else beside the file, or in the user's cache.
pub(crate) fn sidecars(path: &Path, cache_dir: Option<&Path>, suffix: &str) -> Vec<PathBuf> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let hash = hash16(&[path.as_os_str().as_bytes()]);
    let shared = |dir: &Path| {
        let name = dir.join(path.file_name().unwrap_or_default());
        appended(&name, &format!(".{hash}{suffix}"))
    };
    if let Some(dir) = cache_dir {
        return vec![shared(dir)];
    }
    let user = user_cache(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"));
    let fallback = user.map(|dir| shared(&dir));
    [appended(&path, suffix)]
        .into_iter()
        .chain(fallback)
        .collect()
}

fn places_with(location: &Location, user_cache: Option<PathBuf>) -> Vec<Place> {
    let path =
        std::path::absolute(&location.doc_path).unwrap_or_else(|_| location.doc_path.clone());
    if let Some(sidecar) = &location.sidecar_path {
        return vec![Place {
            offsets: appended(sidecar, ".routir-offsets"),
            blocks: appended(sidecar, ".routir-blocks"),
        }];
    }
    if let Some(dir) = &location.cache_dir {
        return vec![shared(dir, &path, &location.id_field)];
    }
    let field = hash16(&[location.id_field.as_bytes()]);
    let beside = Place {
        offsets: appended(&path, &format!(".{field}.routir-offsets")),
        blocks: appended(&path, ".routir-blocks"),
    };
    let fallback = user_cache.map(|dir| shared(&dir, &path, &location.id_field));
    [beside].into_iter().chain(fallback).collect()
}

fn shared(dir: &Path, path: &Path, id_field: &str) -> Place {
    let name = dir.join(path.file_name().unwrap_or_default());
    let corpus = path.as_os_str().as_bytes();
    let offsets = hash16(&[corpus, id_field.as_bytes()]);
    Place {
        offsets: appended(&name, &format!(".{offsets}.routir-offsets")),
        blocks: appended(&name, &format!(".{}.routir-blocks", hash16(&[corpus]))),
    }
}

/// `${XDG_CACHE_HOME:-~/.cache}/routir/offsetmap`; a relative `XDG_CACHE_HOME` counts as unset.
fn user_cache(xdg: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |dir: OsString| Some(PathBuf::from(dir)).filter(|dir| dir.is_absolute());
    let base = xdg.and_then(absolute);
    let base = base.or_else(|| home.and_then(absolute).map(|home| home.join(".cache")))?;
    Some(base.join("routir").join("offsetmap"))
}

fn appended(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn hash16(parts: &[&[u8]]) -> String {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    for part in parts {
        hasher.write(part);
        hasher.write_u8(0);
    }
    format!("{:016x}", hasher.finish())
}

/// Makes a file at the first of `targets` whose directory can be written, all or nothing: `fill`
/// writes a file of an unguessable name in the same directory (it is told the directory, for
/// temporary files of its own); it is then synced and renamed. So a reader never meets half a
/// file, and two processes that make the same file do not disturb each other.
///
/// # Errors
/// What `fill` answers; that no directory can be written; that the disk is full. Nothing is left.
pub(crate) fn create(
    targets: &[PathBuf],
    fill: &mut dyn FnMut(&File, &Path) -> Result<()>,
) -> Result<(PathBuf, File)> {
    create_with(targets, &mut temporary, fill)
}

type Open<'a> = &'a mut dyn FnMut(&Path) -> io::Result<tempfile::NamedTempFile>;

fn temporary(dir: &Path) -> io::Result<tempfile::NamedTempFile> {
    fs::create_dir_all(dir)?;
    // As any other file of the user: the umask takes away what must not be.
    let permissions = Permissions::from_mode(0o666);
    tempfile::Builder::new()
        .prefix(".routir-")
        .permissions(permissions)
        .tempfile_in(dir)
}

fn create_with(
    targets: &[PathBuf],
    open: Open<'_>,
    fill: &mut dyn FnMut(&File, &Path) -> Result<()>,
) -> Result<(PathBuf, File)> {
    let mut refused: Option<Error> = None;
    for target in targets {
        let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        let file = match open(dir) {
            Ok(file) => file,
            Err(error) => {
                let failure = io_error("creating an index in", dir, &error);
                if !is_refusal(&error) {
                    return Err(failure);
                }
                refused = Some(failure);
                continue;
            }
        };
        if let Some(refused) = refused {
            tracing::info!("{refused}; writing {} instead", target.display());
        }
        fill(file.as_file(), dir)?;
        let write_error = |error: &io::Error| io_error("writing", target, error);
        file.as_file()
            .sync_all()
            .map_err(|error| write_error(&error))?;
        let file = file
            .persist(target)
            .map_err(|error| write_error(&error.error))?;
        // The rename itself is durable once its directory is; not every file system can sync one.
        let _ = File::open(dir).and_then(|dir| dir.sync_all());
        return Ok((target.clone(), file));
    }
    Err(refused.unwrap_or_else(|| Error::internal("there is no place for the index")))
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(cache_dir: Option<&str>, sidecar_path: Option<&str>) -> Location {
        Location {
            doc_path: "/data/corpus.jsonl".into(),
            id_field: "id".into(),
            cache_dir: cache_dir.map(Into::into),
            sidecar_path: sidecar_path.map(Into::into),
        }
    }

    fn offsets(location: &Location) -> Vec<String> {
        places_with(location, Some("/home/u/.cache/routir/offsetmap".into()))
            .into_iter()
            .map(|place| place.offsets.display().to_string())
            .collect()
    }

    #[test]
    fn beside_the_corpus_first_then_the_users_cache() {
        let found = offsets(&location(None, None));
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("/data/corpus.jsonl."), "{found:?}");
        assert!(
            found[1].starts_with("/home/u/.cache/routir/offsetmap/corpus.jsonl."),
            "{found:?}"
        );
        assert!(found.iter().all(|path| path.ends_with(".routir-offsets")));
    }

    #[test]
    fn a_named_directory_is_the_only_place() {
        let found = offsets(&location(Some("/scratch"), None));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("/scratch/corpus.jsonl."), "{found:?}");
    }

    #[test]
    fn corpora_and_id_fields_do_not_share_a_name() {
        let mut other = location(Some("/scratch"), None);
        other.doc_path = "/elsewhere/corpus.jsonl".into();
        let mut field = location(Some("/scratch"), None);
        field.id_field = "docid".into();
        let names =
            [location(Some("/scratch"), None), other, field].map(|l| offsets(&l)[0].clone());
        assert!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2]);
    }

    #[test]
    fn a_pickle_of_routir_is_never_in_the_way() {
        let found = offsets(&location(None, Some("/data/c.offsetmap")));
        assert_eq!(found, ["/data/c.offsetmap.routir-offsets"]);
    }

    #[test]
    fn the_users_cache_follows_the_environment() {
        let dir = |xdg: Option<&str>, home: Option<&str>| {
            user_cache(xdg.map(Into::into), home.map(Into::into))
        };
        assert_eq!(
            dir(Some("/x"), Some("/h")),
            Some("/x/routir/offsetmap".into())
        );
        assert_eq!(
            dir(Some("x"), Some("/h")),
            Some("/h/.cache/routir/offsetmap".into())
        );
        assert_eq!(dir(None, None), None);
    }

    #[test]
    fn a_directory_that_refuses_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let targets = [
            PathBuf::from("/read/only/x.o"),
            dir.path().join("cache/x.o"),
        ];
        for kind in [
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem,
        ] {
            let mut open = |at: &Path| {
                if at.starts_with("/read") {
                    Err(kind.into())
                } else {
                    temporary(at)
                }
            };
            create_with(&targets, &mut open, &mut |_, _| Ok(())).unwrap();
            assert!(targets[1].exists());
        }
        let full = create_with(
            &targets,
            &mut |_| Err(io::ErrorKind::StorageFull.into()),
            &mut |_, _| Ok(()),
        );
        assert!(full.unwrap_err().message().contains("free some space"));
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x.o");
        let failed = create(&[target], &mut |_, _| {
            Err(Error::invalid("the corpus is bad"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
