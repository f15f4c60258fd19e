//! The swap: on disk and in the runtime, both or neither.
//!
//! The order makes a crash harmless: components first, then the record aside, then the runtime, then
//! the record's name. A crash before the last step leaves the old version to the next start, one
//! after it the new.

use std::sync::Arc;

use routir_core::{Error, ExtensionCheck, ExtensionReport, Params, Result};

use super::party::{Live, Party, Slot};
use super::report::report;
use crate::admit::{Admission, Service};
use crate::audit::{Action, Event};
use crate::breaker::{Fallback, Guard, Subject, guarded};
use crate::store::Record;

/// A version to put into service.
pub(super) struct Change {
    pub(super) record: Record,
    pub(super) admission: Admission,
    /// The component, if the store does not have it yet.
    pub(super) bytes: Option<Arc<[u8]>>,
    pub(super) action: Action,
}

impl Party {
    /// Puts a version into service. Blocking.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub(super) fn install(&self, change: Change) -> Result<ExtensionReport> {
        let Change {
            record,
            admission,
            bytes,
            action,
        } = change;
        let (store, publisher) = (&self.shared.store, &self.shared.publisher);
        let live = self.live(&record, admission);
        let pin = bytes.map(|bytes| store.put(self.name(), &live.admission.sha256, &bytes));
        let pin = pin.transpose()?;
        let staged = store.stage(&record)?;
        let published = publisher.publish(self.name(), &record.name, live.engines.clone());
        if let Err(error) = published {
            store.discard(&staged);
            return Err(error);
        }
        if let Err(error) = store.commit(&staged) {
            self.undo(&record.name);
            return Err(error);
        }
        let slot = Slot {
            record,
            live: Ok(live),
        };
        self.set(slot.clone());
        drop(pin);
        store.collect(self.name(), |hash| self.names(hash));
        let told = report(&slot);
        self.audit(Event {
            version: &told.version,
            sha256: &told.sha256,
            source: told.source,
            ..Event::of(action, Some(self.name()), &told.name)
        });
        Ok(told)
    }

    /// Takes an extension out of service. Blocking.
    ///
    /// # Errors
    /// A store that cannot be written. Nothing has changed then.
    pub(super) fn take_out(&self, name: &str, reason: &str) -> Result<()> {
        let store = &self.shared.store;
        let slot = self.slot(name);
        if let Err(error) = store.remove(self.name(), name) {
            self.undo(name);
            return Err(error);
        }
        self.shared.publisher.withdraw(self.name(), name);
        self.unset(name);
        store.collect(self.name(), |hash| self.names(hash));
        let active = slot.as_ref().and_then(|slot| slot.record.versions.first());
        self.audit(Event {
            version: active.map_or("", |version| &version.version),
            sha256: active.map_or("", |version| &version.sha256),
            source: active.map_or("", |version| version.source.name()),
            reason,
            ..Event::of(Action::Withdraw, Some(self.name()), name)
        });
        Ok(())
    }

    /// Puts what was in service into service again, after a step on disk failed that may or may not
    /// have happened.
    fn undo(&self, name: &str) {
        let (store, publisher) = (&self.shared.store, &self.shared.publisher);
        let (in_service, on_disk) = match self.slot(name) {
            None => {
                publisher.withdraw(self.name(), name);
                (Ok(()), store.remove(self.name(), name))
            }
            Some(slot) => {
                let in_service = match &slot.live {
                    Ok(live) => publisher.publish(self.name(), name, live.engines.clone()),
                    Err(_) => {
                        publisher.withdraw(self.name(), name);
                        Ok(())
                    }
                };
                let on_disk = store.stage(&slot.record);
                (in_service, on_disk.and_then(|staged| store.commit(&staged)))
            }
        };
        for error in [in_service.err(), on_disk.err()].into_iter().flatten() {
            self.audit(Event {
                outcome: "failed",
                reason: &format!("the version before could not be put back: {error}"),
                ..Event::of(Action::Store, Some(self.name()), name)
            });
        }
    }

    /// The engines of a component behind their breaker.
    pub(super) fn live(&self, record: &Record, mut admission: Admission) -> Live {
        let settings = &self.settings;
        let owner = self.name();
        let active = record.versions.first();
        let subject = Subject {
            owner: Some(Arc::clone(owner)),
            name: Arc::from(record.name.as_str()),
            version: admission.manifest.version.clone(),
            sha256: admission.sha256.clone(),
            source: active.map_or("", |version| version.source.name()),
        };
        let identity = subject.identity();
        let guard = Guard::new(
            subject,
            &settings.on_failure,
            self.shared.metrics.clone(),
            Arc::clone(&self.shared.audit),
        );
        let engines = admission.code.engines(Service {
            identity,
            owner: Some(Arc::clone(owner)),
            params: Params::default(),
            trusted: false,
            limits: settings.limits.clone(),
            grants: settings.grants.clone(),
            collection: None,
            host: Arc::clone(&self.shared.host),
        });
        let fallback = settings.on_failure.fallback.as_deref().map(|service| {
            let roles = self.shared.publisher.granted(&settings.tenant, service);
            let named = roles.map(|roles| Fallback {
                name: Arc::from(service),
                roles,
            });
            named.ok_or_else(|| no_fallback(service))
        });
        let fallback = match fallback {
            None => None,
            Some(Ok(fallback)) => {
                admission.checks.push(fallback.check(&admission.roles));
                Some(fallback)
            }
            Some(Err(error)) => {
                admission.checks.push(ExtensionCheck {
                    name: "fallback",
                    passed: false,
                    detail: error.message().to_owned(),
                });
                None
            }
        };
        Live {
            engines: guarded(engines, &guard, fallback.as_ref()),
            admission,
            guard,
        }
    }
}

fn no_fallback(service: &str) -> Error {
    Error::invalid(format!(
        "`{service}` is no service of the operator's that this tenant may call; a call that \
         fails, fails"
    ))
}
