//! A thread on which everything is done that must be done on one and the same.

use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use routir_core::{Error, Result};

use crate::library::guarded;

type Work = Box<dyn FnOnce() + Send>;

/// The thread; it ends when this is dropped.
pub(super) struct OneThread {
    /// `None` once it is to end.
    work: Mutex<Option<Sender<Work>>>,
    thread: Option<JoinHandle<()>>,
}

impl OneThread {
    pub(super) fn new() -> Result<Self> {
        let (work, asked): (_, Receiver<Work>) = channel();
        let run = move || asked.into_iter().for_each(|work| work());
        let started = std::thread::Builder::new()
            .name("model".to_owned())
            .spawn(run);
        let why = |why| Error::internal(format!("a thread for a model does not start: {why}"));
        Ok(Self {
            work: Mutex::new(Some(work)),
            thread: Some(started.map_err(why)?),
        })
    }

    /// Does `work` there, and waits for it.
    ///
    /// # Errors
    /// When it panics.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let (answer, answered) = sync_channel(1);
        let work: Box<dyn FnOnce() + Send + '_> = Box::new(move || {
            let done = guarded(work);
            let _ = answer.send(done);
        });
        // SAFETY: what the work borrows outlives it: this returns only when the work has answered or
        // was dropped, which is when nobody can answer any more.
        let work = unsafe { std::mem::transmute::<Box<dyn FnOnce() + Send + '_>, Work>(work) };
        let sent = match &*self.work.lock() {
            Some(asked) => asked.send(work).is_ok(),
            None => false,
        };
        let gone = || Error::internal("the thread of a model is gone");
        if !sent {
            return Err(gone());
        }
        let done = answered.recv().map_err(|_| gone())?;
        done.map_err(|why| Error::internal(format!("a model panicked: {why}")))
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        *self.work.lock() = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_done_on_one_thread_and_what_panics_harms_nobody_else() {
        let thread = OneThread::new().unwrap();
        let mut borrowed = 1;
        let name = || std::thread::current().id();
        let first = thread.run(name).unwrap();
        assert!(thread.run(|| panic!("boom")).map(|(): ()| ()).is_err());
        thread.run(|| borrowed += 1).unwrap();
        let second = std::thread::scope(|scope| {
            let other = scope.spawn(|| thread.run(name).unwrap());
            other.join().unwrap()
        });
        assert_eq!((borrowed, first), (2, second));
        assert_ne!(first, name());
    }
}
