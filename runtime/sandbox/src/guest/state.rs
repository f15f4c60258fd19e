//! What a store carries: its limits, and the call that it is answering.

use std::fmt;
use std::sync::Arc;

use routir_config::ExtensionLimits;
use routir_core::{Host, RequestContext};

use super::Limiter;
use super::failure::Refused;
use crate::convert::Candidates;
use crate::host::Held;
use crate::schedule::Account;
use crate::wasi::WasiState;

/// What is the same for all calls of one service.
pub(crate) struct Profile {
    /// What the extension is called in chains, logs and errors.
    pub(crate) identity: Arc<str>,
    /// The tenant who owns it.
    pub(crate) owner: Option<Arc<str>>,
    /// What one call may use.
    pub(crate) limits: ExtensionLimits,
    /// The collection whose texts a fusion may read.
    pub(crate) collection: Option<String>,
    /// The runtime; none while the extension is admitted.
    pub(crate) host: Option<Arc<dyn Host>>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// What a guest is doing, and so what it may ask for.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// It says who it is, or is being made: it may log.
    Describing,
    /// It fuses: it may look at the candidates.
    Fusing(Arc<Candidates>),
    /// It decomposes, searches or scores: it may call the host.
    Serving,
}

/// One call of a guest.
#[derive(Debug)]
pub(crate) struct Call {
    /// Whose.
    pub(crate) profile: Arc<Profile>,
    /// On whose behalf, until when.
    pub(crate) context: Arc<RequestContext>,
    /// Who pays.
    pub(crate) account: Arc<Account>,
    /// What the guest is doing.
    pub(crate) phase: Phase,
    /// Requests to the host that are left.
    pub(crate) host_calls_left: u32,
    /// Bytes of log lines that are left.
    pub(crate) log_left: usize,
    /// Log lines that were dropped.
    pub(crate) log_dropped: u64,
    /// What the host last handed over to it.
    pub(crate) held: Option<Held>,
    /// The context of its host calls, made when it is first needed.
    inner: Option<Arc<RequestContext>>,
}

impl Call {
    pub(crate) fn new(
        profile: Arc<Profile>,
        context: Arc<RequestContext>,
        account: Arc<Account>,
        phase: Phase,
    ) -> Self {
        Self {
            host_calls_left: profile.limits.host_calls,
            log_left: profile.limits.log_bytes,
            log_dropped: 0,
            held: None,
            inner: None,
            profile,
            context,
            account,
            phase,
        }
    }

    /// The context of the host calls that this call makes.
    pub(crate) fn inner_context(&mut self) -> Arc<RequestContext> {
        let make = || {
            let profile = &self.profile;
            let context = &self.context;
            Arc::new(context.called_by(&profile.identity, profile.owner.as_ref()))
        };
        Arc::clone(self.inner.get_or_insert_with(make))
    }

    /// Lets go of the request when it is answered, so that a kept instance does not hold it.
    pub(crate) fn end(&mut self) {
        self.tell_dropped();
        self.context = Arc::default();
        self.inner = None;
        self.held = None;
        self.phase = Phase::Describing;
    }

    fn tell_dropped(&mut self) {
        if self.log_dropped > 0 {
            tracing::warn!(
                target: "guest",
                extension = %self.profile.identity,
                request_id = %self.context.request_id,
                dropped = self.log_dropped,
                "log lines over `log_bytes` were dropped"
            );
            self.log_dropped = 0;
        }
    }

    /// Traps a guest that calls `function` of the host while it is made or describes itself.
    pub(crate) fn not_while_describing(&self, function: &str) -> Result<(), Refused> {
        match self.phase {
            Phase::Describing => Err(Refused(format!(
                "it called `{function}` while it was made or described itself, where only `log` \
                 may be called"
            ))),
            Phase::Fusing(_) | Phase::Serving => Ok(()),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.tell_dropped();
    }
}

/// What a store carries.
pub(crate) struct State {
    /// Its memory.
    pub(crate) limiter: Limiter,
    /// The call that it is answering.
    pub(crate) call: Call,
    /// What its WASI knows, where WASI is granted.
    pub(crate) wasi: WasiState,
}
