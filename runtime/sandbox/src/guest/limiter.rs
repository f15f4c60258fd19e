//! Memory and tables of one store: all its instances together, against the extension's limits and
//! the account of whoever pays.

use std::sync::Arc;

use routir_config::ExtensionLimits;
use wasmtime::ResourceLimiter;

use crate::engine::{MEMORIES, TABLES};
use crate::schedule::Account;

/// What was refused to a guest: if it then fails, that is why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Memory over the extension's own limit.
    Memory,
    /// Memory over the quota of the tenant who pays.
    Quota,
    /// Elements of tables.
    Tables,
}

/// Counts what a store uses. What it had from the account goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Limiter {
    account: Arc<Account>,
    most_memory: usize,
    most_elements: usize,
    most_instances: usize,
    memory: usize,
    elements: usize,
    /// Bytes granted by the last answer, should growing then fail.
    granted: usize,
    refused: Option<Refusal>,
}

impl Limiter {
    pub(crate) fn new(limits: &ExtensionLimits, account: Arc<Account>) -> Self {
        Self {
            account,
            most_memory: (limits.memory_mb as usize) << 20,
            most_elements: limits.table_elements as usize,
            most_instances: limits.instances as usize,
            memory: 0,
            elements: 0,
            granted: 0,
            refused: None,
        }
    }

    /// Bytes of all memories together.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// What was refused first, if anything was.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    /// Lets another account pay for the memory from now on, and forgets refusals. False: its quota
    /// has no room for it; nothing has changed then.
    pub(crate) fn charge(&mut self, account: &Arc<Account>) -> bool {
        if !Arc::ptr_eq(account, &self.account) {
            if !account.try_grow(self.memory) {
                return false;
            }
            self.account.shrink(self.memory);
            self.account = Arc::clone(account);
        }
        self.refused = None;
        true
    }

    fn refuse(&mut self, why: Refusal) -> wasmtime::Result<bool> {
        self.refused.get_or_insert(why);
        Ok(false)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.granted = 0;
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false); // The guest's own limit.
        }
        let more = desired.saturating_sub(current);
        let memory = self.memory.saturating_add(more);
        if memory > self.most_memory {
            return self.refuse(Refusal::Memory);
        }
        if !self.account.try_grow(more) {
            return self.refuse(Refusal::Quota);
        }
        self.memory = memory;
        self.granted = more;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.account.shrink(self.granted);
        self.memory = self.memory.saturating_sub(self.granted);
        self.granted = 0;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let more = desired.saturating_sub(current);
        let elements = self.elements.saturating_add(more);
        if elements > self.most_elements {
            return self.refuse(Refusal::Tables);
        }
        self.elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.most_instances
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.account.shrink(self.memory);
    }
}
