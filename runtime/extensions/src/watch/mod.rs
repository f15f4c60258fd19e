//! Directories whose `.wasm` files are a tenant's extensions.
//!
//! A file is published under its own name without `.wasm`, once its size and times have not changed
//! for a moment; a changed file replaces its extension, a deleted one withdraws it. What fails is
//! tried again when the file changes. The directory is looked at when the system says that something
//! happened there, and every few seconds in any case: events get lost, and some file systems have
//! none. A directory that is gone, or cannot be read, says nothing about its files, so nothing is
//! withdrawn until it is back.

mod directory;
mod plan;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::registry::Registry;

/// How fast the watchers work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long a file must be as it is before it is taken, and the shortest time between looks.
    pub(crate) settle: Duration,
    /// How often a directory is looked at though nothing seems to happen there.
    pub(crate) rescan: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(500),
            rescan: Duration::from_secs(5),
        }
    }
}

/// Watches directories as long as it lives.
#[must_use = "the watching ends when this is dropped"]
pub struct Watching {
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Registry {
    /// Begins to watch the tenants' directories: after [`Registry::restore`], within a tokio
    /// runtime.
    pub fn watch(&self) -> Watching {
        self.watch_at(Pace::default())
    }

    pub(crate) fn watch_at(&self, pace: Pace) -> Watching {
        let mut tasks = Vec::new();
        for party in self.parties() {
            for dir in &party.settings.dirs {
                let watcher = task::Watcher::new(Arc::clone(party), dir.clone(), pace);
                tasks.push(tokio::spawn(watcher.run()));
            }
        }
        Watching { tasks }
    }
}
