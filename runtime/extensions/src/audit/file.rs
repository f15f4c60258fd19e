//! A file of lines that starts anew when it is full and keeps a few of its past selves.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How large the file may become and how many full ones are kept: `audit.jsonl`, `audit.1.jsonl`
/// (the latest full one), and so on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rotation {
    /// Bytes of one file.
    pub(crate) bytes: u64,
    /// Full files that are kept.
    pub(crate) files: u32,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            files: 4,
        }
    }
}

pub(super) struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    open: Option<Open>,
}

struct Open {
    file: File,
    size: u64,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, rotation: Rotation) -> Self {
        Self {
            path,
            rotation,
            open: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line, all of it or nothing.
    pub(super) fn append(&mut self, line: &str) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => open_file(&self.path)?,
        };
        let bytes = [line.as_bytes(), b"\n"].concat();
        let grown = open.size.saturating_add(bytes.len() as u64);
        if open.size > 0 && grown > self.rotation.bytes {
            self.rotate()?;
            open = open_file(&self.path)?;
        }
        if let Err(error) = open.file.write_all(&bytes) {
            // Half a line on a full disk goes again; if not even that works, the next one to open
            // the file ends it.
            let _ = open.file.set_len(open.size);
            return Err(error);
        }
        open.size = open.size.saturating_add(bytes.len() as u64);
        self.open = Some(open);
        Ok(())
    }

    fn rotate(&self) -> io::Result<()> {
        for n in (1..self.rotation.files).rev() {
            match std::fs::rename(self.past(n), self.past(n.saturating_add(1))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.rotation.files == 0 {
            return std::fs::remove_file(&self.path);
        }
        std::fs::rename(&self.path, self.past(1))
    }

    fn past(&self, n: u32) -> PathBuf {
        self.path.with_extension(format!("{n}.jsonl"))
    }
}

fn open_file(path: &Path) -> io::Result<Open> {
    let mut file = OpenOptions::new()
        .append(true)
        .read(true)
        .create(true)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    let mut size = file.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
        size = size.saturating_add(1);
    }
    Ok(Open { file, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> Vec<(String, u64)> {
        let mut files: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, entry.metadata().unwrap().len())
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn full_files_are_kept_for_a_while_and_the_whole_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let rotation = Rotation {
            bytes: 100,
            files: 2,
        };
        let mut file = LogFile::new(dir.path().join("audit.jsonl"), rotation);
        for n in 0..100 {
            file.append(&format!("{n:09}")).unwrap();
        }
        let found = files(dir.path());
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["audit.1.jsonl", "audit.2.jsonl", "audit.jsonl"]);
        assert!(found.iter().all(|(_, size)| *size <= 100), "{found:?}");
        let now = std::fs::read_to_string(dir.path().join("audit.jsonl")).unwrap();
        assert!(now.ends_with("000000099\n"));
        let before = std::fs::read_to_string(dir.path().join("audit.1.jsonl")).unwrap();
        let joint = before + &now;
        let last: Vec<_> = joint.lines().map(|line| line.parse().unwrap()).collect();
        assert!(last.is_sorted_by_key(|n: &u32| *n));
        assert_eq!(last.len(), 20);
    }

    #[test]
    fn a_torn_last_line_stays_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        std::fs::write(&path, "whole\nhal").unwrap();
        let mut file = LogFile::new(path.clone(), Rotation::default());
        file.append("next").unwrap();
        drop(file);
        LogFile::new(path.clone(), Rotation::default())
            .append("last")
            .unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "whole\nhal\nnext\nlast\n"
        );
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        std::fs::write(&other, "").unwrap();
        let path = dir.path().join("audit.jsonl");
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(LogFile::new(path, Rotation::default()).append("x").is_err());
        assert_eq!(std::fs::read(&other).unwrap(), b"");
    }
}
