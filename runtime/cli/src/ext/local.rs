//! A sandbox on this machine, for the user's own components: the same host code as the server's,
//! compiled in this process.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use parking_lot::Mutex;
use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{Host, Params, Roles};
use routir_sandbox::{Admitted, CallReport, Compiler, ExtensionSpec, Sandbox, SandboxSettings};

use super::args::Allowed;
use crate::failure::from_core;

/// A component that was admitted, on its own.
pub(super) struct Local {
    pub(super) admitted: Admitted,
    sandbox: Arc<Sandbox>,
    limits: ExtensionLimits,
    grants: ExtensionGrants,
    /// Compiled code lies here as long as it is needed.
    _scratch: tempfile::TempDir,
}

/// What the latest call used.
#[derive(Clone, Default)]
pub(super) struct Used(Arc<Mutex<Option<CallReport>>>);

impl Used {
    /// The figures of the latest call.
    pub(super) fn latest(&self) -> Option<CallReport> {
        *self.0.lock()
    }
}

impl Local {
    /// Admits the component of a file.
    ///
    /// # Errors
    /// When it cannot be read, or a check fails.
    pub(super) async fn admit(
        path: &Path,
        allowed: &Allowed,
        counts_fuel: bool,
    ) -> anyhow::Result<Self> {
        let shown = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let scratch = tempfile::Builder::new().prefix("routir-rt-ext-").tempdir();
        let scratch = scratch.context("a temporary directory cannot be made")?;
        let settings = SandboxSettings {
            cache_dir: scratch.path().join("code"),
            instances: 64,
            compiler: Compiler::InProcess,
            compile_memory_mb: 0,
            compile_cpu_s: 0,
            threads: 1,
        };
        let sandbox = Sandbox::new(settings).map_err(from_core)?;
        let mut limits = ExtensionLimits::default();
        limits.memory_mb = allowed.memory_mb.unwrap_or(limits.memory_mb);
        limits.time_ms = allowed.time_ms.unwrap_or(limits.time_ms);
        limits.cpu_ms = allowed.cpu_ms.unwrap_or(limits.cpu_ms);
        limits.fuel = counts_fuel.then_some(u64::MAX / 2);
        let grants = ExtensionGrants {
            wasi: allowed.wasi,
            clock: allowed.clock,
            randomness: allowed.randomness,
        };
        let admitted = sandbox.admit(None, bytes.into(), &limits, &grants).await;
        Ok(Self {
            admitted: admitted.map_err(|error| from_core(error).context(format!("{shown}")))?,
            sandbox,
            limits,
            grants,
            _scratch: scratch,
        })
    }

    /// The component as engines over `host`, with a place where each call's figures appear.
    pub(super) fn roles(&self, host: Arc<dyn Host>, trusted: bool) -> (Roles, Used) {
        let used = Used::default();
        let place = used.clone();
        let component = &self.admitted.component;
        let spec = ExtensionSpec {
            identity: component.manifest().name.as_str().into(),
            owner: None,
            params: Params::default(),
            trusted,
            limits: self.limits.clone(),
            grants: self.grants.clone(),
            collection: None,
            host,
        };
        let observer = Arc::new(move |report: &CallReport| *place.0.lock() = Some(*report));
        (component.observed(spec, observer), used)
    }

    /// Admits the same file once more: its code is found where it was put.
    ///
    /// # Errors
    /// As [`Local::admit`].
    pub(super) async fn admit_again(&self, path: &Path) -> anyhow::Result<()> {
        let bytes = std::fs::read(path)?;
        let again = self
            .sandbox
            .admit(None, bytes.into(), &self.limits, &self.grants);
        again.await.map(drop).map_err(from_core)
    }
}
