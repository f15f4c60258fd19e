//! Where engines compute: off the reactor, a bounded number of requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use routir_core::{Error, Result};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Up to how many bytes of text are made into tokens in place: some hundred microseconds of work.
const IN_PLACE_BYTES: usize = 1 << 10;

/// A bound on how many requests compute at once, shared by all engines.
///
/// The work runs on tokio's blocking threads, which start on demand, are reused and end when idle,
/// so an idle server holds none; the bound keeps them from outnumbering the cores. Waiting is in
/// order of arrival, and a caller that leaves while it waits is never served.
#[derive(Clone, Debug)]
pub struct EnginePool {
    threads: usize,
    permits: Arc<Semaphore>,
}

/// Tells the work that its caller left.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl EnginePool {
    /// A pool in which `threads` requests compute at once; at least one.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let threads = threads.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            threads,
            permits: Arc::new(Semaphore::new(threads)),
        }
    }

    /// How many requests compute at once.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work`, whose time goes with the length of texts, in place when it is short and as
    /// [`EnginePool::run`] otherwise.
    ///
    /// # Errors
    /// As [`EnginePool::run`].
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        if bytes <= IN_PLACE_BYTES {
            return Ok(work());
        }
        self.run(move |_| work()).await
    }

    /// Runs `work` and answers what it returns. Its flag is set when the caller has left; then it
    /// should end early. Must be polled within a tokio runtime.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::EngineFailure`] when `work` panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
    ) -> Result<T> {
        let gone = |_| Error::internal("the engine pool is closed");
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(gone)?;
        let runtime = Handle::try_current().map_err(|e| Error::internal(e.to_string()))?;
        let cancelled = CancelOnDrop(Arc::new(AtomicBool::new(false)));
        let flag = Arc::clone(&cancelled.0);
        let task = runtime.spawn_blocking(move || {
            let value = work(&flag);
            drop(permit);
            value
        });
        task.await
            .map_err(|e| Error::engine(format!("the computation broke off: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_than_its_bound_run_at_once_and_a_panic_is_an_error() {
        let pool = EnginePool::new(2);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..40).map(|number| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            pool.run(move |_| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                number
            })
        });
        let numbers: Vec<_> = join_all(jobs)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(numbers, (0..40).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= 2);

        let error = pool.run::<()>(|_| panic!("boom")).await.unwrap_err();
        assert_eq!(error.code(), routir_core::ErrorCode::EngineFailure);
        assert_eq!(pool.run(|_| 7).await.unwrap(), 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_learns_that_its_caller_left() {
        let pool = EnginePool::new(1);
        let (started, has_started) = mpsc::channel();
        let (ended, has_ended) = mpsc::channel();
        let call = tokio::spawn(async move {
            pool.run(move |cancelled| {
                started.send(()).unwrap();
                while !cancelled.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                ended.send(()).unwrap();
            })
            .await
        });
        tokio::task::spawn_blocking(move || has_started.recv().unwrap())
            .await
            .unwrap();
        call.abort();
        tokio::task::spawn_blocking(move || has_ended.recv().unwrap())
            .await
            .unwrap();
    }
}
