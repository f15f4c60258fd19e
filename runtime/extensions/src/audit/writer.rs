//! The thread that writes the audit file, so that a slow disk makes no request wait.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use routir_core::Metrics;

use super::file::{LogFile, Rotation};

/// How many lines may wait for the disk.
const WAITING: usize = 4096;
/// How often trouble with the file is logged at most.
const COMPLAIN: Duration = Duration::from_secs(60);

enum Message {
    Line(String),
    #[cfg(test)]
    Flush(SyncSender<()>),
}

/// The file's end of [`super::Audit`]. What waits is written before it goes.
pub(super) struct Writer {
    sender: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
    metrics: Metrics,
}

impl Writer {
    pub(super) fn start(path: PathBuf, rotation: Rotation, metrics: Metrics) -> Self {
        let (sender, receiver) = sync_channel(WAITING);
        let counters = metrics.clone();
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(&receiver, LogFile::new(path, rotation), &counters));
        if let Err(error) = &thread {
            tracing::error!(%error, "the audit file is not written: no thread could be started");
        }
        Self {
            sender: Some(sender),
            thread: thread.ok(),
            metrics,
        }
    }

    pub(super) fn line(&self, line: String) {
        let sent = self
            .sender
            .as_ref()
            .is_some_and(|sender| sender.try_send(Message::Line(line)).is_ok());
        if !sent {
            self.metrics.audit_line("lost");
        }
    }

    #[cfg(test)]
    pub(super) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        let sender = self.sender.as_ref().unwrap();
        sender.send(Message::Flush(done)).unwrap();
        wait.recv().unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(receiver: &Receiver<Message>, mut file: LogFile, metrics: &Metrics) {
    let mut complained: Option<Instant> = None;
    for message in receiver {
        match message {
            Message::Line(line) => match file.append(&line) {
                Ok(()) => metrics.audit_line("written"),
                Err(error) => {
                    metrics.audit_line("lost");
                    if complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
                        complained = Some(Instant::now());
                        let path = file.path().display();
                        tracing::error!(%error, "the audit file `{path}` cannot be written");
                    }
                }
            },
            #[cfg(test)]
            Message::Flush(done) => drop(done.send(())),
        }
    }
}
