//! A file in the making: written aside under a name of its own, and in place only when it is whole.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use routir_core::{Error, ErrorCode, Result};

use crate::failure::io_error;

/// How much is written at once, in bytes.
const PIECE: usize = 1 << 20;

/// A file that is being written beside its place, as `<name>.tmp`, locked against other processes.
/// What an interrupted process left there is overwritten. A file that is dropped before
/// [`NewFile::commit`] is removed.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    aside: PathBuf,
    /// `None` once it is in place.
    file: Option<BufWriter<File>>,
}

impl NewFile {
    /// Starts the file that will be `path`.
    ///
    /// # Errors
    /// When it cannot be written, or another process is writing it.
    pub fn create(path: &Path) -> Result<Self> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".tmp");
        let aside = PathBuf::from(aside);
        let file = lock(&aside)?;
        file.set_len(0)
            .map_err(|error| io_error("writing", &aside, &error))?;
        Ok(Self {
            path: path.to_owned(),
            aside,
            file: Some(BufWriter::with_capacity(PIECE, file)),
        })
    }

    /// Where it will be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When the disk takes no more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.with(|file| file.write_all(bytes))
    }

    /// Puts bytes in place of those that were written at `offset`, and goes on at the end.
    ///
    /// # Errors
    /// As [`NewFile::write`].
    pub fn overwrite(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.with(|file| {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(bytes)?;
            file.seek(SeekFrom::End(0)).map(drop)
        })
    }

    /// Puts the file in place, on disk for good. Answers its size in bytes.
    ///
    /// # Errors
    /// As [`NewFile::write`].
    pub fn commit(mut self) -> Result<u64> {
        let size = self.with(|file| {
            file.flush()?;
            file.get_ref().sync_all()?;
            Ok(file.get_ref().metadata()?.len())
        })?;
        fs::rename(&self.aside, &self.path)
            .map_err(|error| io_error("writing", &self.path, &error))?;
        self.file = None;
        // The rename is durable once its folder is; not every file system can sync one.
        let folder = self.path.parent().filter(|it| !it.as_os_str().is_empty());
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|it| it.sync_all());
        Ok(size)
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>) -> Result<T> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let file = self.file.as_mut().ok_or_else(gone);
        file.and_then(act)
            .map_err(|error| io_error("writing", &self.path, &error))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.aside);
        }
    }
}

/// Opens and locks `aside`; the lock ends with the process, however that ends.
fn lock(aside: &Path) -> Result<File> {
    let failed = |error: io::Error| io_error("writing", aside, &error);
    loop {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(aside)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!(
                    "another process is writing `{}`; wait for it, or give another output",
                    aside.display()
                );
                return Err(Error::new(ErrorCode::Unavailable, message));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Its last owner may have put it in place in between: then it is no longer ours to write.
        let ours = file.metadata().map_err(failed)?;
        if fs::metadata(aside)
            .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()))
        {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_when_it_is_whole_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        fs::write(
            dir.path().join("a.npy.tmp"),
            "left over by a killed process",
        )
        .unwrap();
        let mut file = NewFile::create(&path).unwrap();
        file.write(b"0123456789").unwrap();
        file.overwrite(2, b"xx").unwrap();
        file.write(b"end").unwrap();
        assert!(!path.exists());
        let error = NewFile::create(&path).unwrap_err();
        assert!(
            error.message().contains("another process is writing"),
            "{error}"
        );
        assert_eq!(file.commit().unwrap(), 13);
        assert_eq!(fs::read(&path).unwrap(), b"01xx456789end");

        drop(NewFile::create(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(fs::read(&path).unwrap(), b"01xx456789end");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_that_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let error = NewFile::create(&dir.path().join("no/such/a.npy")).unwrap_err();
        assert!(error.message().contains("check the path"), "{error}");
    }
}
