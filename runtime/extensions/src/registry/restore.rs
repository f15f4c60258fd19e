//! Published extensions come back when the server starts anew.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use routir_core::{Error, Result};

use super::Registry;
use super::party::{Party, Slot};
use super::publish::{blocking, outcome};
use crate::audit::{Action, Event};
use crate::store::Record;

/// How many components are looked at at once.
const AT_ONCE: usize = 4;

impl Registry {
    /// Puts back into service what was published before the server was started anew. What is not
    /// admitted any more (its limits may have changed, or its file) is told in the audit and stays
    /// out of service, with its history, until its owner publishes another version or rolls back.
    ///
    /// # Errors
    /// A state directory that cannot be read. A damaged entry is no error.
    pub async fn restore(&self) -> Result<()> {
        let mut found = Vec::new();
        for party in self.parties() {
            let reader = Arc::clone(party);
            let read = move || reader.shared.store.records(reader.name());
            let (records, damages) = blocking(read).await?;
            for damage in damages {
                party.audit(Event {
                    outcome: "failed",
                    reason: &damage.why,
                    ..Event::of(Action::Store, Some(&damage.tenant), &damage.name)
                });
                party.damaged(damage.name);
            }
            let records = records.into_iter();
            found.extend(records.map(|record| (Arc::clone(party), record)));
        }
        stream::iter(found)
            .for_each_concurrent(AT_ONCE, |(party, record)| async move {
                party.restore(record).await;
            })
            .await;
        for party in self.parties().map(Arc::clone) {
            let collect = move || {
                let store = &party.shared.store;
                store.collect(party.name(), |hash| party.names(hash));
                Ok(())
            };
            blocking(collect).await?;
        }
        Ok(())
    }
}

impl Party {
    async fn restore(self: &Arc<Self>, record: Record) {
        let name = record.name.clone();
        let _turn = self.turn(&name).await;
        let gone = record.file.as_ref().is_some_and(|file| {
            let dirs = &self.settings.dirs;
            !dirs.iter().any(|dir| file.path.parent() == Some(dir))
        });
        let active = record.versions.first().cloned();
        let tried = match (&active, gone) {
            (Some(active), false) => match self.kept(active).await {
                Ok(bytes) => self.admit(&name, bytes, active.source).await,
                Err(error) => Err(error),
            },
            _ => Err(Error::invalid("its directory is not watched any more")),
        };
        let published = tried.and_then(|admission| {
            let live = self.live(&record, admission);
            let publisher = &self.shared.publisher;
            publisher.publish(self.name(), &name, live.engines.clone())?;
            Ok(live)
        });
        let failure = published.as_ref().err().cloned();
        self.set(Slot {
            record,
            live: published,
        });
        let event = Event {
            version: active.as_ref().map_or("", |it| &it.version),
            sha256: active.as_ref().map_or("", |it| &it.sha256),
            source: active.as_ref().map_or("", |it| it.source.name()),
            ..Event::of(Action::Restore, Some(self.name()), &name)
        };
        match &failure {
            None => self.audit(event),
            Some(error) => self.audit(Event {
                outcome: outcome(error),
                reason: error.message(),
                ..event
            }),
        }
        if gone {
            let (party, name) = (Arc::clone(self), name.clone());
            let reason = "its directory is not watched any more";
            // What cannot be removed now is tried again at the next start.
            let _ = blocking(move || party.take_out(&name, reason)).await;
        }
    }
}
