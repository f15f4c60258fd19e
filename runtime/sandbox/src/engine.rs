//! The engines that run guests: one whose instances come from a pool, and, for extensions whose
//! instructions are counted, one that is made when it is first needed.

use std::sync::OnceLock;

use routir_core::{Error, Result};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Stack of a guest, in bytes; a deeper recursion traps. It lies on the stack of the guest's
/// fiber, whose rest is for host functions.
const GUEST_STACK: usize = 512 << 10;
/// Stack of a guest's fiber, in bytes.
const FIBER_STACK: usize = 2 << 20;

/// Memories that one component may have: QuickJS has three, its own and those of its adapters.
pub(crate) const MEMORIES: u32 = 4;
/// Tables that one component may have: Python has five.
pub(crate) const TABLES: u32 = 16;
/// Elements of a table that the pool has room for.
const TABLE_ELEMENTS: usize = 200_000;
/// Bytes of a linear memory that stay mapped when its slot is given back: its first, or, where the
/// kernel tells which pages were written (Linux 6.7), those. Unmapping interrupts every core that
/// runs the server, and pages that were unmapped are faults of the next call.
const KEPT_MEMORY: usize = 64 << 10;
const KEPT_WRITTEN: usize = 512 << 10;
/// The same of a table.
const KEPT_TABLE: usize = 4 << 10;

/// What compiled code depends on. The compiling process and the server must agree on every word of
/// it, so this is the only place that says it.
///
/// Memory stays reserved at wasmtime's default of 4 GiB per slot: with less, every access is
/// checked in code, which makes guests slower by a third.
pub(crate) fn config(counts_fuel: bool) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(counts_fuel)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(FIBER_STACK)
        .wasm_backtrace_max_frames(None);
    config
}

/// The two engines.
pub(crate) struct Engines {
    plain: Engine,
    counting: OnceLock<Engine>,
}

impl Engines {
    /// Reserves a pool for `slots` instances. Where the address space does not have it, instances
    /// are made one by one, which is slower, and a warning says so.
    ///
    /// # Errors
    /// A machine that wasmtime cannot run on.
    pub(crate) fn new(slots: u32) -> Result<Self> {
        let mut pooled = config(false);
        pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
        let plain = Engine::new(&pooled).or_else(|error| {
            tracing::warn!(
                slots,
                "no pool of WebAssembly instances, they are made one by one: {error:#}; lower \
                 `extensions.instances` or raise the limit of address space (ulimit -v)"
            );
            Engine::new(&config(false)).map_err(|error| cannot_run(&error))
        })?;
        Ok(Self {
            plain,
            counting: OnceLock::new(),
        })
    }

    /// The engine for components whose instructions are counted, or the other one. Counting is for
    /// tools, so its engine has no pool.
    ///
    /// # Errors
    /// A machine that wasmtime cannot run on.
    pub(crate) fn get(&self, counts_fuel: bool) -> Result<&Engine> {
        if !counts_fuel {
            return Ok(&self.plain);
        }
        if let Some(engine) = self.counting.get() {
            return Ok(engine);
        }
        let engine = Engine::new(&config(true)).map_err(|error| cannot_run(&error))?;
        Ok(self.counting.get_or_init(|| engine))
    }

    /// Lets time pass for the guests of both engines.
    pub(crate) fn tick(&self) {
        self.plain.increment_epoch();
        if let Some(engine) = self.counting.get() {
            engine.increment_epoch();
        }
    }
}

/// Only memories and stacks cost something while they are not used: address space. Core instances
/// are a mere count, so that the limit of each extension is the one that counts.
fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(1000))
        .max_core_instances_per_component(1000)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(8 << 20)
        .total_memories(slots.saturating_mul(MEMORIES))
        .max_memories_per_component(MEMORIES)
        .max_memory_size(4 << 30)
        .total_tables(slots.saturating_mul(TABLES))
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .total_stacks(slots)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(if PoolingAllocationConfig::is_pagemap_scan_available() {
            KEPT_WRITTEN
        } else {
            KEPT_MEMORY
        })
        .table_keep_resident(KEPT_TABLE);
    pool
}

fn cannot_run(error: &wasmtime::Error) -> Error {
    Error::internal(format!("cannot run WebAssembly on this machine: {error:#}"))
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    fn compatibility(engine: &Engine) -> u64 {
        let mut state = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut state);
        state.finish()
    }

    /// The compiling process has no pool, since its address space is limited.
    #[test]
    fn code_compiled_without_a_pool_runs_in_the_pool() {
        let engines = Engines::new(4).unwrap();
        let compiler = Engine::new(&config(false)).unwrap();
        assert_eq!(
            compatibility(engines.get(false).unwrap()),
            compatibility(&compiler)
        );
        assert_ne!(
            compatibility(engines.get(true).unwrap()),
            compatibility(&compiler)
        );
    }

    #[test]
    fn hundreds_of_slots_fit() {
        let engine = Engine::new(config(false).allocation_strategy(pool(400)));
        assert!(engine.is_ok(), "{:?}", engine.err());
    }
}
