//! Compiled code, kept on disk.
//!
//! wasmtime runs what it loads without another look, so a file here is trusted like a shared
//! library, and the directory like the server's own program: it must be ours and writable by nobody
//! else, or it is refused. It is opened once and files are reached through that handle, so nobody
//! can put another directory in its place later. Under that rule a keyed checksum would add nothing:
//! whoever can write here can read any key that the server can. The plain SHA-256 in each file is
//! against damage (a full disk, a failing one, a crash), and the key beside it against files that
//! are whole and belong to another component, another wasmtime or other settings.
//!
//! A file that does not pass is deleted, and its component compiled anew. Code is checked and
//! loaded from one copy in memory, so nothing changes between the check and the use.

use std::cmp::Reverse;
use std::fs::{DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use routir_core::{Error, Result};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, fstat, futimens,
    openat, renameat, statat, unlinkat,
};
use rustix::process::geteuid;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of all files together; over it, those that were used longest ago go. A Python component
/// takes 35 MB, one of C or Rust 0.2 MB.
const MOST_BYTES: u64 = 4 << 30;
/// The largest file that is read.
const MOST_FILE_BYTES: u64 = 1 << 30;

const MAGIC: &[u8; 16] = b"routir-rt code 1";
const HEADER: usize = 16 + 32 + 8 + 32;
const SUFFIX: &str = ".code";
const UNFINISHED: &str = ".part";
/// Seconds after which an unfinished file is nobody's any more.
const ABANDONED: i64 = 3600;

/// A directory of compiled code.
pub(crate) struct CodeCache {
    dir: OwnedFd,
    most_bytes: u64,
    /// Held while old files are removed.
    cleaning: Mutex<()>,
}

impl CodeCache {
    /// Opens a directory, and makes it if it is not there.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Internal`] for a directory that cannot be made or opened, is
    /// somebody else's, or can be written to by others.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::bounded(path, MOST_BYTES)
    }

    fn bounded(path: &Path, most_bytes: u64) -> Result<Self> {
        let fail = |why: String| {
            let path = path.display();
            Error::internal(format!("cannot keep compiled code in {path}: {why}"))
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| fail(error.to_string()))?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let dir = openat(rustix::fs::CWD, path, flags, Mode::empty())
            .map_err(|error| fail(error.to_string()))?;
        let stat = fstat(&dir).map_err(|error| fail(error.to_string()))?;
        ours(&stat).map_err(|why| {
            fail(format!(
                "the directory {why}, and what lies there is run without another look; choose one \
                 that only the server may write to (chmod 700)"
            ))
        })?;
        let cache = Self {
            dir,
            most_bytes,
            cleaning: Mutex::new(()),
        };
        cache.clean("");
        Ok(cache)
    }

    /// The code of the component with this SHA-256 for `engine`, if it is here and whole. Blocks
    /// while it reads.
    pub(crate) fn load(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let key = Key::new(engine, sha256);
        let (file, bytes) = match self.read(&key) {
            Ok(Some(found)) => found,
            Ok(None) => return None,
            Err(why) => return self.discard(&key, &why),
        };
        let code = match key.check(&bytes) {
            Ok(code) => code,
            Err(why) => return self.discard(&key, why),
        };
        match deserialize(engine, code) {
            Ok(component) => {
                let now = Timespec {
                    tv_sec: 0,
                    tv_nsec: UTIME_NOW,
                };
                let now = Timestamps {
                    last_access: now,
                    last_modification: now,
                };
                if let Err(error) = futimens(&file, &now) {
                    tracing::debug!("cannot note the use of {}: {error}", key.file);
                }
                Some(component)
            }
            Err(error) => self.discard(&key, &format!("{error:#}")),
        }
    }

    /// Loads code that was just compiled, and keeps it; if it cannot be kept, a warning says so.
    /// Blocks while it writes.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for a component that declares more memories or
    /// tables than an instance has room for; [`routir_core::ErrorCode::Internal`] for code that
    /// `engine` does not take.
    pub(crate) fn store(&self, engine: &Engine, sha256: &str, code: &[u8]) -> Result<Component> {
        let component = deserialize(engine, code).map_err(|error| {
            let why = format!("{error:#}");
            // The compiler has no pool, so this is the first to see what does not fit there.
            if why.contains("does not fit in pooling allocator") {
                Error::invalid(format!("it declares more than an instance may have: {why}"))
            } else {
                Error::internal(format!("cannot load compiled code: {why}"))
            }
        })?;
        let key = Key::new(engine, sha256);
        match self.write(&key, code) {
            Ok(()) => self.clean(&key.file),
            Err(error) => tracing::warn!("cannot keep compiled code {}: {error}", key.file),
        }
        Ok(component)
    }

    fn read(&self, key: &Key) -> Result<Option<(File, Vec<u8>)>, String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mut file = match openat(&self.dir, &key.file, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let stat = fstat(&file).map_err(|error| error.to_string())?;
        ours(&stat)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err("it is no file".to_owned());
        }
        let mut bytes = Vec::new();
        (&mut file)
            .take(MOST_FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| error.to_string())?;
        Ok(Some((file, bytes)))
    }

    fn write(&self, key: &Key, code: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let part = format!("{}-{}-{number}{UNFINISHED}", key.file, std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.dir, &part, flags, Mode::RUSR | Mode::WUSR)?);
        let written = file
            .write_all(&key.header(code))
            .and_then(|()| file.write_all(code))
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(renameat(&self.dir, &part, &self.dir, &key.file)?));
        if written.is_err() {
            self.remove(&part);
        }
        written
    }

    fn discard<T>(&self, key: &Key, why: &str) -> Option<T> {
        tracing::warn!(
            "compiled code {} is not used but made anew: {why}",
            key.file
        );
        self.remove(&key.file);
        None
    }

    fn remove(&self, file: &str) {
        match unlinkat(&self.dir, file, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => tracing::warn!("cannot remove compiled code {file}: {error}"),
        }
    }

    /// Removes what was abandoned, and while there is too much, what was used longest ago, but not
    /// `keep`.
    fn clean(&self, keep: &str) {
        let _one_at_a_time = self.cleaning.lock();
        match self.list() {
            Ok(mut files) => {
                files.sort_unstable_by_key(|file| Reverse(file.used));
                let mut bytes = 0;
                for file in files {
                    bytes += file.size;
                    if file.abandoned || (bytes > self.most_bytes && file.name != keep) {
                        bytes -= file.size;
                        self.remove(&file.name);
                    }
                }
            }
            Err(error) => tracing::warn!("cannot list compiled code: {error}"),
        }
    }

    fn list(&self) -> io::Result<Vec<Kept>> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let unfinished = name.ends_with(UNFINISHED);
            if !unfinished && !name.ends_with(SUFFIX) {
                continue;
            }
            // Another server may have removed it meanwhile.
            let Ok(stat) = statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            files.push(Kept {
                name: name.to_owned(),
                size: u64::try_from(stat.st_size).unwrap_or(0),
                used: (stat.st_mtime, stat.st_mtime_nsec),
                abandoned: unfinished && now - stat.st_mtime > ABANDONED,
            });
        }
        Ok(files)
    }
}

struct Kept {
    name: String,
    size: u64,
    used: (i64, u64),
    abandoned: bool,
}

/// Whether something belongs to this process's user and nobody else may write to it.
fn ours(stat: &Stat) -> Result<(), String> {
    if stat.st_uid != geteuid().as_raw() {
        return Err(format!("belongs to another user ({})", stat.st_uid));
    }
    if stat.st_mode & 0o022 != 0 {
        let mode = stat.st_mode & 0o7777;
        return Err(format!("can be written to by others (mode {mode:o})"));
    }
    Ok(())
}

fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what `Engine::precompile_component` wrote. They either come straight
    // from our own compiler, or from a file whose owner, mode, key and SHA-256 were checked, in a
    // directory that only this user can write to. They are a private copy that nobody changes.
    unsafe { Component::deserialize(engine, code) }
}

/// What a file is of: the component and everything that its code depends on.
struct Key {
    file: String,
    digest: [u8; 32],
}

impl Key {
    fn new(engine: &Engine, sha256: &str) -> Self {
        let mut hasher = Digesting(Sha256::new());
        sha256.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let digest: [u8; 32] = hasher.0.finalize().into();
        // The digest makes the name unique; the component's own hash makes it findable.
        let short: String = (digest.iter().take(8))
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let safe: String = (sha256.chars().filter(char::is_ascii_alphanumeric))
            .take(64)
            .collect();
        Self {
            file: format!("{safe}-{short}{SUFFIX}"),
            digest,
        }
    }

    fn header(&self, code: &[u8]) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&self.digest);
        header.extend_from_slice(&(code.len() as u64).to_le_bytes());
        header.extend_from_slice(&Sha256::digest(code));
        header
    }

    /// The code in a file, if it is whole and of this key.
    fn check<'a>(&self, file: &'a [u8]) -> Result<&'a [u8], &'static str> {
        let (header, code) = file
            .split_at_checked(HEADER)
            .ok_or("it is shorter than a header")?;
        if !header.starts_with(MAGIC) {
            return Err("it was not written by this program");
        }
        if header.get(16..48) != Some(&self.digest) {
            return Err("it is of another component or another engine");
        }
        if header != self.header(code) {
            return Err("it is damaged");
        }
        Ok(code)
    }
}

/// A hasher that is the same in every process.
struct Digesting(Sha256);

impl Hasher for Digesting {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Nobody asks: the digest is taken instead.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
