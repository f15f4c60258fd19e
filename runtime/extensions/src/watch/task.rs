//! The task behind one watched directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use routir_core::{Error, ErrorCode, Result};
use tokio::sync::Notify;

use super::Pace;
use super::directory::{Directory, Scan, Seen, Unread};
use super::plan::{Plan, Task};
use crate::audit::{Action, Event};
use crate::registry::{Holder, Origin, Party};

pub(super) struct Watcher {
    party: Arc<Party>,
    dir: PathBuf,
    pace: Pace,
    plan: Plan,
    /// Rung when the system says that something happened in the directory.
    bell: Arc<Notify>,
    /// The system's watcher, and the directory that it watches.
    system: Option<(RecommendedWatcher, (u64, u64))>,
    /// The trouble with the directory that was told last.
    trouble: Option<String>,
}

impl Watcher {
    pub(super) fn new(party: Arc<Party>, dir: PathBuf, pace: Pace) -> Self {
        Self {
            party,
            dir,
            pace,
            plan: Plan::new(pace),
            bell: Arc::default(),
            system: None,
            trouble: None,
        }
    }

    /// Watches until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            self.look().await;
            // Not more often than this, however many events there are.
            tokio::time::sleep(self.pace.settle).await;
            if !self.plan.is_unsettled() {
                let bell = Arc::clone(&self.bell);
                let _ = tokio::time::timeout(self.pace.rescan, bell.notified()).await;
            }
        }
    }

    async fn look(&mut self) {
        let path = self.dir.clone();
        let looked = aside(move || {
            let directory = Directory::open(&path)?;
            let scan = directory.scan()?;
            std::io::Result::Ok((Arc::new(directory), scan))
        });
        let (directory, scan) = match looked.await {
            Ok(Ok(looked)) => looked,
            Ok(Err(error)) => {
                self.system = None;
                return self.complain(Some(format!("cannot be read: {error}")));
            }
            Err(error) => return self.complain(Some(error.to_string())),
        };
        let cut = "holds more files than are looked at; nothing is withdrawn";
        self.complain(scan.cut.then(|| cut.to_owned()));
        self.attend(directory.identity).await;
        self.work(&directory, &scan).await;
    }

    async fn work(&mut self, directory: &Arc<Directory>, scan: &Scan) {
        let held = self.party.held_by(&self.dir);
        for task in self.plan.next(scan, &held, Instant::now()) {
            match task {
                Task::Take(seen) => self.take(directory, seen).await,
                Task::Refuse(seen, why) => self.refuse(&seen.name, &why),
                Task::Withdraw(name) => {
                    let origin = Origin::File(self.file(&name));
                    // A failure is in the audit; the next look tries again.
                    let _ = self.party.withdraw(&name, &origin).await;
                }
            }
        }
    }

    async fn take(&mut self, directory: &Arc<Directory>, seen: Seen) {
        let name = seen.name.clone();
        let path = self.file(&name);
        let holder = self.party.holder(&name);
        let other = match &holder {
            Holder::Api => Some("an extension that was published over the API has the name"),
            Holder::File(held) if *held != path => {
                Some("a file of another watched directory has the name")
            }
            Holder::File(_) | Holder::Nobody => None,
        };
        if let Some(why) = other {
            if self.plan.later(&name, why, Instant::now()) {
                self.refuse(&name, why);
            }
            return;
        }
        let (directory, largest) = (Arc::clone(directory), self.party.largest());
        let read = aside(move || directory.read(&seen, largest)).await;
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(Unread::Changed)) => return self.plan.changed(&name, Instant::now()),
            Ok(Err(Unread::Fault(why))) => {
                self.plan.done(&name);
                return self.refuse(&name, &why);
            }
            Err(error) => {
                self.plan.later(&name, error.message(), Instant::now());
                return;
            }
        };
        match self.party.publish(&name, bytes, Origin::File(path)).await {
            Err(error) if !is_the_files(&error) => {
                self.plan.later(&name, error.message(), Instant::now());
            }
            // What was wrong with it is in the audit.
            Ok(_) | Err(_) => self.plan.done(&name),
        }
    }

    /// Lets the system ring the bell for the directory, unless it does so already.
    async fn attend(&mut self, identity: (u64, u64)) {
        if self.system.as_ref().is_some_and(|(_, it)| *it == identity) {
            return;
        }
        self.system = None;
        let (bell, dir) = (Arc::clone(&self.bell), self.dir.clone());
        let made = aside(move || {
            let mut watcher = notify::recommended_watcher(move |event| {
                if is_a_change(&event) {
                    bell.notify_one();
                }
            })?;
            watcher.watch(&dir, RecursiveMode::NonRecursive)?;
            notify::Result::Ok(watcher)
        });
        match made.await {
            Ok(Ok(watcher)) => self.system = Some((watcher, identity)),
            Ok(Err(error)) => {
                let dir = self.dir.display();
                tracing::debug!(%error, "no events of `{dir}`; it is looked at now and then");
            }
            Err(_) => {}
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.wasm"))
    }

    fn refuse(&self, name: &str, why: &str) {
        self.party.audit(Event {
            source: "directory",
            outcome: "refused",
            reason: why,
            ..Event::of(
                Action::File,
                Some(self.party.name()),
                &routir_core::shorten(name),
            )
        });
    }

    /// Logs the trouble with the directory, or its end, once.
    fn complain(&mut self, trouble: Option<String>) {
        if self.trouble == trouble {
            return;
        }
        let (dir, tenant) = (self.dir.display(), self.party.name());
        match &trouble {
            Some(why) => tracing::warn!(%tenant, "the extension directory `{dir}` {why}"),
            None => tracing::info!(%tenant, "the extension directory `{dir}` is read again"),
        }
        self.trouble = trouble;
    }
}

/// Whether a failure stays until the file changes.
fn is_the_files(error: &Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::InvalidArgument | ErrorCode::TooLarge
    )
}

/// Whether something may have changed. Files that are opened and read have not: this task itself
/// does that.
fn is_a_change(event: &notify::Result<notify::Event>) -> bool {
    event.as_ref().is_ok_and(|event| match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    })
}

/// Work that waits for the disk.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal(format!("looking into a directory: {error}")))
}
