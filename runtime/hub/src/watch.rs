//! Work on a thread of its own that is given up when it comes to a halt: what reads from sockets below
//! knows timeouts for a whole answer at most, and a large file may take an hour.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// How far a file is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bytes {
    pub(crate) done: u64,
    pub(crate) total: u64,
}

/// Tells whoever watches that there is life.
pub(crate) struct Beat {
    say: Box<dyn Fn(Bytes) + Send>,
    left: Arc<AtomicBool>,
}

impl Beat {
    /// Says how far it is; `false` when nobody watches any more and nothing must be written.
    pub(crate) fn is_heard(&self, bytes: Bytes) -> bool {
        (self.say)(bytes);
        !self.left.load(Ordering::Acquire)
    }
}

enum Said<T> {
    Alive(Bytes),
    Done(T),
}

/// What `work` makes, unless it shows no sign of life for `stall`; then why there is nothing. Work
/// that was given up is told so at its next sign.
pub(crate) fn watched<T: Send + 'static>(
    stall: Duration,
    tell: &dyn Fn(Bytes),
    work: impl FnOnce(&Beat) -> T + Send + 'static,
) -> Result<T, String> {
    let (said, heard) = channel();
    let signs: Sender<Said<T>> = said.clone();
    let left = Arc::new(AtomicBool::new(false));
    let beat = Beat {
        say: Box::new(move |bytes| {
            let _ = signs.send(Said::Alive(bytes));
        }),
        left: Arc::clone(&left),
    };
    let started = thread::Builder::new()
        .name("hub".to_owned())
        .spawn(move || {
            let made = work(&beat);
            drop(beat);
            let _ = said.send(Said::Done(made));
        });
    started.map_err(|why| format!("no thread can be started: {why}"))?;
    loop {
        match heard.recv_timeout(stall) {
            Ok(Said::Alive(bytes)) => tell(bytes),
            Ok(Said::Done(made)) => return Ok(made),
            Err(RecvTimeoutError::Timeout) => {
                left.store(true, Ordering::Release);
                let seconds = stall.as_secs_f64();
                return Err(format!("it sent nothing for {seconds} s"));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err("its answer crashed the library that reads it".to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_halts_is_left_and_told_so() {
        let (go, wait) = channel::<()>();
        let (told, hear) = channel();
        let given_up = watched(Duration::from_millis(20), &|_| {}, move |beat| {
            let _ = wait.recv();
            let _ = told.send(beat.is_heard(Bytes::default()));
        });
        assert!(given_up.unwrap_err().contains("sent nothing for 0.02 s"));
        go.send(()).unwrap();
        assert!(!hear.recv().unwrap());
    }

    #[test]
    fn a_crash_is_an_error() {
        let crashed: Result<(), _> = watched(Duration::from_secs(60), &|_| {}, |_| panic!("oh"));
        assert!(crashed.unwrap_err().contains("crashed"));
    }
}
