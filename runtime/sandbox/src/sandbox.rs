//! The place where guests run.

use std::sync::Arc;

use routir_config::{ExtensionGrants, ExtensionLimits};
use routir_core::{Result, Tenant};
use tokio::sync::Semaphore;

use crate::accounts::Accounts;
use crate::admit;
use crate::calls::{DEPTHS, Gate};
use crate::code_cache::CodeCache;
use crate::compile::Compilation;
use crate::engine::Engines;
use crate::schedule::Scheduler;
use crate::{Account, Admitted, SandboxSettings};

/// The place where guests run: one engine, one pool of instances, one set of threads.
pub struct Sandbox {
    machine: Arc<Machine>,
}

/// The parts of a sandbox, as everything inside it uses them.
pub(crate) struct Machine {
    pub(crate) engines: Arc<Engines>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) accounts: Accounts,
    pub(crate) cache: CodeCache,
    pub(crate) compiler: Compilation,
    /// How many instances may be kept idle.
    pub(crate) idle_slots: Arc<Semaphore>,
}

impl Sandbox {
    /// Reserves the pool and starts the threads.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::Internal`] for a cache directory that cannot be made, threads that
    /// cannot be started, a machine that wasmtime cannot run on.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "whoever makes settings is done with them"
    )]
    pub fn new(settings: SandboxSettings) -> Result<Arc<Self>> {
        let instances = settings.instances.max(1);
        // Nested calls and idle instances have room of their own in the pool.
        let reserve = (instances / 32).max(1);
        let idle = instances.div_ceil(4);
        let slots = instances
            .saturating_add(reserve.saturating_mul(DEPTHS as u32))
            .saturating_add(idle);
        let engines = Arc::new(Engines::new(slots)?);
        let ticking = Arc::clone(&engines);
        let machine = Machine {
            gate: Gate::new(instances, reserve),
            scheduler: Scheduler::new(settings.threads, move || ticking.tick())?,
            accounts: Accounts::new(),
            cache: CodeCache::open(&settings.cache_dir)?,
            compiler: Compilation::new(&settings),
            idle_slots: Arc::new(Semaphore::new(idle as usize)),
            engines,
        };
        Ok(Arc::new(Self {
            machine: Arc::new(machine),
        }))
    }

    /// The account of a tenant's guests; `None` is the operator's.
    pub fn account(&self, tenant: Option<&Tenant>) -> Arc<Account> {
        self.machine.accounts.of(tenant)
    }

    /// Looks at a component from all sides and compiles it: its size, format, imports and exports,
    /// what it says of itself, and how it answers a small call. It runs under `limits`, with
    /// `grants`, paid by `payer`; `None` is the operator.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`], or `TooLarge` for its size, with one problem per
    /// failed check; `Internal` when it cannot be compiled for a reason that is not its own.
    pub async fn admit(
        self: &Arc<Self>,
        payer: Option<&Tenant>,
        bytes: Arc<[u8]>,
        limits: &ExtensionLimits,
        grants: &ExtensionGrants,
    ) -> Result<Admitted> {
        let account = self.account(payer);
        admit::admit(&self.machine, account, bytes, limits, grants).await
    }
}
