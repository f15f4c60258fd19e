//! What computes for longer than it takes to hand it over: off the reactor, so many at once as there
//! are cores.

use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use routir_core::{Error, Result};
use tokio::sync::Semaphore;

/// One for each core of the machine, however many runtimes there are.
static CORES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(cores))
});

/// What `work` computes, which waits for nothing, on another thread when a core is free. A caller
/// that leaves before has it not begun; what has begun keeps its core until it ends.
///
/// # Errors
/// [`routir_core::ErrorCode::EngineFailure`] when it panics.
pub(crate) async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let core = Arc::clone(&CORES).acquire_owned().await;
    let core = core.map_err(|_| Error::internal("the cores were taken away"))?;
    let work = move || {
        let _core = core;
        work()
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Error::engine("what was computed apart panicked"))
}

/// All cores, until what is returned is dropped.
#[cfg(test)]
pub(crate) async fn all_cores() -> tokio::sync::OwnedSemaphorePermit {
    let cores = available_parallelism().map_or(1, usize::from);
    let cores = u32::try_from(cores).unwrap();
    Arc::clone(&CORES).acquire_many_owned(cores).await.unwrap()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn no_more_compute_at_once_than_there_are_cores() {
        let cores = available_parallelism().unwrap().get();
        let running = Arc::new(AtomicUsize::new(0));
        let work = || {
            let running = Arc::clone(&running);
            move || {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                std::thread::yield_now();
                std::thread::sleep(std::time::Duration::from_millis(2));
                running.fetch_sub(1, Ordering::SeqCst);
                now
            }
        };
        let most = join_all((0..cores * 8).map(|_| compute(work()))).await;
        let most = most.into_iter().map(Result::unwrap).max().unwrap();
        assert!(most <= cores, "{most} at once on {cores}");
        let panicked: Result<()> = compute(|| panic!("no")).await;
        assert!(panicked.is_err());
        assert_eq!(compute(|| 7).await.unwrap(), 7);
    }
}
