//! One tenant's extensions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use routir_core::{Error, ErrorCode, Result, Roles};
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::{Shared, TenantExtensions};
use crate::admit::Admission;
use crate::audit::{Event, Ration};
use crate::breaker::Guard;
use crate::store::Record;

/// How many components of one tenant are looked at at once; more wait.
const ADMISSIONS: usize = 4;

/// One tenant's extensions.
pub(crate) struct Party {
    pub(crate) settings: TenantExtensions,
    pub(crate) shared: Arc<Shared>,
    pub(super) admissions: Semaphore,
    state: Mutex<State>,
    /// One per name that somebody changes at this moment.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    refusals: Mutex<Ration>,
}

#[derive(Default)]
struct State {
    slots: BTreeMap<String, Slot>,
    /// Names that are being published for the first time: they count for the quota.
    pending: HashSet<String>,
    /// Names whose records cannot be read; what they named must stay.
    damaged: BTreeSet<String>,
}

/// One extension.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) record: Record,
    pub(super) live: Result<Live>,
}

/// What is in service.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) admission: Admission,
    pub(super) engines: Roles,
    pub(super) guard: Arc<Guard>,
}

/// Who has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Nobody,
    Api,
    File(PathBuf),
}

/// The right to change one extension; others wait for it.
pub(super) struct Turn {
    party: Arc<Party>,
    name: String,
    /// Whether it is a new name that counts for the quota.
    reserved: bool,
    _lock: OwnedMutexGuard<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.reserved {
            self.party.state.lock().pending.remove(&self.name);
        }
    }
}

impl Party {
    pub(super) fn new(settings: TenantExtensions, shared: Arc<Shared>) -> Self {
        Self {
            settings,
            shared,
            admissions: Semaphore::new(ADMISSIONS),
            state: Mutex::default(),
            locks: Mutex::default(),
            refusals: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.settings.tenant.name
    }

    /// Keeps an event; of very many refusals, their number.
    pub(crate) fn audit(&self, event: Event<'_>) {
        if event.outcome == "ok" {
            return self.shared.audit.record(&event);
        }
        match self.refusals.lock().take(Instant::now()) {
            None => self.shared.metrics.audit_line("skipped"),
            Some(0) => self.shared.audit.record(&event),
            Some(skipped) => {
                let reason = event.reason;
                let reason = format!("{skipped} others were not told before this: {reason}");
                self.shared.audit.record(&Event {
                    reason: &reason,
                    ..event
                });
            }
        }
    }

    /// The largest component file, in bytes.
    pub(crate) fn largest(&self) -> u64 {
        self.settings.limits.component_bytes() as u64
    }

    /// Waits until nobody else changes `name`. Those who wait come one after another.
    pub(super) async fn turn(self: &Arc<Self>, name: &str) -> Turn {
        let lock = {
            let mut locks = self.locks.lock();
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(name.to_owned()).or_default())
        };
        Turn {
            _lock: lock.lock_owned().await,
            party: Arc::clone(self),
            name: name.to_owned(),
            reserved: false,
        }
    }

    /// Makes room for a new name.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] when the tenant has as many extensions as it may.
    pub(super) fn reserve(&self, turn: &mut Turn) -> Result<()> {
        let mut state = self.state.lock();
        if state.slots.contains_key(&turn.name) {
            return Ok(());
        }
        let most = self.settings.tenant.quotas.extensions;
        if state.slots.len().saturating_add(state.pending.len()) >= most {
            return Err(Error::new(
                ErrorCode::Overloaded,
                format!(
                    "tenant `{}` may have {most} extensions published and has as many; withdraw \
                     one first",
                    self.name()
                ),
            ));
        }
        turn.reserved = state.pending.insert(turn.name.clone());
        Ok(())
    }

    pub(super) fn slot(&self, name: &str) -> Option<Slot> {
        self.state.lock().slots.get(name).cloned()
    }

    pub(super) fn slots(&self) -> Vec<Slot> {
        self.state.lock().slots.values().cloned().collect()
    }

    /// There is no such extension.
    pub(super) fn unknown(&self, name: &str) -> Error {
        let state = self.state.lock();
        super::unknown(name, state.slots.keys().map(String::as_str))
    }

    pub(super) fn set(&self, slot: Slot) {
        let mut state = self.state.lock();
        state.damaged.remove(&slot.record.name);
        state.pending.remove(&slot.record.name);
        state.slots.insert(slot.record.name.clone(), slot);
    }

    pub(super) fn unset(&self, name: &str) {
        let mut state = self.state.lock();
        state.damaged.remove(name);
        state.slots.remove(name);
    }

    pub(super) fn damaged(&self, name: String) {
        self.state.lock().damaged.insert(name);
    }

    /// Whether a component must be kept.
    pub(super) fn names(&self, hash: &str) -> bool {
        let state = self.state.lock();
        let names = |slot: &Slot| slot.record.versions.iter().any(|v| v.sha256 == hash);
        !state.damaged.is_empty() || state.slots.values().any(names)
    }

    /// Who has a name.
    pub(crate) fn holder(&self, name: &str) -> Holder {
        let state = self.state.lock();
        match state.slots.get(name).map(|slot| &slot.record.file) {
            None => Holder::Nobody,
            Some(None) => Holder::Api,
            Some(Some(file)) => Holder::File(file.path.clone()),
        }
    }

    /// The names that files of `dir` hold.
    pub(crate) fn held_by(&self, dir: &Path) -> Vec<String> {
        let state = self.state.lock();
        let of_dir = |slot: &&Slot| {
            let file = slot.record.file.as_ref();
            file.is_some_and(|file| file.path.parent() == Some(dir))
        };
        let slots = state.slots.values().filter(of_dir);
        slots.map(|slot| slot.record.name.clone()).collect()
    }
}
