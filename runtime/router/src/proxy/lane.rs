//! The way to one worker: its connections, and how many requests it is sent at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use hyper::header::HeaderValue;
use parking_lot::Mutex;
use routir_core::{Error, Result};
use tokio::runtime::{Handle, Id};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::line::Line;
use crate::worker::Worker;

/// The way to one worker.
pub(super) struct Lane {
    /// What stands in `Host`.
    pub(super) authority: HeaderValue,
    /// What stands before every path; empty or without a slash at its end.
    pub(super) prefix: Box<str>,
    /// Open connections that nobody uses, by the runtime that is told when bytes come: a request on
    /// another would be woken from thread to thread.
    idle: Mutex<HashMap<Id, Vec<Line>, RandomState>>,
    places: Arc<Semaphore>,
    most: usize,
    waiting: AtomicUsize,
}

/// Counts a request that waits for a place.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    /// The way to `worker`, for `most` requests at once.
    ///
    /// # Errors
    /// When its host cannot stand in a header.
    pub(super) fn new(worker: &Worker, most: usize) -> Result<Self> {
        let authority = worker.authority().as_str();
        let shown = HeaderValue::from_str(authority).map_err(|_| {
            Error::invalid(format!(
                "worker `{}`: its host cannot stand in a header",
                worker.url()
            ))
        })?;
        Ok(Self::at(shown, worker.prefix(), most))
    }

    fn at(authority: HeaderValue, prefix: &str, most: usize) -> Self {
        Self {
            authority,
            prefix: prefix.into(),
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(most)),
            most,
            waiting: AtomicUsize::new(0),
        }
    }

    /// A place among the requests that the worker has, if there is one at once.
    pub(super) fn free_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// A place among the requests that the worker has; waits for one if not too many wait already.
    /// `None` when too many do.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.most {
            return None;
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// How many requests wait for a place.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// An open connection of this runtime that nobody has used for less than `longest`, as it is
    /// `now`; the one that was used last.
    pub(super) fn take(&self, now: Instant, longest: Duration) -> Option<Line> {
        let home = Handle::current().id();
        loop {
            let mut line = self.idle.lock().get_mut(&home)?.pop()?;
            if !line.is_older(now, longest) && line.is_open() {
                return Some(line);
            }
        }
    }

    /// Keeps a connection for the next request, unless as many are kept as may be in use.
    pub(super) fn give(&self, mut line: Line) {
        line.used = true;
        line.idle = Instant::now();
        let mut idle = self.idle.lock();
        if idle.values().map(Vec::len).sum::<usize>() < self.most {
            idle.entry(line.home).or_default().push(line);
        }
    }

    /// Closes connections that were not used for `longest`. Whether the worker has closed the others
    /// is seen when they are taken; all stay where requests find them.
    pub(super) fn sweep(&self, longest: Duration) {
        let now = Instant::now();
        let mut old = Vec::new();
        self.idle.lock().retain(|_, lines| {
            // They stand in the order in which they were used.
            let count = lines.partition_point(|line| line.is_older(now, longest));
            old.extend(lines.drain(..count));
            !lines.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use futures_util::FutureExt;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::RouterOptions;
    use crate::dial::Stream;
    use crate::worker::{Registry, Source};

    const LONGEST: Duration = Duration::from_secs(10);

    /// Gives so many open connections to `lane`; the other ends are in the listener.
    async fn fill(lane: &Lane, count: usize) -> TcpListener {
        let worker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = worker.local_addr().unwrap();
        for _ in 0..count {
            let stream = TcpStream::connect(address).await.unwrap();
            lane.give(Line::over(Stream::Plain(stream)).await.unwrap());
        }
        worker
    }

    fn take(lane: &Lane) -> Option<Line> {
        lane.take(Instant::now(), LONGEST)
    }

    #[tokio::test]
    async fn no_more_connections_are_kept_than_may_be_in_use() {
        let lane = Lane::at(HeaderValue::from_static("w"), "", 2);
        let _worker = fill(&lane, 3).await;
        lane.sweep(LONGEST);
        assert!(take(&lane).is_some() && take(&lane).is_some());
        assert!(take(&lane).is_none());
    }

    #[tokio::test]
    async fn what_was_idle_for_too_long_is_not_taken_and_is_closed() {
        let lane = Lane::at(HeaderValue::from_static("w"), "", 4);
        let worker = fill(&lane, 1).await;
        assert!(lane.take(Instant::now() + LONGEST, LONGEST).is_none());
        let (mut theirs, _) = worker.accept().await.unwrap();
        assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0, "it was closed");
        let _worker = fill(&lane, 2).await;
        lane.sweep(Duration::ZERO);
        assert!(take(&lane).is_none());
    }

    #[tokio::test]
    async fn sweeping_hides_no_connection_from_requests() {
        let lane = Lane::at(HeaderValue::from_static("w"), "", 64);
        let _worker = fill(&lane, 64).await;
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    lane.sweep(LONGEST);
                }
            });
            let found = (0..2000).all(|_| {
                let line = take(&lane);
                let found = line.is_some();
                line.into_iter().for_each(|line| lane.give(line));
                found
            });
            stop.store(true, Ordering::SeqCst);
            assert!(found, "one was hidden");
        });
    }

    #[tokio::test]
    async fn a_host_whose_name_is_in_the_scheme_has_no_prefix_but_its_own() {
        let registry = Registry::new(&RouterOptions::default()).unwrap();
        for (url, prefix) in [
            ("http://h", ""),
            ("http://p/deep/", "/deep"),
            ("https://http", ""),
        ] {
            registry.set(Source::Static, [url.to_owned()].into());
            let lane = Lane::new(&registry.workers()[0], 1).unwrap();
            assert_eq!(&*lane.prefix, prefix, "{url}");
        }
    }

    #[tokio::test]
    async fn as_many_wait_as_are_served_and_no_more() {
        let lane = Lane::at(HeaderValue::from_static("w"), "", 2);
        let held = [lane.free_place().unwrap(), lane.free_place().unwrap()];
        assert!(lane.free_place().is_none());
        let mut waiting = [Box::pin(lane.place()), Box::pin(lane.place())];
        for place in &mut waiting {
            assert!(place.now_or_never().is_none());
        }
        assert_eq!(lane.waiting(), 2);
        assert!(lane.place().await.is_none());
        drop(held);
        let [first, second] = waiting;
        assert!(first.await.is_some() && second.await.is_some());
        assert_eq!(lane.waiting(), 0);
    }
}
