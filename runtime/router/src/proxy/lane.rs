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
        let prefix = worker
            .url()
            .split_once(authority)
            .map_or("", |(_, path)| path);
        Ok(Self::at(shown, prefix, most))
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

    /// An open connection of this runtime that nobody uses; the one that was used last.
    pub(super) fn take(&self) -> Option<Line> {
        let home = Handle::current().id();
        loop {
            let mut line = self.idle.lock().get_mut(&home)?.pop()?;
            if line.is_open() {
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

    /// Closes connections that were not used for `longest`, and those that the worker has closed.
    pub(super) fn sweep(&self, longest: Duration) {
        let mut all = std::mem::take(&mut *self.idle.lock());
        for lines in all.values_mut() {
            lines.retain_mut(|line| line.idle.elapsed() < longest && line.is_open());
        }
        all.retain(|_, lines| !lines.is_empty());
        let mut idle = self.idle.lock();
        // Those that came meanwhile were used last.
        for (home, mut lines) in idle.drain() {
            all.entry(home).or_default().append(&mut lines);
        }
        *idle = all;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::dial::Stream;

    #[tokio::test]
    async fn no_more_connections_are_kept_than_may_be_in_use() {
        let worker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = worker.local_addr().unwrap();
        let lane = Lane::at(HeaderValue::from_static("w"), "", 2);
        for _ in 0..3 {
            let stream = TcpStream::connect(address).await.unwrap();
            lane.give(Line::over(Stream::Plain(stream)).await.unwrap());
        }
        lane.sweep(Duration::from_secs(10));
        assert!(lane.take().is_some() && lane.take().is_some());
        assert!(lane.take().is_none());
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
