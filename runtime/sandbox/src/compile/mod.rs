//! Turns components into machine code.
//!
//! A compiler is a large program that reads a stranger's input, so it runs in a process of its own
//! ([`child`]), which limits itself before it looks at the input: memory and processor time, no
//! files, no new privileges, and where the kernel has Landlock, no file system and no TCP either.
//! The server ([`parent`]) hands it the component through a pipe and takes machine code back, so
//! many bytes and for so long at most. What comes back is as trusted as the server's own code, so a
//! flaw of the compiler that lets a component choose its machine code would not stop there; the
//! child is against components that exhaust or crash the compiler.

mod child;
mod order;
mod parent;

use std::sync::Arc;
use std::thread::available_parallelism;

use routir_core::{Error, Result};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use wasmtime::Engine;

pub use child::compile_child;

use crate::engine::config;
use crate::{Compiler, SandboxSettings};
use order::Order;

/// Compiles components, few at a time.
pub(crate) struct Compilation {
    compiler: Compiler,
    memory_mb: u32,
    cpu_s: u32,
    permits: Semaphore,
    /// Threads of one compilation.
    threads: usize,
}

impl Compilation {
    /// Compilation under the limits of `settings`.
    pub(crate) fn new(settings: &SandboxSettings) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let at_once = (cores / 2).clamp(1, 2);
        Self {
            compiler: settings.compiler.clone(),
            memory_mb: settings.compile_memory_mb,
            cpu_s: settings.compile_cpu_s,
            permits: Semaphore::new(at_once),
            // Half of the machine at most goes to compilers.
            threads: (cores / 2 / at_once).clamp(1, 8),
        }
    }

    /// Compiles a component, for an engine that counts fuel or one that does not. Waits while
    /// others are compiled. Dropping the future ends the child process.
    ///
    /// # Errors
    /// [`routir_core::ErrorCode::InvalidArgument`] for a component that is malformed, or that takes
    /// more memory or time than a compilation may; `Internal` when no compiler could be run.
    pub(crate) async fn compile(&self, component: Arc<[u8]>, counts_fuel: bool) -> Result<Vec<u8>> {
        let permit = self.permits.acquire().await;
        let _permit = permit.map_err(|_| Error::internal("the compilers are closed"))?;
        match &self.compiler {
            Compiler::InProcess => spawn_blocking(move || here(&component, counts_fuel))
                .await
                .map_err(|error| Error::internal(format!("the compiler failed: {error}")))?
                .map_err(|why| Error::invalid(format!("it cannot be compiled: {why}"))),
            Compiler::Child { program, args } => {
                let order = Order {
                    memory_mb: self.memory_mb,
                    cpu_s: self.cpu_s,
                    counts_fuel,
                };
                parent::compile(program, args, &order, self.threads, &component).await
            }
        }
    }
}

/// Compiles in this process. An error is one line.
fn here(component: &[u8], counts_fuel: bool) -> Result<Vec<u8>, String> {
    Engine::new(&config(counts_fuel))
        .and_then(|engine| engine.precompile_component(component))
        .map_err(|error| one_line(&format!("{error:#}")))
}

/// A text without line breaks and control characters, cut at a length that suits a message.
fn one_line(text: &str) -> String {
    const MOST: usize = 500;
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(printable).take(MOST).collect()
}
