//! Looking into a directory that a tenant can write to: nothing there is what it seems.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat};

use crate::name::is_name;

/// How many entries of a directory are looked at.
const ENTRIES: usize = 10_000;
/// How many files of a directory can be extensions.
const FILES: usize = 1_000;

/// An open directory. What is read of it is read through this handle, so that renaming it or
/// putting a link in its place changes nothing.
pub(super) struct Directory {
    handle: OwnedFd,
    /// Tells it from another one at the same path.
    pub(super) identity: (u64, u64),
}

/// What tells whether a file was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size: i128,
    modified: (i128, i128),
    changed: (i128, i128),
}

/// A file that might be an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its name without `.wasm`.
    pub(super) name: String,
    pub(super) stamp: Stamp,
    /// Why it cannot be one.
    pub(super) fault: Option<String>,
}

/// What is in a directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    pub(super) files: Vec<Seen>,
    /// Whether there is more than was looked at.
    pub(super) cut: bool,
}

/// Why a file could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is being changed, or gone.
    Changed,
    /// It cannot be an extension.
    Fault(String),
}

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = fs::open(path, flags, Mode::empty())?;
        let stat = fs::fstat(&handle)?;
        let identity = (stat.st_dev as u64, stat.st_ino as u64);
        Ok(Self { handle, identity })
    }

    /// The files named `*.wasm`, hidden ones left out.
    pub(super) fn scan(&self) -> io::Result<Scan> {
        let mut scan = Scan::default();
        for (looked_at, entry) in Dir::read_from(&self.handle)?.enumerate() {
            let entry = entry?;
            if looked_at >= ENTRIES || scan.files.len() >= FILES {
                scan.cut = true;
                break;
            }
            if let Some(seen) = self.look(entry.file_name())? {
                scan.files.push(seen);
            }
        }
        scan.files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(scan)
    }

    fn look(&self, file: &CStr) -> io::Result<Option<Seen>> {
        let shown = file.to_string_lossy();
        let Some(name) = shown.strip_suffix(".wasm") else {
            return Ok(None);
        };
        if name.starts_with('.') {
            return Ok(None);
        }
        let stat = match fs::statat(&self.handle, file, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            stat => stat?,
        };
        let fault = if is_name(name) {
            kind_fault(&stat)
        } else {
            Some(
                "its name without `.wasm` is no name for an extension: a letter, then letters, \
                 digits, `_` or `-`, at most 64 of them"
                    .to_owned(),
            )
        };
        Ok(Some(Seen {
            name: name.to_owned(),
            stamp: Stamp::of(&stat),
            fault,
        }))
    }

    /// The content of a file that is still as it was `seen`.
    pub(super) fn read(&self, seen: &Seen, largest: u64) -> Result<Vec<u8>, Unread> {
        // Neither a link is followed nor a pipe waited for.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let name = format!("{}.wasm", seen.name);
        let handle = fs::openat(&self.handle, name, flags, Mode::empty());
        let handle = handle.map_err(|error| match error {
            rustix::io::Errno::NOENT => Unread::Changed,
            rustix::io::Errno::LOOP => Unread::Fault(LINK.to_owned()),
            other => Unread::Fault(format!("it cannot be opened: {other}")),
        })?;
        let file = File::from(handle);
        let stat = || {
            fs::fstat(&file).map_err(|error| Unread::Fault(format!("it cannot be read: {error}")))
        };
        let before = stat()?;
        if let Some(fault) = kind_fault(&before) {
            return Err(Unread::Fault(fault));
        }
        if Stamp::of(&before) != seen.stamp {
            return Err(Unread::Changed);
        }
        if seen.stamp.size > i128::from(largest) {
            let size = seen.stamp.size;
            return Err(Unread::Fault(format!(
                "it has {size} bytes; {largest} are allowed (`limits.component_mb`)"
            )));
        }
        let mut bytes = Vec::new();
        let read = (&file)
            .take(largest.saturating_add(1))
            .read_to_end(&mut bytes);
        read.map_err(|error| Unread::Fault(format!("it cannot be read: {error}")))?;
        if Stamp::of(&stat()?) != seen.stamp || bytes.len() as i128 != seen.stamp.size {
            return Err(Unread::Changed);
        }
        Ok(bytes)
    }
}

const LINK: &str = "it is a symbolic link, which is not followed; put the file itself there";

fn kind_fault(stat: &Stat) -> Option<String> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Symlink => Some(LINK.to_owned()),
        _ => Some("it is not a regular file".to_owned()),
    }
}

impl Stamp {
    #[expect(
        clippy::unnecessary_cast,
        reason = "the types differ from system to system"
    )]
    fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino as u64,
            size: stat.st_size as i128,
            modified: (stat.st_mtime as i128, stat.st_mtime_nsec as i128),
            changed: (stat.st_ctime as i128, stat.st_ctime_nsec as i128),
        }
    }

    #[cfg(test)]
    pub(super) fn numbered(n: u64) -> Self {
        Self {
            inode: n,
            size: 0,
            modified: (0, 0),
            changed: (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(dir: &Path) -> Vec<(String, bool)> {
        let scan = Directory::open(dir).unwrap().scan().unwrap();
        let files = scan.files.into_iter();
        files.map(|it| (it.name, it.fault.is_none())).collect()
    }

    #[test]
    fn only_regular_files_with_fit_names_are_extensions() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("good.wasm"), "x").unwrap();
        std::fs::write(at("notes.txt"), "x").unwrap();
        std::fs::write(at(".good.wasm.Xy12"), "x").unwrap();
        std::fs::write(at(".hidden.wasm"), "x").unwrap();
        std::fs::write(at("b ad.wasm"), "x").unwrap();
        std::fs::create_dir(at("folder.wasm")).unwrap();
        symlink("/etc/passwd", at("link.wasm")).unwrap();
        let pipe = fs::mknodat(
            fs::CWD,
            at("pipe.wasm"),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        );
        pipe.unwrap();
        let expected = [
            ("b ad", false),
            ("folder", false),
            ("good", true),
            ("link", false),
            ("pipe", false),
        ];
        let expected: Vec<_> = expected.map(|(name, fit)| (name.to_owned(), fit)).into();
        assert_eq!(names(dir.path()), expected);
    }

    #[test]
    fn what_took_the_files_place_since_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wasm");
        std::fs::write(&path, "the component").unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let seen = directory.scan().unwrap().files.remove(0);
        assert_eq!(directory.read(&seen, 100).unwrap(), b"the component");
        let fault = directory.read(&seen, 5).unwrap_err();
        assert!(matches!(fault, Unread::Fault(why) if why.contains("13 bytes; 5 are allowed")));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(directory.read(&seen, 100), Err(Unread::Changed)));
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        symlink("secret", &path).unwrap();
        assert!(matches!(directory.read(&seen, 100), Err(Unread::Fault(why)) if why == LINK));
        std::fs::remove_file(&path).unwrap();
        let mode = Mode::RUSR | Mode::WUSR;
        fs::mknodat(fs::CWD, &path, FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(directory.read(&seen, 100), Err(Unread::Fault(_))));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "the compromised").unwrap();
        assert!(matches!(directory.read(&seen, 100), Err(Unread::Changed)));
    }
}
