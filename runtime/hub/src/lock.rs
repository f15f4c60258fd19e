//! One process at a time fetches into a repository's folder of the cache.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// How often it is looked whether the other one is done.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The lock of a repository: held until this is dropped, or its process ends in whatever way.
pub(crate) struct Lock {
    _file: File,
}

/// Waits for the lock `file`, for as long as the one who holds it makes progress: what `progress`
/// gives must change within `stall`.
pub(crate) fn lock(
    file: &Path,
    stall: Duration,
    progress: &dyn Fn() -> u64,
) -> Result<Lock, Failure> {
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file);
    let open = opened.map_err(Failure::Unwritable)?;
    let mut seen = (progress(), Instant::now());
    let mut told = false;
    loop {
        match open.try_lock() {
            Ok(()) => return Ok(Lock { _file: open }),
            Err(TryLockError::Error(why)) => return Err(Failure::Unwritable(why)),
            Err(TryLockError::WouldBlock) => {}
        }
        if !told {
            told = true;
            tracing::info!(lock = %file.display(), "waiting for another process that fetches it");
        }
        let now = progress();
        if now != seen.0 {
            seen = (now, Instant::now());
        } else if seen.1.elapsed() > stall {
            let seconds = stall.as_secs_f64();
            return Err(Failure::Unreachable(format!(
                "another process that holds {} has fetched nothing for {seconds} s; end it",
                file.display()
            )));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// How many bytes the files in `folder` have together.
pub(crate) fn weight(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| entry.metadata().ok());
    sizes.map(|it| it.len()).sum()
}
