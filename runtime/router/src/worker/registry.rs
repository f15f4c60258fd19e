//! Who is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use routir_core::Result;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::gone::Gone;
use super::{Address, Worker, WorkerSettings, reader};
use crate::RouterOptions;

/// The most workers.
const MAX_WORKERS: usize = 4096;

/// How often it is looked whether workers have been asked.
const GLANCE: Duration = Duration::from_millis(5);

/// Who says that a worker exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The operator's list.
    Static,
    /// The endpoints of a service in a cluster.
    Kubernetes,
}

/// The workers, each with a task that listens to it. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<WorkerSettings>,
    workers: ArcSwap<Arc<[Arc<Worker>]>>,
    changes: Arc<watch::Sender<u64>>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    said: BTreeMap<Source, BTreeSet<Arc<str>>>,
    entries: BTreeMap<Arc<str>, Entry>,
    gone: Gone,
    next_id: u64,
    ended: bool,
}

#[derive(Debug)]
struct Entry {
    worker: Arc<Worker>,
    reader: AbortHandle,
}

impl Registry {
    /// A registry of nobody: workers come by [`Registry::set`].
    ///
    /// # Errors
    /// For a key that cannot be sent, certificates that cannot be used, and URLs of the options that are
    /// none.
    pub(crate) fn new(options: &RouterOptions) -> Result<Self> {
        for url in &options.workers {
            Address::read(url)?;
        }
        Ok(Self::with(WorkerSettings::of(options)?))
    }

    pub(crate) fn with(settings: WorkerSettings) -> Self {
        Self(Arc::new(Inner {
            settings: Arc::new(settings),
            workers: ArcSwap::from_pointee(Arc::from([])),
            changes: Arc::new(watch::Sender::new(0)),
            table: Mutex::default(),
        }))
    }

    /// How workers are watched, and reached.
    pub(crate) fn settings(&self) -> &WorkerSettings {
        &self.0.settings
    }

    /// All workers, ready or not, by URL.
    pub(crate) fn workers(&self) -> Arc<[Arc<Worker>]> {
        Arc::clone(&self.0.workers.load())
    }

    /// Changes whenever a worker joins, leaves, becomes routable or ceases to be, or tells something
    /// else of itself than how busy it is.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Waits until every worker that is known now was asked once, and answered or did not; no longer
    /// than that.
    pub(crate) async fn meet(&self, longest: Duration) {
        let workers = self.workers();
        let met = async {
            while !workers.iter().all(|worker| worker.is_met()) {
                sleep(GLANCE).await;
            }
        };
        // Those that hang are met later.
        let _ = timeout(longest, met).await;
    }

    /// Says that `source` knows these workers and no others. Of a worker that no source knows any
    /// more the reader ends; requests that it has go on.
    ///
    /// URLs that are none are told in the log and passed over. To be called within a runtime, whose
    /// tasks the readers are.
    pub(crate) fn set(&self, source: Source, urls: BTreeSet<String>) {
        let mut addresses = BTreeMap::new();
        for url in urls {
            match Address::read(&url) {
                Ok(address) => {
                    addresses.insert(Arc::clone(address.url()), address);
                }
                Err(error) => tracing::warn!(%error, "a worker cannot be used"),
            }
        }
        let mut table = self.0.table.lock();
        if table.ended {
            return;
        }
        let said = addresses.keys().map(Arc::clone).collect();
        table.said.insert(source, said);
        let wanted: BTreeSet<Arc<str>> = table.said.values().flatten().map(Arc::clone).collect();
        let Table { entries, gone, .. } = &mut *table;
        let before = entries.len();
        entries.retain(|url, entry| {
            let stays = wanted.contains(url);
            if !stays {
                entry.reader.abort();
                entry.worker.silent();
                gone.add(entry.worker.facts(), Instant::now());
                tracing::info!(worker = %url, "a worker left");
            }
            stays
        });
        let mut changed = table.entries.len() != before;
        for (url, address) in addresses {
            if table.entries.contains_key(&url) {
                continue;
            }
            if table.entries.len() >= MAX_WORKERS {
                tracing::warn!(
                    "more than {MAX_WORKERS} workers are known; those beyond are not used"
                );
                break;
            }
            changed = true;
            table.next_id += 1;
            let worker = Worker::new(table.next_id, address, Arc::clone(&self.0.changes));
            let worker = Arc::new(worker);
            let reading = reader::keep(Arc::clone(&worker), Arc::clone(&self.0.settings));
            let reader = tokio::spawn(reading).abort_handle();
            tracing::info!(worker = %url, "a worker joined");
            table.entries.insert(url, Entry { worker, reader });
        }
        if changed {
            self.publish(&table);
        }
    }

    /// Whether a worker had a model (by lower-case name) that has left since, and may come back; of
    /// that kind of machine and bundle if they are told.
    pub(crate) fn had(&self, model: &str, profile: Option<&str>, bundle: Option<&str>) -> bool {
        let mut table = self.0.table.lock();
        table.gone.had(model, profile, bundle, Instant::now())
    }

    /// Ends all readers; nobody joins any more.
    pub(crate) fn shutdown(&self) {
        let mut table = self.0.table.lock();
        table.ended = true;
        for entry in std::mem::take(&mut table.entries).into_values() {
            entry.reader.abort();
        }
    }

    fn publish(&self, table: &Table) {
        let workers: Arc<[Arc<Worker>]> = table
            .entries
            .values()
            .map(|entry| Arc::clone(&entry.worker))
            .collect();
        self.0.workers.store(Arc::new(workers));
        self.0
            .changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for entry in self.table.get_mut().entries.values() {
            entry.reader.abort();
        }
    }
}
