//! One extension's breaker with all that it tells: metrics, audit, messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use routir_config::OnFailure;
use routir_core::{Error, ErrorCode, Metrics, Result, Tenant};

use super::state::{Breaker, Change, KeptOut, Outcome, Rules, Ticket};
use crate::audit::{Action, Audit, Event};

/// How much of an extension's last failure is repeated, in characters.
const SHOWN: usize = 300;

/// Which version of which extension.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// `None` is the operator.
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) name: Arc<str>,
    /// As the manifest states it.
    pub(crate) version: String,
    pub(crate) sha256: String,
    /// `config`, `directory` or `api`.
    pub(crate) source: &'static str,
}

impl Subject {
    /// What the extension is called in chains and messages.
    pub(crate) fn identity(&self) -> Arc<str> {
        Tenant::identity(self.owner.as_deref(), &self.name)
    }

    /// What it is counted as.
    fn label(&self) -> String {
        match &self.owner {
            Some(owner) => format!("{owner}/*"),
            None => self.name.to_string(),
        }
    }
}

/// Stands before one version of one extension.
pub(crate) struct Guard {
    subject: Subject,
    identity: Arc<str>,
    label: String,
    inner: Mutex<Inner>,
    metrics: Metrics,
    audit: Arc<Audit>,
}

struct Inner {
    breaker: Breaker,
    last_failure: String,
}

impl Guard {
    pub(crate) fn new(
        subject: Subject,
        rules: &OnFailure,
        metrics: Metrics,
        audit: Arc<Audit>,
    ) -> Arc<Self> {
        let retry_after = Duration::try_from_secs_f64(rules.retry_after);
        let rules = Rules {
            trip_after: rules.trip_after.map(u32::from),
            retry_after: retry_after.unwrap_or(Duration::from_secs(10)),
        };
        Arc::new(Self {
            identity: subject.identity(),
            label: subject.label(),
            subject,
            inner: Mutex::new(Inner {
                breaker: Breaker::new(rules),
                last_failure: String::new(),
            }),
            metrics,
            audit,
        })
    }

    /// Whether the extension is kept out.
    pub(crate) fn is_tripped(&self) -> bool {
        self.inner.lock().breaker.is_open()
    }

    /// Lets a call through.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`], saying why and until when.
    pub(super) fn enter(self: &Arc<Self>, now: Instant) -> Result<Pass> {
        let mut inner = self.inner.lock();
        match inner.breaker.enter(now) {
            Ok(ticket) => Ok(Pass {
                guard: Arc::clone(self),
                ticket: Some(ticket),
            }),
            Err(kept_out) => {
                let error = self.unavailable(kept_out, &inner.last_failure);
                drop(inner);
                self.count("kept_out");
                Err(error)
            }
        }
    }

    /// Whether an error is the extension's own fault: the sandbox says so of traps, limits and
    /// malformed answers, and the guest of itself when it answers `failed`. Not: a request that it
    /// calls invalid, an unknown name, a full queue, a deadline of the caller's.
    pub(super) fn is_own_fault(&self, error: &Error) -> bool {
        error.code() == ErrorCode::EngineFailure
    }

    pub(super) fn count(&self, outcome: &'static str) {
        self.metrics.extension_call(&self.label, outcome);
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    fn unavailable(&self, kept_out: KeptOut, last_failure: &str) -> Error {
        let KeptOut { failures, again_in } = kept_out;
        let identity = &self.identity;
        let when = match again_in {
            Some(wait) => format!("it is tried again in {:.1} s", wait.as_secs_f64()),
            None => "it is being tried again now".to_owned(),
        };
        let message = format!(
            "extension `{identity}` is kept out after {failures} failures in a row; {when}; the \
             last failure: {last_failure}"
        );
        let hint = again_in.unwrap_or(Duration::from_secs(1));
        Error::new(ErrorCode::Unavailable, message).with_retry_after(hint)
    }

    fn leave(&self, ticket: &Ticket, outcome: Outcome, failure: Option<&Error>, now: Instant) {
        let mut inner = self.inner.lock();
        if let Some(error) = failure {
            inner.last_failure = error.message().chars().take(SHOWN).collect();
        }
        let change = inner.breaker.leave(ticket, outcome, now);
        drop(inner);
        match change {
            None => {}
            Some(Change::Opened { failures, wait }) => {
                self.metrics.extension_trip(&self.label);
                let why = failure.map_or("", Error::message);
                let reason = format!(
                    "{failures} failures in a row; kept out for {:.1} s; the last failure: {why}",
                    wait.as_secs_f64()
                );
                self.tell(Action::Trip, &reason);
            }
            Some(Change::Closed) => self.tell(Action::Close, "a call succeeded"),
        }
    }

    fn tell(&self, action: Action, reason: &str) {
        let subject = &self.subject;
        self.audit.record(&Event {
            version: &subject.version,
            sha256: &subject.sha256,
            source: subject.source,
            reason,
            ..Event::of(action, subject.owner.as_deref(), &subject.name)
        });
    }
}

/// A call that was let through. Dropped without an answer, because the caller left, it says nothing
/// of the extension.
pub(super) struct Pass {
    guard: Arc<Guard>,
    ticket: Option<Ticket>,
}

impl Pass {
    /// Notes the call's answer. Answers whether it was a failure of the extension's own.
    pub(super) fn done<T>(mut self, answer: &Result<T>, now: Instant) -> bool {
        let guard = Arc::clone(&self.guard);
        let failure = answer.as_ref().err();
        let own = failure.is_some_and(|error| guard.is_own_fault(error));
        let (outcome, label) = match failure {
            None => (Outcome::Success, "ok"),
            Some(_) if own => (Outcome::Failure, "failed"),
            Some(_) => (Outcome::Neither, "error"),
        };
        guard.count(label);
        if let Some(ticket) = self.ticket.take() {
            guard.leave(&ticket, outcome, failure.filter(|_| own), now);
        }
        own
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.guard.count("left");
            let now = Instant::now();
            self.guard.leave(&ticket, Outcome::Neither, None, now);
        }
    }
}
