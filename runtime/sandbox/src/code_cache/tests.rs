//! Damage, foreign files, permissions, concurrent writers, bounds.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use wasmtime::Config;

use super::*;

struct Fixture {
    dir: TempDir,
    engine: Engine,
    code: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let engine = Engine::new(&crate::engine::config(false)).unwrap();
        let code = compile(&engine, "(component)");
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self { dir, engine, code }
    }

    fn cache(&self) -> CodeCache {
        CodeCache::open(self.dir.path()).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn only_file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

fn compile(engine: &Engine, wat: &str) -> Vec<u8> {
    engine
        .precompile_component(&wat::parse_str(wat).unwrap())
        .unwrap()
}

fn age(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
        .unwrap();
}

#[test]
fn what_was_stored_is_found_again_also_by_another_cache() {
    let it = Fixture::new();
    let cache = it.cache();
    assert!(cache.load(&it.engine, "aa").is_none());
    cache.store(&it.engine, "aa", &it.code).unwrap();
    assert!(cache.load(&it.engine, "aa").is_some());
    assert!(it.cache().load(&it.engine, "aa").is_some());
    assert!(cache.load(&it.engine, "ab").is_none());
    let mode = it.only_file().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn another_engine_does_not_find_it() {
    let it = Fixture::new();
    let cache = it.cache();
    cache.store(&it.engine, "aa", &it.code).unwrap();
    let fuel = Engine::new(&crate::engine::config(true)).unwrap();
    assert!(cache.load(&fuel, "aa").is_none());
    let other = Engine::new(Config::new().epoch_interruption(true)).unwrap();
    assert_ne!(Key::new(&other, "aa").digest, Key::new(&fuel, "aa").digest);
    assert!(cache.load(&it.engine, "aa").is_some());
}

#[test]
fn a_damaged_file_is_removed_wherever_the_damage_is() {
    let it = Fixture::new();
    let cache = it.cache();
    cache.store(&it.engine, "aa", &it.code).unwrap();
    let path = it.only_file();
    let whole = fs::read(&path).unwrap();
    let places = (0..HEADER).chain((HEADER..whole.len()).step_by(whole.len() / 40));
    for place in places.chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(cache.load(&it.engine, "aa").is_none(), "byte {place}");
        assert!(!path.exists(), "byte {place}");
        fs::write(&path, &whole).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    for length in [0, 1, HEADER - 1, HEADER, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(cache.load(&it.engine, "aa").is_none(), "length {length}");
        assert!(!path.exists());
    }
    let longer = [whole.as_slice(), b"x"].concat();
    fs::write(&path, longer).unwrap();
    assert!(cache.load(&it.engine, "aa").is_none());
}

#[test]
fn a_whole_file_of_another_component_is_not_loaded() {
    let it = Fixture::new();
    let cache = it.cache();
    cache.store(&it.engine, "aa", &it.code).unwrap();
    let foreign = it.only_file();
    let renamed = it.dir.path().join(Key::new(&it.engine, "bb").file);
    fs::rename(foreign, &renamed).unwrap();
    assert!(cache.load(&it.engine, "bb").is_none());
    assert!(!renamed.exists());
}

#[test]
fn code_that_the_engine_refuses_is_an_error_and_not_kept() {
    let it = Fixture::new();
    assert!(it.cache().store(&it.engine, "aa", b"no code").is_err());
    assert!(it.files().is_empty());
}

#[test]
fn files_and_links_that_others_can_change_are_not_loaded() {
    let it = Fixture::new();
    let cache = it.cache();
    cache.store(&it.engine, "aa", &it.code).unwrap();
    let path = it.only_file();
    let aside = tempfile::tempdir().unwrap();
    let target = aside.path().join("code");
    fs::copy(&path, &target).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    assert!(cache.load(&it.engine, "aa").is_none());
    assert!(!path.exists());
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert!(cache.load(&it.engine, "aa").is_none());
    assert!(target.exists());
    fs::create_dir(&path).unwrap();
    assert!(cache.load(&it.engine, "aa").is_none());
    // It cannot be kept then, and the component is there all the same.
    assert!(cache.store(&it.engine, "aa", &it.code).is_ok());
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let it = Fixture::new();
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(it.dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = CodeCache::open(it.dir.path()).err().unwrap();
        assert!(error.message().contains("chmod 700"), "{error}");
    }
    let made = it.dir.path().join("a/b");
    CodeCache::open(&made).unwrap();
    let mode = made.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let file = it.dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(CodeCache::open(&file).is_err());
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let it = Fixture::new();
    if std::os::unix::fs::chown(it.dir.path(), Some(65_534), None).is_err() {
        let _ = writeln!(io::stderr(), "SKIPPED: only root can give a directory away");
        return;
    }
    let error = CodeCache::open(it.dir.path()).err().unwrap();
    assert!(error.message().contains("another user (65534)"), "{error}");
}

#[test]
fn who_writes_at_the_same_time_harms_nobody() {
    let it = Fixture::new();
    let cache = it.cache();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    cache.store(&it.engine, "aa", &it.code).unwrap();
                    assert!(cache.load(&it.engine, "aa").is_some());
                }
            });
        }
    });
    it.only_file();
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let it = Fixture::new();
    let size = (it.code.len() + HEADER) as u64;
    let cache = CodeCache::bounded(it.dir.path(), 3 * size + 10).unwrap();
    for (sha256, seconds) in [("aa", 30), ("bb", 20), ("cc", 10)] {
        cache.store(&it.engine, sha256, &it.code).unwrap();
        let path = it.dir.path().join(Key::new(&it.engine, sha256).file);
        age(&path, seconds);
    }
    assert!(cache.load(&it.engine, "aa").is_some());
    cache.store(&it.engine, "dd", &it.code).unwrap();
    assert!(cache.load(&it.engine, "bb").is_none());
    for kept in ["aa", "cc", "dd"] {
        assert!(cache.load(&it.engine, kept).is_some(), "{kept}");
    }
}

#[test]
fn abandoned_files_go_and_strange_ones_stay() {
    let it = Fixture::new();
    let names = ["x.code-1-1.part", "y.code-1-1.part", "notes.txt"];
    for name in names {
        fs::write(it.dir.path().join(name), "x").unwrap();
    }
    age(&it.dir.path().join(names[0]), 2 * ABANDONED as u64);
    it.cache();
    assert!(!it.dir.path().join(names[0]).exists());
    assert!(it.dir.path().join(names[1]).exists());
    assert!(it.dir.path().join(names[2]).exists());
}
