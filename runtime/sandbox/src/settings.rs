//! What the sandbox is made with.

use std::ffi::OsString;
use std::path::PathBuf;

/// What all extensions of a server share.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Where compiled code is kept. Nobody but the server may write there: compiled code is run
    /// without another look.
    pub cache_dir: PathBuf,
    /// How many instances may exist at once; more calls wait.
    pub instances: u32,
    /// Who compiles.
    pub compiler: Compiler,
    /// Memory of the process that compiles a component, in MiB.
    pub compile_memory_mb: u32,
    /// Processor time of the process that compiles a component, in seconds.
    pub compile_cpu_s: u32,
    /// Threads that guests run on; at least one.
    pub threads: usize,
}

/// Who turns a component into machine code.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// This process: for tests and tools that compile code of their own user. Memory and processor
    /// time are then not limited.
    InProcess,
    /// A child process that limits itself before it looks at the component: a program that runs
    /// [`crate::compile_child`], usually the server's own.
    Child {
        /// The program.
        program: PathBuf,
        /// What makes it a compiler.
        args: Vec<OsString>,
    },
}
