//! From bytes to a published version.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use routir_core::{Error, ErrorCode, ExtensionReport, Result, shorten};

use super::install::Change;
use super::party::{Holder, Party, Slot, Turn};
use super::report::report;
use crate::admit::Admission;
use crate::audit::{Action, Event};
use crate::name::check_name;
use crate::store::{FileOrigin, Record, Source, Version};

/// Where a component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Api,
    /// A file of a watched directory.
    File(PathBuf),
}

impl Origin {
    fn source(&self) -> Source {
        match self {
            Self::Api => Source::Api,
            Self::File(_) => Source::Directory,
        }
    }
}

/// What became of a component that was offered.
#[derive(Clone, Debug)]
pub(crate) enum Offered {
    /// It is active now.
    Published(ExtensionReport),
    /// It was so before.
    Unchanged(ExtensionReport),
}

impl Offered {
    pub(crate) fn report(self) -> ExtensionReport {
        let (Self::Published(report) | Self::Unchanged(report)) = self;
        report
    }
}

impl Party {
    /// Checks a component, compiles it aside and puts it into service under `name`.
    ///
    /// The caller may leave: before the swap nothing has changed then, from there on it is carried
    /// through.
    ///
    /// # Errors
    /// As [`routir_core::ExtensionAdmin::put`].
    pub(crate) async fn publish(
        self: &Arc<Self>,
        name: &str,
        bytes: Vec<u8>,
        origin: Origin,
    ) -> Result<Offered> {
        let published = self.try_publish(name, bytes, &origin).await;
        if let Err(error) = &published {
            self.audit(Event {
                source: origin.source().name(),
                outcome: outcome(error),
                reason: error.message(),
                ..Event::of(Action::Publish, Some(self.name()), &shorten(name))
            });
        }
        published
    }

    async fn try_publish(
        self: &Arc<Self>,
        name: &str,
        bytes: Vec<u8>,
        origin: &Origin,
    ) -> Result<Offered> {
        check_name("an extension", name)?;
        let (size, largest) = (bytes.len() as u64, self.largest());
        if size > largest {
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!(
                    "the component has {size} bytes; {largest} are allowed \
                     (`limits.component_mb`)"
                ),
            ));
        }
        let mut turn = self.turn(name).await;
        self.check_holder(name, origin)?;
        self.reserve(&mut turn)?;
        let bytes: Arc<[u8]> = bytes.into();
        let hashed = Arc::clone(&bytes);
        let sha256 = blocking(move || Ok(crate::store::sha256(&hashed))).await?;
        let slot = self.slot(name);
        if let Some(slot) = &slot
            && unchanged(slot, &sha256, origin)
        {
            return Ok(Offered::Unchanged(report(slot)));
        }
        let admission = self
            .admit(name, Arc::clone(&bytes), origin.source())
            .await?;
        let record = self.next_record(name, slot.as_ref(), &admission, origin);
        let change = Change {
            record,
            admission,
            bytes: Some(bytes),
            action: Action::Publish,
        };
        self.carry_through(turn, change)
            .await
            .map(Offered::Published)
    }

    /// Brings the version before the present one back.
    ///
    /// # Errors
    /// As [`routir_core::ExtensionAdmin::roll_back`].
    pub(crate) async fn roll_back(self: &Arc<Self>, name: &str) -> Result<ExtensionReport> {
        let rolled = self.try_roll_back(name).await;
        self.tell_failure(Action::Rollback, name, rolled.as_ref().err());
        rolled
    }

    async fn try_roll_back(self: &Arc<Self>, name: &str) -> Result<ExtensionReport> {
        let turn = self.turn(name).await;
        let slot = self.slot(name).ok_or_else(|| self.unknown(name))?;
        let mut record = slot.record;
        let Some(previous) = record.versions.get(1).cloned() else {
            return Err(Error::invalid(format!(
                "extension `{name}` has no earlier version to roll back to"
            )));
        };
        let bytes = self.kept(&previous).await?;
        let admission = self.admit(name, bytes, previous.source).await?;
        record.versions.swap(0, 1);
        if let Some(active) = record.versions.first_mut() {
            active.published = now();
        }
        let change = Change {
            record,
            admission,
            bytes: None,
            action: Action::Rollback,
        };
        self.carry_through(turn, change).await
    }

    /// Takes an extension out of service on behalf of `origin`.
    ///
    /// # Errors
    /// As [`routir_core::ExtensionAdmin::remove`].
    pub(crate) async fn withdraw(self: &Arc<Self>, name: &str, origin: &Origin) -> Result<()> {
        let withdrawn = self.try_withdraw(name, origin).await;
        self.tell_failure(Action::Withdraw, name, withdrawn.as_ref().err());
        withdrawn
    }

    async fn try_withdraw(self: &Arc<Self>, name: &str, origin: &Origin) -> Result<()> {
        let turn = self.turn(name).await;
        if self.slot(name).is_none() {
            return Err(self.unknown(name));
        }
        self.check_holder(name, origin)?;
        let (party, name) = (Arc::clone(self), name.to_owned());
        blocking(move || {
            let _turn = turn;
            party.take_out(&name, "")
        })
        .await
    }

    /// A component of the store.
    pub(super) async fn kept(self: &Arc<Self>, version: &Version) -> Result<Arc<[u8]>> {
        let party = Arc::clone(self);
        let (hash, size) = (version.sha256.clone(), version.size_bytes);
        let read = blocking(move || party.shared.store.component(party.name(), &hash, size));
        read.await.map(Arc::from)
    }

    /// Lets a component in. Its caller tells why not.
    pub(super) async fn admit(
        &self,
        name: &str,
        bytes: Arc<[u8]>,
        source: Source,
    ) -> Result<Admission> {
        let closed = |_| Error::internal("no component is looked at any more");
        let _place = self.admissions.acquire().await.map_err(closed)?;
        let settings = &self.settings;
        let admitter = &self.shared.admitter;
        let admitted = admitter
            .admit(
                Some(&settings.tenant),
                bytes,
                &settings.limits,
                &settings.grants,
            )
            .await;
        let outcome = admitted.as_ref().map_or("refused", |_| "admitted");
        self.shared
            .metrics
            .extension_admission(self.name(), outcome);
        if let Ok(admission) = &admitted {
            self.audit(Event {
                version: &admission.manifest.version,
                sha256: &admission.sha256,
                source: source.name(),
                ..Event::of(Action::Admit, Some(self.name()), name)
            });
        }
        admitted
    }

    /// Refuses to touch what another way in has published.
    fn check_holder(&self, name: &str, origin: &Origin) -> Result<()> {
        let refuse = |message| Err(Error::invalid(message));
        match (self.holder(name), origin) {
            (Holder::Nobody, _) | (Holder::Api, Origin::Api) => Ok(()),
            (Holder::File(held), Origin::File(path)) if held == *path => Ok(()),
            (Holder::File(held), _) => {
                let file = held.file_name().unwrap_or_default().to_string_lossy();
                refuse(format!(
                    "extension `{name}` comes from the file `{file}` of a watched directory; \
                     change or delete that file"
                ))
            }
            (Holder::Api, Origin::File(_)) => refuse(format!(
                "extension `{name}` was published over the API; delete it there, or give the file \
                 another name"
            )),
        }
    }

    fn next_record(
        &self,
        name: &str,
        slot: Option<&Slot>,
        admission: &Admission,
        origin: &Origin,
    ) -> Record {
        let version = Version {
            sha256: admission.sha256.clone(),
            size_bytes: admission.size,
            version: admission.manifest.version.clone(),
            published: now(),
            source: origin.source(),
        };
        let earlier = slot.map(|slot| slot.record.versions.as_slice());
        let earlier = earlier.unwrap_or_default().iter();
        let earlier = earlier.filter(|other| other.sha256 != version.sha256);
        let keep = self.shared.keep_versions;
        let earlier: Vec<_> = earlier.take(keep).cloned().collect();
        let file = match origin {
            Origin::Api => None,
            Origin::File(path) => Some(FileOrigin {
                path: path.clone(),
                sha256: admission.sha256.clone(),
            }),
        };
        Record {
            tenant: self.name().to_string(),
            name: name.to_owned(),
            file,
            versions: std::iter::once(version).chain(earlier).collect(),
        }
    }

    /// Makes a change where the caller cannot interrupt it.
    async fn carry_through(
        self: &Arc<Self>,
        turn: Turn,
        change: Change,
    ) -> Result<ExtensionReport> {
        let party = Arc::clone(self);
        blocking(move || {
            let _turn = turn;
            party.install(change)
        })
        .await
    }

    /// That there is no such extension concerns nobody.
    fn tell_failure(&self, action: Action, name: &str, error: Option<&Error>) {
        if let Some(error) = error.filter(|error| error.code() != ErrorCode::UnknownName) {
            self.audit(Event {
                outcome: outcome(error),
                reason: error.message(),
                ..Event::of(action, Some(self.name()), name)
            });
        }
    }
}

/// Whether the same bytes are there from the same place. A file whose extension was rolled back is
/// unchanged as long as the file is.
fn unchanged(slot: &Slot, sha256: &str, origin: &Origin) -> bool {
    let active = slot.record.versions.first().map(|v| v.sha256.as_str());
    let known = match (origin, &slot.record.file) {
        (Origin::File(_), Some(file)) => Some(file.sha256.as_str()),
        _ => active,
    };
    slot.live.is_ok() && known == Some(sha256)
}

/// What the audit calls an error.
pub(super) fn outcome(error: &Error) -> &'static str {
    match error.code() {
        ErrorCode::InvalidArgument | ErrorCode::TooLarge | ErrorCode::Overloaded => "refused",
        _ => "failed",
    }
}

/// Seconds since the Unix epoch.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// Work that waits for the disk. It runs to its end whatever becomes of the caller.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::internal(format!("work on extensions: {error}"))))
}
